/**
 * The quantities of work that have a price: whole numbers, counted since tracking began. The work of a tracker
 * (`TrackerWork`) has this shape.
 */
export interface PricedWork {
  /** Reads of the dirty state. */
  readonly queries: number;
  /** Those of the reads that a device's firmware answers (REPORT commands); absent for a tracker without a device log. */
  readonly reportCommands?: number;
  /** I/O page-table entries that the reads looked at. */
  readonly entriesRead: number;
  /** Log entries that the reads transferred. */
  readonly logEntriesRead: number;
  /** Words of 64 bits of tracker-side bitmaps that the reads went through. */
  readonly bitmapWordsRead: number;
  /** IOTLB invalidation commands. */
  readonly flushes: number;
  readonly iotlbMisses: number;
  /** Times that a full report queue held the device up. */
  readonly stalls: number;
}
