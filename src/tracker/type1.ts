import type { Bitmap } from '../bitmap/bitmap.ts';
import { NO_IOTLB, NO_WORK, type Tracker, type TrackerWork } from './tracker.ts';

/**
 * VFIO type1 for a plain device: the kernel has no dirty information, so everything that is mapped (and pinned) is reported
 * dirty, every time (Linux drivers/vfio/vfio_iommu_type1.c).
 */
export class Type1Tracker implements Tracker {
  readonly name = 'type1';
  readonly claims = 'sound';
  readonly leaf = 'none';
  readonly mappedBytes: number;
  readonly iotlb = NO_IOTLB;
  #queries = 0;
  #words = 0;

  constructor(ramBytes: number) {
    this.mappedBytes = Math.ceil(ramBytes / 4096) * 4096;
  }

  start(): void {
    this.#queries = this.#words = 0;
  }

  feed(): void {
    // What devices write plays no part: that is the point of this row.
  }

  report(into: Bitmap): void {
    this.#queries++;
    this.#words += Math.ceil(into.pages / 64);
    into.markPages(0, into.pages);
  }

  get work(): TrackerWork {
    return {
      ...NO_WORK,
      queries: this.#queries,
      bitmapWordsRead: this.#words,
    };
  }

  close(): void {
    // Nothing of the core's was taken.
  }
}
