import type { Bitmap } from '../bitmap/bitmap.ts';
import { MappedLanding } from '../oracle/mapped-landing.ts';
import type { Oracle } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import { FIRST_READ_OP, type EventBatch } from '../workload/recording.ts';

/** Index of the first event at or behind `begin` whose time is later than `timeNs` (recording clock), or `batch.count`. */
export function firstLaterThan(batch: EventBatch, begin: number, timeNs: number): number {
  const times = batch.timeNs;
  let low = begin;
  let high = batch.count;
  if (high > begin && times[high - 1] <= timeNs) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] <= timeNs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** DMA on its way to tracker and oracle, and the steps that the tracker takes in between where it resizes leaves. */
export class Feed {
  readonly #tracker: Tracker;
  readonly #oracle: Oracle;
  /** Of a recording with mappings. */
  #mapped: MappedLanding | undefined;

  constructor(tracker: Tracker, oracle: Oracle) {
    this.#tracker = tracker;
    this.#oracle = oracle;
  }

  /** When the tracker takes its next step: events before that come first. Infinity where it has nothing under way. */
  get nextStepNs(): number {
    return this.#tracker.resizing?.nextStepNs ?? Infinity;
  }

  /** Takes the step that is due; whether that was the last one. */
  step(): boolean {
    this.#tracker.resizing!.step(this.#landed);
    return this.nextStepNs === Infinity;
  }

  /** Events [begin, end) happen: the tracker sees them all, the oracle what lands of the writes. */
  events(batch: EventBatch, begin: number, end: number, offsetNs: number): void {
    if (begin === end) return;
    const { resizing } = this.#tracker;
    if (resizing?.broken) return resizing.feed(batch, begin, end, offsetNs, this.#landed);
    this.#tracker.feed(batch, begin, end);
    if (batch.mapping) return (this.#mapped ??= new MappedLanding(this.#oracle)).events(batch, begin, end);
    const { op, address, length } = batch;
    for (let i = begin; i < end; i++) {
      if (op[i] < FIRST_READ_OP) this.#oracle.landBytes(address[i], length[i]);
    }
  }

  /** Begins to read the tracker into an empty bitmap. True: it has returned. False: it does so with the last step. */
  read(into: Bitmap, timeNs: number): boolean {
    this.#oracle.begin();
    if (this.#tracker.resizing?.report(into, timeNs)) return false;
    this.#tracker.report(into);
    return true;
  }

  /** Begins to merge leaves, where the tracker does that. */
  merge(timeNs: number): boolean {
    return this.#tracker.resizing?.merge(timeNs) ?? false;
  }

  readonly #landed = (address: number, length: number): void => this.#oracle.landBytes(address, length);
}
