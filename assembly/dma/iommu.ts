import {
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  DONE,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EVENT_BYTES,
  INVALIDATION_RANGES,
  INVALIDATION_VENDOR,
  IOMMU_EVENTS,
  IOMMU_EVENT_CAPACITY,
  IOMMU_IOTLB,
  IOMMU_MODE,
  IOMMU_RING,
  IOMMU_RING_CAPACITY,
  IOMMU_WAITING,
  IOMMU_TABLE_WRITES,
  IOMMU_WALKS,
  KIND_BITMAP,
  KIND_IOMMU,
  OUTCOME_BYTES,
  OUTCOME_PAGES_MOST,
  OUTCOME_STALLS_MOST,
  REQUEST_BYTES,
  SLOT_USERS,
  WAIT_BYTES,
} from '../layout';
import { makeWays, Ways } from '../iotlb/ways';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { iommuRam } from '../memory/ram';
import { fail } from '../memory/mailbox';

const MAX_ENTRIES: u32 = 1 << 16;

function isCount(value: u32): bool {
  return value > 0 && value <= MAX_ENTRIES;
}

/** Whether a cache can have `sets` (a power of two) x `ways`. */
export function isGeometry(sets: u32, ways: u32): bool {
  return isCount(sets) && isCount(ways) && popcnt<u32>(sets) == 1 && sets * ways <= MAX_ENTRIES;
}

/** Bytes that the sets of a cache take. */
export function cacheBytes(sets: u32, ways: u32): u32 {
  return sets * Ways.setBytes(ways);
}

/** Makes the empty cache at `cache`, whose geometry must be one; false: out of memory. */
export function makeCache(core: usize, cache: usize, sets: u32, ways: u32): bool {
  const base = take(core, cacheBytes(sets, ways));
  if (!base) return false;
  for (let set: u32 = 0; set < sets; ++set) makeWays(core + base + set * Ways.setBytes(ways), ways);
  store<u32>(cache, sets, CACHE_SETS);
  store<u32>(cache, ways, CACHE_WAYS);
  store<u32>(cache, base, CACHE_BASE);
  return true;
}

/** Gives back the memory of the cache at `cache`, if there is one. */
export function freeCache(core: usize, cache: usize): void {
  if (load<u32>(cache, CACHE_SETS)) give(core, load<u32>(cache, CACHE_BASE));
}

/** Memory for the outcomes of faults and what waits for answers; its core offset, 0: out of memory. */
function makeWaiting(core: usize, stalls: u32, pages: u32): u32 {
  const waiting = take(core, OUTCOME_BYTES + (stalls + pages) * WAIT_BYTES);
  if (!waiting) return 0;
  store<u32>(core + waiting, stalls, OUTCOME_STALLS_MOST);
  store<u32>(core + waiting, pages, OUTCOME_PAGES_MOST);
  return waiting;
}

/**
 * An IOMMU with an empty IOTLB of `sets` (a power of two) x `ways`, a ring of `requests`, queues of `events`, `stalls` and page
 * requests (`pages`), and INVALIDATION_* in `mode`; its handle. EINVAL: a size of 0, sets no power of two, or more than 2^16
 * of anything; ENOMEM.
 */
export function iommuCreate(
  core: usize,
  sets: u32,
  ways: u32,
  requests: u32,
  events: u32,
  stalls: u32,
  pages: u32,
  mode: u32,
): i32 {
  if (!isGeometry(sets, ways) || mode & ~(INVALIDATION_VENDOR | INVALIDATION_RANGES)) return fail(EINVAL);
  if (!isCount(requests) || !isCount(events) || !isCount(stalls) || !isCount(pages)) return fail(EINVAL);
  const handle = openSlot(core, KIND_IOMMU);
  const slot = handle ? slotOf(core, handle, KIND_IOMMU) : 0;
  const cached = slot ? makeCache(core, slot + IOMMU_IOTLB, sets, ways) : false;
  const ring = cached ? take(core, requests * REQUEST_BYTES) : 0;
  const queue = ring ? take(core, events * EVENT_BYTES) : 0;
  const waiting = queue ? makeWaiting(core, stalls, pages) : 0;
  if (!waiting) {
    if (queue) give(core, queue);
    if (ring) give(core, ring);
    if (cached) freeCache(core, slot + IOMMU_IOTLB);
    if (handle) closeSlot(core, handle);
    // Each part is rounded up to a power of two.
    const parts = cacheBytes(sets, ways) + requests * REQUEST_BYTES + events * EVENT_BYTES;
    return noMemory(core, (<u64>parts + OUTCOME_BYTES + (stalls + pages) * WAIT_BYTES) << 1);
  }
  store<u32>(slot, mode, IOMMU_MODE);
  store<u32>(slot, ring, IOMMU_RING);
  store<u32>(slot, requests, IOMMU_RING_CAPACITY);
  store<u32>(slot, queue, IOMMU_EVENTS);
  store<u32>(slot, events, IOMMU_EVENT_CAPACITY);
  store<u32>(slot, waiting, IOMMU_WAITING);
  return handle;
}

/** Gives an IOMMU a walk cache of `sets` x `ways`. EBADF; EINVAL: no geometry; EEXIST: it has one; ENOMEM. */
export function iommuWalkCache(core: usize, iommu: u32, sets: u32, ways: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (!isGeometry(sets, ways)) return fail(EINVAL);
  if (load<u32>(slot, IOMMU_WALKS + CACHE_SETS)) return fail(EEXIST);
  return makeCache(core, slot + IOMMU_WALKS, sets, ways) ? DONE : noMemory(core, cacheBytes(sets, ways));
}

/** Has the IOMMU mark in `bitmap`, by physical address, the pages with tables of guests that it writes; 0: not. EBADF. */
export function iommuTableWrites(core: usize, iommu: u32, bitmap: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot || (bitmap && !slotOf(core, bitmap, KIND_BITMAP))) return fail(EBADF);
  store<u32>(slot, bitmap, IOMMU_TABLE_WRITES);
  return DONE;
}

/** Frees an IOMMU. EBADF; EBUSY: it has domains or devices. */
export function iommuDestroy(core: usize, iommu: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  freeCache(core, slot + IOMMU_IOTLB);
  freeCache(core, slot + IOMMU_WALKS);
  iommuRam(core, iommu, 0);
  give(core, load<u32>(slot, IOMMU_RING));
  give(core, load<u32>(slot, IOMMU_EVENTS));
  give(core, load<u32>(slot, IOMMU_WAITING));
  closeSlot(core, iommu);
  return DONE;
}
