import type { Bitmap } from '../bitmap/bitmap.ts';
import type { TrackerInfo } from './registry.ts';
import { NO_IOTLB, NO_WORK, type Tracker, type TrackerWork } from './tracker.ts';

/** No tracking, and the VMM knows: it takes all of RAM for dirty, without asking anybody. */
export class AllDirtyTracker implements Tracker {
  readonly name = 'all-dirty';
  readonly claims = 'sound';
  readonly leaf = 'none';
  readonly mappedBytes: number;
  readonly iotlb = NO_IOTLB;
  #queries = 0;

  constructor(ramBytes: number) {
    this.mappedBytes = Math.ceil(ramBytes / 4096) * 4096;
  }

  start(): void {
    this.#queries = 0;
  }

  feed(): void {
    // What devices write plays no part.
  }

  report(into: Bitmap): void {
    this.#queries++;
    into.markPages(0, into.pages);
  }

  get work(): TrackerWork {
    return { ...NO_WORK, queries: this.#queries };
  }

  close(): void {
    // Nothing of the core's was taken.
  }
}

export const ALL_DIRTY: TrackerInfo = {
  name: 'all-dirty',
  claims: 'sound',
  about: 'nobody tracks: all of RAM is dirty, every time',
  claim: 'sound: nothing can be missed where everything is reported',
  mappedCoreBytes: () => 0,
  make: ({ ramBytes }) => new AllDirtyTracker(ramBytes),
};
