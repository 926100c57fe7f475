import {
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  EVENT_BYTES,
  IOMMU_EVENTS,
  IOMMU_EVENT_CAPACITY,
  IOMMU_IOTLB,
  IOMMU_RING,
  IOMMU_RING_CAPACITY,
  IOMMU_SETS,
  IOMMU_WAYS,
  IOTLB_ENTRY_BYTES,
  KIND_IOMMU,
  REQUEST_BYTES,
  SLOT_USERS,
} from '../layout';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

const MAX_ENTRIES: u32 = 1 << 16;

/**
 * An IOMMU with an empty IOTLB of `sets` (a power of two) x `ways`, a ring of `requests` and a queue of `events`; its handle.
 * EINVAL: a size of 0, sets no power of two, or more than 2^16 of anything; ENOMEM.
 */
export function iommuCreate(core: usize, sets: u32, ways: u32, requests: u32, events: u32): i32 {
  if (!sets || popcnt<u32>(sets) != 1 || !ways || sets > MAX_ENTRIES || ways > MAX_ENTRIES) return fail(EINVAL);
  if (sets * ways > MAX_ENTRIES || !requests || requests > MAX_ENTRIES || !events || events > MAX_ENTRIES) {
    return fail(EINVAL);
  }
  const handle = openSlot(core, KIND_IOMMU);
  const iotlb = handle ? take(core, sets * ways * IOTLB_ENTRY_BYTES) : 0;
  const ring = iotlb ? take(core, requests * REQUEST_BYTES) : 0;
  const queue = ring ? take(core, events * EVENT_BYTES) : 0;
  if (!queue) {
    if (ring) give(core, ring);
    if (iotlb) give(core, iotlb);
    if (handle) closeSlot(core, handle);
    // Each part is rounded up to a power of two.
    return noMemory(core, (sets * ways * IOTLB_ENTRY_BYTES + requests * REQUEST_BYTES + events * EVENT_BYTES) << 1);
  }
  const slot = slotOf(core, handle, KIND_IOMMU);
  store<u32>(slot, sets, IOMMU_SETS);
  store<u32>(slot, ways, IOMMU_WAYS);
  store<u32>(slot, iotlb, IOMMU_IOTLB);
  store<u32>(slot, ring, IOMMU_RING);
  store<u32>(slot, requests, IOMMU_RING_CAPACITY);
  store<u32>(slot, queue, IOMMU_EVENTS);
  store<u32>(slot, events, IOMMU_EVENT_CAPACITY);
  return handle;
}

/** Frees an IOMMU. EBADF; EBUSY: it has domains or devices. */
export function iommuDestroy(core: usize, iommu: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  give(core, load<u32>(slot, IOMMU_IOTLB));
  give(core, load<u32>(slot, IOMMU_RING));
  give(core, load<u32>(slot, IOMMU_EVENTS));
  closeSlot(core, iommu);
  return DONE;
}
