// Requests that wait for an answer of software: stalled ones, and page requests. Both queues have the same shape.

import {
  ACCESS_WAITS,
  DEVICE_IOMMU,
  DEVICE_OWNER,
  IOMMU_FAULT_IPA,
  IOMMU_WAITING,
  KIND_DEVICE,
  KIND_IOMMU,
  OUTCOME_BYTES,
  OUTCOME_PAGES_MOST,
  OUTCOME_PAGES_NEXT,
  OUTCOME_STALLS_MOST,
  OUTCOME_STALLS_NEXT,
  OUTCOME_STALL_TERMINATES,
  QUEUE_PAGES,
  QUEUE_STALLS,
  WAIT_ACCESS,
  WAIT_BYTES,
  WAIT_END,
  WAIT_FREE,
  WAIT_IOVA,
  WAIT_IPA,
  WAIT_LENGTH,
  WAIT_PENDING,
  WAIT_REASON,
  WAIT_STAGE,
  WAIT_STATE,
  WAIT_STREAM,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf, slotOfStream } from '../memory/handles';

/** Where the outcomes of faults behind the IOMMU at `iommu` are counted. */
export function outcomesOf(core: usize, iommu: usize): usize {
  return core + load<u32>(iommu, IOMMU_WAITING);
}

/** How many requests a queue can hold. */
export function mostOf(core: usize, iommu: usize, queue: u32): u32 {
  return load<u32>(outcomesOf(core, iommu) + (queue == <u32>QUEUE_STALLS ? OUTCOME_STALLS_MOST : OUTCOME_PAGES_MOST));
}

/** Entry `index` of a queue. */
export function waitAt(core: usize, iommu: usize, queue: u32, index: u32): usize {
  const skipped = queue == <u32>QUEUE_STALLS ? 0 : mostOf(core, iommu, QUEUE_STALLS);
  return outcomesOf(core, iommu) + OUTCOME_BYTES + (skipped + index) * WAIT_BYTES;
}

/** The index that is given out next, if it is free: it goes round, so that the oldest entries follow. */
export function nextOf(core: usize, iommu: usize, queue: u32): u32 {
  return load<u32>(outcomesOf(core, iommu) + (queue == <u32>QUEUE_STALLS ? OUTCOME_STALLS_NEXT : OUTCOME_PAGES_NEXT));
}

/** Keeps what is left of a request, [iova, last]; its index in the queue, -1 where that is full. */
export function keep(
  core: usize,
  iommu: usize,
  queue: u32,
  stream: u32,
  reason: u32,
  iova: u64,
  last: u64,
  access: u32,
  stage: u32,
): i32 {
  const most = mostOf(core, iommu, queue);
  const next = nextOf(core, iommu, queue);
  for (let i: u32 = 0; i < most; ++i) {
    const index = (next + i) % most;
    const at = waitAt(core, iommu, queue, index);
    if (load<u32>(at, WAIT_STATE) != <u32>WAIT_FREE) continue;
    store<u64>(at, iova, WAIT_IOVA);
    store<u32>(at, <u32>(last - iova) + 1, WAIT_LENGTH);
    store<u32>(at, stream, WAIT_STREAM);
    store<u32>(at, access, WAIT_ACCESS);
    store<u32>(at, reason, WAIT_REASON);
    store<u32>(at, stage, WAIT_STAGE);
    store<u64>(at, load<u64>(iommu, IOMMU_FAULT_IPA), WAIT_IPA);
    store<u32>(at, WAIT_PENDING, WAIT_STATE);
    const word = queue == <u32>QUEUE_STALLS ? OUTCOME_STALLS_NEXT : OUTCOME_PAGES_NEXT;
    store<u32>(outcomesOf(core, iommu) + word, (index + 1) % most);
    return index;
  }
  return -1;
}

/** Ends a wait: the requester that waits itself takes that as its answer, another one is told nothing. */
export function endWait(at: usize): void {
  store<u32>(at, load<u32>(at, WAIT_ACCESS) & ACCESS_WAITS ? WAIT_END : WAIT_FREE, WAIT_STATE);
}

/** Ends the stalls of a device and of its PASIDs; how many there were. */
export function endStalls(core: usize, iommu: usize, device: u32): i32 {
  const most = mostOf(core, iommu, QUEUE_STALLS);
  let ended: i32 = 0;
  for (let index: u32 = 0; index < most; ++index) {
    const at = waitAt(core, iommu, QUEUE_STALLS, index);
    if (load<u32>(at, WAIT_STATE) != <u32>WAIT_PENDING) continue;
    const slot = slotOfStream(core, load<u32>(at, WAIT_STREAM), KIND_DEVICE);
    if (!slot || load<u32>(slot, DEVICE_OWNER) != device) continue;
    endWait(at);
    ++ended;
  }
  bump(outcomesOf(core, iommu), OUTCOME_STALL_TERMINATES, ended);
  return ended;
}

/** Forgets what waits for the device at `device`, answered or not: its stream is about to name nothing. */
export function forgetWaits(core: usize, device: usize, stream: u32): void {
  const iommu = slotOf(core, load<u32>(device, DEVICE_IOMMU), KIND_IOMMU);
  for (let queue: u32 = QUEUE_STALLS; queue <= <u32>QUEUE_PAGES; ++queue) {
    const most = mostOf(core, iommu, queue);
    for (let index: u32 = 0; index < most; ++index) {
      const at = waitAt(core, iommu, queue, index);
      if (load<u32>(at, WAIT_STREAM) == stream) store<u32>(at, WAIT_FREE, WAIT_STATE);
    }
  }
}
