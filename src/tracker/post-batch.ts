import { READ, WRITE } from '../iommu/access.ts';
import type { Requester } from '../iommu/requester.ts';
import { FIRST_READ_OP, type EventBatch } from '../workload/recording.ts';

/** The most that one request asks for, bytes; a longer event becomes several. */
export const MAX_REQUEST = 2 ** 31;

/** Posts events [begin, end) of a batch, event by event, from the device that did it. `reads`: also those that read. */
export function postBatch(
  devices: (index: number) => Requester,
  batch: EventBatch,
  begin: number,
  end: number,
  reads: boolean,
): void {
  const { device, op, address, length } = batch;
  let index = -1;
  let requester!: Requester;
  for (let i = begin; i < end; i++) {
    const writes = op[i] < FIRST_READ_OP;
    if (!writes && !reads) continue;
    if (device[i] !== index) {
      index = device[i];
      requester = devices(index);
    }
    let at = address[i];
    let left = length[i];
    for (; left > MAX_REQUEST; at += MAX_REQUEST, left -= MAX_REQUEST) {
      requester.post(at, MAX_REQUEST, writes ? WRITE : READ);
    }
    requester.post(at, left, writes ? WRITE : READ);
  }
}
