import type { Tracker, TrackerWork } from './tracker.ts';

const NO_IOTLB = { hits: 0, misses: 0, invalidations: 0 } as const;

/** No tracking of devices at all: only the CPUs' dirty log counts. It shows what is lost. */
export class CpuOnlyTracker implements Tracker {
  readonly name = 'cpu-only';
  readonly claims = 'none';
  readonly leaf = 'none';
  readonly mappedBytes = 0;
  readonly iotlb = NO_IOTLB;

  start(): void {
    // There is nothing to switch on.
  }

  feed(): void {
    // Device writes go unseen.
  }

  report(): void {
    // And unreported.
  }

  get work(): TrackerWork {
    return {
      queries: 0,
      reportCommands: 0,
      entriesRead: 0,
      logEntriesRead: 0,
      bitmapWordsRead: 0,
      flushes: 0,
      iotlbMisses: 0,
      stalls: 0,
    };
  }

  close(): void {
    // Nothing of the core's was taken.
  }
}
