import {
  ACCESS_READ,
  ACCESS_WRITE,
  DEVICE_PASID,
  DEVICE_REQUESTER,
  DONE,
  EBADF,
  EVENT_ACCESS,
  EVENT_BYTES,
  EVENT_IOVA,
  EVENT_IPA,
  EVENT_PASID,
  EVENT_REASON,
  EVENT_REQUESTER,
  EVENT_RESPONSE,
  EVENT_STAGE,
  EVENT_STREAM,
  EVENT_TAG,
  IOMMU_EVENTS,
  IOMMU_EVENTS_LOST,
  IOMMU_EVENT_CAPACITY,
  IOMMU_EVENT_COUNT,
  IOMMU_FAULT_IPA,
  KIND_DEVICE,
  KIND_IOMMU,
  NO_PASID,
  OUTCOME_RECORDS_LOST,
  QUEUE_STALLS,
  RESPONSE_STALLED,
  WAIT_ACCESS,
  WAIT_IOVA,
  WAIT_IPA,
  WAIT_PENDING,
  WAIT_REASON,
  WAIT_STAGE,
  WAIT_STATE,
  WAIT_STREAM,
  WAIT_UNRECORDED,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf, slotOfStream } from '../memory/handles';
import { fail } from '../memory/mailbox';
import { mostOf, nextOf, outcomesOf, waitAt } from './waiting';

/**
 * Writes a fault to the IOMMU's event queue, with IOMMU_FAULT_IPA; `device` is the address of its device, 0 for none. False where the queue is
 * full: nothing is counted then.
 */
export function writeEvent(
  core: usize,
  iommu: usize,
  device: usize,
  stream: u32,
  reason: u32,
  iova: u64,
  access: u32,
  stage: u32,
  response: u32,
  tag: u32,
): bool {
  const count = load<u32>(iommu, IOMMU_EVENT_COUNT);
  if (count >= load<u32>(iommu, IOMMU_EVENT_CAPACITY)) return false;
  const at = core + load<u32>(iommu, IOMMU_EVENTS) + count * EVENT_BYTES;
  store<u64>(at, iova, EVENT_IOVA);
  store<u64>(at, load<u64>(iommu, IOMMU_FAULT_IPA), EVENT_IPA);
  store<u32>(at, reason, EVENT_REASON);
  store<u32>(at, stream, EVENT_STREAM);
  store<u32>(at, access & (ACCESS_READ | ACCESS_WRITE), EVENT_ACCESS);
  store<u32>(at, device ? load<u32>(device, DEVICE_REQUESTER) : 0, EVENT_REQUESTER);
  store<u32>(at, device ? load<u32>(device, DEVICE_PASID) : NO_PASID, EVENT_PASID);
  store<u32>(at, stage, EVENT_STAGE);
  store<u32>(at, response, EVENT_RESPONSE);
  store<u32>(at, tag, EVENT_TAG);
  store<u32>(iommu, count + 1, IOMMU_EVENT_COUNT);
  return true;
}

/** Counts an event that found the queue full. */
export function loseEvent(core: usize, iommu: usize): void {
  store<u32>(iommu, load<u32>(iommu, IOMMU_EVENTS_LOST) + 1, IOMMU_EVENTS_LOST);
  bump(outcomesOf(core, iommu), OUTCOME_RECORDS_LOST, 1);
}

/** Empties the event queue. Stalls that found it full are recorded now, the oldest tags first, as far as there is room. EBADF. */
export function iommuEventsTaken(core: usize, iommu: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  store<u32>(slot, 0, IOMMU_EVENT_COUNT);
  store<u32>(slot, 0, IOMMU_EVENTS_LOST);
  const most = mostOf(core, slot, QUEUE_STALLS);
  const next = nextOf(core, slot, QUEUE_STALLS);
  for (let i: u32 = 0; i < most; ++i) {
    const tag = (next + i) % most;
    const at = waitAt(core, slot, QUEUE_STALLS, tag);
    const stage = load<u32>(at, WAIT_STAGE);
    if (load<u32>(at, WAIT_STATE) != <u32>WAIT_PENDING || !(stage & WAIT_UNRECORDED)) continue;
    const stream = load<u32>(at, WAIT_STREAM);
    const device = slotOfStream(core, stream, KIND_DEVICE);
    const reason = load<u32>(at, WAIT_REASON);
    const iova = load<u64>(at, WAIT_IOVA);
    const access = load<u32>(at, WAIT_ACCESS);
    const own = stage & ~WAIT_UNRECORDED;
    store<u64>(slot, load<u64>(at, WAIT_IPA), IOMMU_FAULT_IPA);
    if (!writeEvent(core, slot, device, stream, reason, iova, access, own, RESPONSE_STALLED, tag)) break;
    store<u32>(at, own, WAIT_STAGE);
  }
  return DONE;
}
