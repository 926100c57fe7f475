import type { EventBatch } from './recording.ts';

/** Events that a batch of the readers holds at most. */
export const BATCH_EVENTS = 8192;

/** An empty batch with room for `capacity` events; `mapped`: of a recording with mappings. */
export function createEventBatch(capacity = BATCH_EVENTS, mapped = false): EventBatch {
  return {
    ...(mapped ? { mapping: { gpa: new Float64Array(capacity), access: new Uint8Array(capacity) } } : {}),
    kind: 'dma',
    count: 0,
    timeNs: new Float64Array(capacity),
    device: new Uint16Array(capacity),
    op: new Uint8Array(capacity),
    address: new Float64Array(capacity),
    length: new Float64Array(capacity),
  };
}

/** Moves events [begin, end) to the front of `batch`, which then holds only them. */
export function moveToFront(batch: EventBatch, begin: number, end: number): void {
  batch.timeNs.copyWithin(0, begin, end);
  batch.device.copyWithin(0, begin, end);
  batch.op.copyWithin(0, begin, end);
  batch.address.copyWithin(0, begin, end);
  batch.length.copyWithin(0, begin, end);
  batch.mapping?.gpa.copyWithin(0, begin, end);
  batch.mapping?.access.copyWithin(0, begin, end);
  batch.count = end - begin;
}
