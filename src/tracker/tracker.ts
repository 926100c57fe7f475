import type { Bitmap } from '../bitmap/bitmap.ts';
import type { EventBatch } from '../workload/recording.ts';
import type { Resizing } from './resizing.ts';

/** What a tracker says of itself: never misses a written page, may miss one, or says nothing at all. */
export type Claim = 'sound' | 'unsound' | 'none';

/** IOTLB events since `start()`; all 0 for a tracker without an IOTLB. */
export interface IotlbCounters {
  readonly hits: number;
  readonly misses: number;
  /** Invalidation commands, not entries. */
  readonly invalidations: number;
}

/** Work that a tracker has done since `start()`: the quantities that the cost model prices (src/cost/priced-work.ts). */
export interface TrackerWork {
  /** Reads of the dirty state (REPORT or read-and-clear calls), one per `report()`. */
  readonly queries: number;
  /** REPORT commands that a device's firmware has answered. */
  readonly reportCommands: number;
  /** I/O page-table entries that the reads looked at. */
  readonly entriesRead: number;
  /** Log entries that the reads transferred (one per dirty log page, for a device that reports them one by one). */
  readonly logEntriesRead: number;
  /** Words of 64 bits of tracker-side bitmaps that the reads went through. */
  readonly bitmapWordsRead: number;
  /** IOTLB invalidation commands. */
  readonly flushes: number;
  /** IOTLB misses that the tracking causes: those since the first invalidation of a read. */
  readonly iotlbMisses: number;
  /** Times that a full report queue held the device up. */
  readonly stalls: number;
}

/**
 * A strategy for finding the pages that devices have written, behind one interface. `start`, `feed`, `report` are called
 * in this order; every DMA event of the workload goes through `feed` exactly once.
 */
export interface Tracker {
  /** As the command line names it, for example `iommu:amdv1`. */
  readonly name: string;
  readonly claims: Claim;
  /** Leaf size of the I/O page table as people write it (`4K`), or `none` for a tracker without one. */
  readonly leaf: string;
  /** Bytes of IOVA space that are mapped or logged; at least the guest's RAM. 0 for a tracker that maps nothing. */
  readonly mappedBytes: number;
  /** Begins tracking; nothing is dirty at this moment. */
  start(): void;
  /** Events [begin, end) of the batch happen. */
  feed(batch: EventBatch, begin: number, end: number): void;
  /** Reads and clears: ORs into `into` (4 KiB pages over [0, ram)) each page possibly written since the last report. */
  report(into: Bitmap): void;
  readonly iotlb: IotlbCounters;
  readonly work: TrackerWork;
  /** Changes of leaf sizes that take time while devices go on; the tracker's clock starts at 0 with `start()`. */
  readonly resizing?: Resizing;
  /** Gives all memory back. */
  close(): void;
}

/** No work at all: what a tracker does is counted on top of it. */
export const NO_WORK: TrackerWork = {
  queries: 0,
  reportCommands: 0,
  entriesRead: 0,
  logEntriesRead: 0,
  bitmapWordsRead: 0,
  flushes: 0,
  iotlbMisses: 0,
  stalls: 0,
};

/** The counters of a tracker without an IOTLB. */
export const NO_IOTLB: IotlbCounters = { hits: 0, misses: 0, invalidations: 0 };
