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

/** Events [begin, end) happen: the tracker sees them all, the oracle the writes, which all land. */
export function feed(tracker: Tracker, oracle: Oracle, batch: EventBatch, begin: number, end: number): void {
  if (begin === end) return;
  tracker.feed(batch, begin, end);
  const { op, address, length } = batch;
  for (let i = begin; i < end; i++) {
    if (op[i] < FIRST_READ_OP) oracle.landBytes(address[i], length[i]);
  }
}
