import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import type { Tracker, TrackerWork } from '../../src/tracker/tracker.ts';
import type { EventBatch } from '../../src/workload/recording.ts';
import { pagesOf } from './drive.ts';

/** How a tracker turns the pages written since the last read, and those of the read before, into a report. */
export type Behaviour = (written: ReadonlySet<number>, before: ReadonlySet<number>, pages: number) => Iterable<number>;

export const BEHAVIOURS = {
  exact: (written) => written,
  everything: (_written, _before, pages) => Array.from({ length: pages }, (_, p) => p),
  blind: () => [],
  lossy: (written) => [...written].filter((p) => p % 3 !== 0),
  coarse: (written, _before, pages) =>
    [...written].flatMap((p) => [0, 1, 2, 3].map((i) => p - (p % 4) + i)).filter((p) => p < pages),
  echoing: (written, before) => [...written, ...before],
} satisfies Record<string, Behaviour>;

const NO_WORK: TrackerWork = {
  reportCommands: 0,
  queries: 0,
  entriesRead: 0,
  logEntriesRead: 0,
  bitmapWordsRead: 0,
  flushes: 0,
  iotlbMisses: 0,
  stalls: 0,
};

/** A tracker that behaves as told, and remembers the times of the events that it was fed. */
export class FakeTracker implements Tracker {
  readonly name = 'fake';
  readonly claims = 'none';
  readonly leaf = 'none';
  readonly mappedBytes = 0;
  readonly iotlb = { hits: 0, misses: 0, invalidations: 0 };
  readonly work = NO_WORK;
  readonly fedTimes: number[] = [];
  started = 0;
  reads = 0;

  readonly #behaviour: Behaviour;
  #written = new Set<number>();
  #before = new Set<number>();

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
  }

  start(): void {
    this.started++;
  }

  feed(batch: EventBatch, begin: number, end: number): void {
    for (let i = begin; i < end; i++) {
      this.fedTimes.push(batch.timeNs[i]);
      if (batch.op[i] > 2) continue;
      const event = { timeNs: batch.timeNs[i], op: 0, address: batch.address[i], length: batch.length[i] };
      pagesOf(event).forEach((page) => this.#written.add(page));
    }
  }

  report(into: Bitmap): void {
    this.reads++;
    for (const page of this.#behaviour(this.#written, this.#before, into.pages)) into.markPages(page, 1);
    this.#before = this.#written;
    this.#written = new Set();
  }

  close(): void {}
}
