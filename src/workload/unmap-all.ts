import { BATCH_EVENTS, createEventBatch } from './event-batch.ts';
import type { GuestMappings } from './guest-mappings.ts';
import { UNMAP_OP, type EventBatch } from './recording.ts';

/** `unmap` events at `timeNs` for all that is mapped, in batches; the columns are reused. */
export function* unmapAll(mappings: GuestMappings, timeNs: number): Generator<EventBatch> {
  const batch = createEventBatch(BATCH_EVENTS, true);
  for (let device = 0; device < mappings.devices; device++) {
    for (const { iova, length } of mappings.of(device)) {
      const n = batch.count++;
      batch.timeNs[n] = timeNs;
      batch.device[n] = device;
      batch.op[n] = UNMAP_OP;
      batch.address[n] = iova;
      batch.length[n] = length;
      if (batch.count < BATCH_EVENTS) continue;
      yield batch;
      batch.count = 0;
    }
  }
  if (batch.count > 0) yield batch;
}
