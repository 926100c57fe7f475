import {
  ACCESS_READ,
  ACCESS_WAITS,
  ACCESS_WRITE,
  ANSWER_END,
  ANSWER_IGNORE,
  ANSWER_RETRY,
  DEVICE_IOMMU,
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  ENOENT,
  ENOSPC,
  IOMMU_RING,
  IOMMU_RING_CAPACITY,
  IOMMU_RING_POSTED,
  KIND_DEVICE,
  KIND_IOMMU,
  OUTCOME_IGNORED,
  OUTCOME_STALL_RETRIES,
  OUTCOME_STALL_TERMINATES,
  QUEUE_PAGES,
  QUEUE_STALLS,
  REQUEST_BYTES,
  REQUEST_FLAGS_SHIFT,
  REQUEST_IOVA,
  REQUEST_LENGTH,
  REQUEST_STREAM,
  WAIT_ACCESS,
  WAIT_FREE,
  WAIT_IOVA,
  WAIT_LENGTH,
  WAIT_PENDING,
  WAIT_RETRY,
  WAIT_STAGE,
  WAIT_STATE,
  WAIT_STREAM,
  WAIT_UNRECORDED,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';
import { endStalls, endWait, mostOf, outcomesOf, waitAt } from './waiting';

/** Posts what is left of a waiting request as if it had newly arrived; false where the ring is full. */
function repost(core: usize, iommu: usize, wait: usize): bool {
  const posted = load<u32>(iommu, IOMMU_RING_POSTED);
  if (posted >= load<u32>(iommu, IOMMU_RING_CAPACITY)) return false;
  const at = core + load<u32>(iommu, IOMMU_RING) + posted * REQUEST_BYTES;
  const flags = load<u32>(wait, WAIT_ACCESS) & (ACCESS_READ | ACCESS_WRITE);
  store<u64>(at, load<u64>(wait, WAIT_IOVA), REQUEST_IOVA);
  store<u32>(at, load<u32>(wait, WAIT_LENGTH), REQUEST_LENGTH);
  store<u32>(at, load<u32>(wait, WAIT_STREAM) | (flags << REQUEST_FLAGS_SHIFT), REQUEST_STREAM);
  store<u32>(iommu, posted + 1, IOMMU_RING_POSTED);
  return true;
}

/** Entry `index` of a queue, answered or not; 0 where there is none. */
function waitingAt(core: usize, iommu: usize, queue: u32, index: u32): usize {
  if (index >= mostOf(core, iommu, queue)) return 0;
  const at = waitAt(core, iommu, queue, index);
  return load<u32>(at, WAIT_STATE) == <u32>WAIT_FREE ? 0 : at;
}

/**
 * Answers a stalled request (CMD_RESUME) or a page request (PRI response). ANSWER_RETRY: what is left of it goes into the ring
 * again, or its requester, which waits itself, is told. EBADF; EINVAL: no answer, or ANSWER_IGNORE for stage 2 or a page request;
 * ENOENT: nothing waits there; ENOSPC: a full ring.
 */
export function iommuAnswer(core: usize, iommu: u32, queue: u32, index: u32, answer: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (queue > <u32>QUEUE_PAGES || answer > <u32>ANSWER_IGNORE) return fail(EINVAL);
  const at = waitingAt(core, slot, queue, index);
  if (!at || load<u32>(at, WAIT_STATE) != <u32>WAIT_PENDING) return fail(ENOENT);
  if (answer == <u32>ANSWER_IGNORE) {
    if (queue != <u32>QUEUE_STALLS || (load<u32>(at, WAIT_STAGE) & ~WAIT_UNRECORDED) != 1) return fail(EINVAL);
    bump(outcomesOf(core, slot), OUTCOME_IGNORED, 1);
  }
  if (answer != <u32>ANSWER_RETRY) {
    endWait(at);
  } else if (load<u32>(at, WAIT_ACCESS) & ACCESS_WAITS) {
    store<u32>(at, WAIT_RETRY, WAIT_STATE);
  } else {
    if (!repost(core, slot, at)) return fail(ENOSPC);
    store<u32>(at, WAIT_FREE, WAIT_STATE);
  }
  if (queue == <u32>QUEUE_STALLS) {
    bump(outcomesOf(core, slot), answer == <u32>ANSWER_RETRY ? OUTCOME_STALL_RETRIES : OUTCOME_STALL_TERMINATES, 1);
  }
  return DONE;
}

/**
 * Takes the answer to a wait of a requester that waits itself: ANSWER_RETRY or ANSWER_END. EBADF, EINVAL; ENOENT: nothing
 * waits there; EBUSY: there is no answer yet.
 */
export function iommuTakeAnswer(core: usize, iommu: u32, queue: u32, index: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (queue > <u32>QUEUE_PAGES) return fail(EINVAL);
  const at = waitingAt(core, slot, queue, index);
  if (!at) return fail(ENOENT);
  const state = load<u32>(at, WAIT_STATE);
  if (state == <u32>WAIT_PENDING) return fail(EBUSY);
  store<u32>(at, WAIT_FREE, WAIT_STATE);
  return state == <u32>WAIT_RETRY ? ANSWER_RETRY : ANSWER_END;
}

/** Ends all stalls of a device and of its PASIDs (CMD_STALL_TERM); how many there were. EBADF. */
export function deviceEndStalls(core: usize, device: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  return endStalls(core, slotOf(core, load<u32>(slot, DEVICE_IOMMU), KIND_IOMMU), device);
}
