import type { Bitmap } from '../bitmap/bitmap.ts';
import type { EventBatch } from '../workload/recording.ts';
import type { ResizeStrategy } from './resize-strategy.ts';

/** `length` bytes of a device's write have landed at guest-physical `address`. */
export type Landed = (address: number, length: number) => void;

/** What splits, or a merge, came to. Times are simulated ns. */
export interface ResizeWork {
  /** Leaves that were split, those in passing included; or leaves that the merge made. */
  readonly leaves: number;
  /** Times in which a leaf, or with lazy splits some leaves at once, lay broken, and how long that was altogether. */
  readonly windows: number;
  readonly windowNs: number;
  /** DMA events, reads included, that met a broken leaf and ended there. */
  readonly faults: number;
  /** Bytes of their writes that never landed. */
  readonly lostBytes: number;
  /** DMA events that met a broken leaf and waited, how long that was altogether, and how many waited at once. */
  readonly stalls: number;
  readonly stalledNs: number;
  readonly deepestQueue: number;
  /** Invalidations waited for. */
  readonly flushes: number;
  /** How long it was under way; for lazy splits: how long the reads lasted that split what they found dirty. */
  readonly durationNs: number;
}

/** What a tracker's changes of leaf sizes came to. */
export interface ResizeResult extends ResizeStrategy {
  readonly splitting: ResizeWork;
  /** Null where nothing is merged. */
  readonly merging: ResizeWork | null;
}

/**
 * The changes of leaf sizes that a tracker makes while devices go on. One thing is under way at a time, as a sequence of atomic
 * steps in simulated time: a completed invalidation takes the cost model's price of one, everything else no time. Whoever drives
 * the tracker lets all DMA with a time < `nextStepNs` happen, then takes the step.
 */
export interface Resizing {
  /** When the next step is due, ns; Infinity where nothing is under way. A read waits for that. */
  readonly nextStepNs: number;
  /** Whether a leaf lies broken: DMA goes through `feed` then, and not through the tracker's. */
  readonly broken: boolean;
  /** Takes the step that is due. DMA that has waited for it lands. */
  step(landed: Landed): void;
  /** Events [begin, end) of the batch happen while a leaf lies broken, event i at `timeNs[i] + offsetNs`. */
  feed(batch: EventBatch, begin: number, end: number, offsetNs: number, landed: Landed): void;
  /** Begins a read that splits; it has returned once nothing is under way. False: reads don't split, use `Tracker.report`. */
  report(into: Bitmap, timeNs: number): boolean;
  /** Begins to merge everything; false where that is not asked for. */
  merge(timeNs: number): boolean;
  readonly result: ResizeResult;
}
