import { dropFromDevice } from '../iotlb/atc';
import {
  CACHE_SETS,
  CORE_SLOTS,
  DEVICE_ATC,
  DEVICE_ATC_TAG,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_EAGER,
  DEVICE_IOMMU,
  DEVICE_KIND,
  DEVICE_LOG,
  DEVICE_NEXT,
  DEVICE_NOT_PCIE,
  DEVICE_OWNER,
  DEVICE_PASID,
  DEVICE_PRI,
  DEVICE_REQUESTER,
  DEVICE_STREAM,
  DOMAIN_IOMMU,
  DONE,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  IOMMU_ATS,
  KIND_DEVICE,
  KIND_DOMAIN,
  KIND_IOMMU,
  KIND_LOG,
  NO_PASID,
  SLOT_KIND,
  SLOT_USERS,
} from '../layout';
import { noMemory } from '../memory/blocks';
import { closeSlot, openSlot, slotAt, slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';
import { freeCache, isGeometry, makeCache } from './iommu';
import { forgetWaits } from './waiting';

const MOST_PASIDS: u32 = 1 << 20;

function addUser(core: usize, handle: u32, kind: u32, delta: i32): void {
  const slot = handle ? slotOf(core, handle, kind) : 0;
  if (slot) store<u32>(slot, load<u32>(slot, SLOT_USERS) + delta, SLOT_USERS);
}

/** Puts a device at the head of its IOMMU's list of those with a cache. */
function enlist(iommu: usize, slot: usize, handle: u32): void {
  store<u32>(slot, load<u32>(iommu, IOMMU_ATS), DEVICE_NEXT);
  store<u32>(iommu, handle, IOMMU_ATS);
}

/** Takes a device off that list again, if it is there. */
function delist(core: usize, iommu: usize, slot: usize, handle: u32): void {
  let link = iommu + IOMMU_ATS;
  while (true) {
    const at = load<u32>(link);
    if (!at) return;
    if (at == handle) break;
    link = slotOf(core, at, KIND_DEVICE) + DEVICE_NEXT;
  }
  store<u32>(link, load<u32>(slot, DEVICE_NEXT));
}

function open(core: usize, iommu: u32, requester: u32, kind: u32, pasid: u32): u32 {
  const handle = openSlot(core, KIND_DEVICE);
  if (!handle) return 0;
  const slot = slotOf(core, handle, KIND_DEVICE);
  store<u32>(slot, requester, DEVICE_REQUESTER);
  store<u32>(slot, iommu, DEVICE_IOMMU);
  store<u32>(slot, kind, DEVICE_KIND);
  store<u32>(slot, handle, DEVICE_OWNER);
  store<u32>(slot, handle & 0xffff, DEVICE_STREAM);
  store<u32>(slot, pasid, DEVICE_PASID);
  addUser(core, iommu, KIND_IOMMU, 1);
  return handle;
}

/**
 * A device behind `iommu`, in no domain (its DMA goes untranslated) and with no log; `kind`: DEVICE_NOT_PCIE or 0. Its handle.
 * EBADF, EINVAL, ENOMEM.
 */
export function deviceCreate(core: usize, iommu: u32, requester: u32, kind: u32): i32 {
  if (!slotOf(core, iommu, KIND_IOMMU)) return fail(EBADF);
  if (kind & ~DEVICE_NOT_PCIE) return fail(EINVAL);
  const handle = open(core, iommu, requester, kind, NO_PASID);
  return handle ? handle : noMemory(core, 0);
}

/**
 * Gives a device a cache of its own of `sets` (a power of two) x `ways`; `kind`: DEVICE_PRI and DEVICE_EAGER. EBADF; EINVAL: no
 * geometry, or no PCIe device; EEXIST: it has one; EBUSY: it has PASIDs already; ENOMEM.
 */
export function deviceCache(core: usize, device: u32, sets: u32, ways: u32, kind: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  const own = load<u32>(slot, DEVICE_KIND);
  if (kind & ~(DEVICE_PRI | DEVICE_EAGER) || own & DEVICE_NOT_PCIE || !isGeometry(sets, ways)) return fail(EINVAL);
  if (own & DEVICE_ATS) return fail(EEXIST);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  if (!makeCache(core, slot + DEVICE_ATC, sets, ways)) return noMemory(core, (<u64>sets * ways) << 5);
  store<u32>(slot, own | kind | DEVICE_ATS, DEVICE_KIND);
  enlist(slotOf(core, load<u32>(slot, DEVICE_IOMMU), KIND_IOMMU), slot, device);
  return DONE;
}

/** Whether the device with handle `device` has `pasid` already. */
function hasPasid(core: usize, device: u32, pasid: u32): bool {
  const slots = load<u32>(core, CORE_SLOTS);
  for (let index: u32 = 0; index < slots; ++index) {
    const slot = slotAt(core, index);
    if (load<u32>(slot, SLOT_KIND) != <u32>KIND_DEVICE) continue;
    if (load<u32>(slot, DEVICE_OWNER) == device && load<u32>(slot, DEVICE_PASID) == pasid) return true;
  }
  return false;
}

/**
 * An address space of a device, named by a PASID of 20 bits: a device of its own with the same requester id, the cache of the
 * device if that has one, and in no domain yet. Its handle. EBADF; EINVAL: no PASID, or of a PASID; EEXIST; ENOMEM.
 */
export function devicePasid(core: usize, device: u32, pasid: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  if (pasid >= MOST_PASIDS || load<u32>(slot, DEVICE_PASID) != <u32>NO_PASID) return fail(EINVAL);
  if (hasPasid(core, device, pasid)) return fail(EEXIST);
  const iommu = load<u32>(slot, DEVICE_IOMMU);
  const kind = load<u32>(slot, DEVICE_KIND);
  const handle = open(core, iommu, load<u32>(slot, DEVICE_REQUESTER), kind, pasid);
  if (!handle) return noMemory(core, 0);
  const own = slotOf(core, handle, KIND_DEVICE);
  store<u32>(own, device, DEVICE_OWNER);
  store<u64>(own, pasid + 1, DEVICE_ATC_TAG);
  if (kind & DEVICE_ATS) enlist(slotOf(core, iommu, KIND_IOMMU), own, handle);
  addUser(core, device, KIND_DEVICE, 1);
  return handle;
}

/** Frees a device, with what it has waiting. EBADF; EBUSY: it has PASIDs. */
export function deviceDestroy(core: usize, device: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  const iommu = load<u32>(slot, DEVICE_IOMMU);
  forgetWaits(core, slot, load<u32>(slot, DEVICE_STREAM));
  if (load<u32>(slot, DEVICE_KIND) & DEVICE_ATS) {
    dropFromDevice(core, slot, 0, u64.MAX_VALUE);
    delist(core, slotOf(core, iommu, KIND_IOMMU), slot, device);
  }
  if (load<u32>(slot, DEVICE_ATC + CACHE_SETS)) freeCache(core, slot + DEVICE_ATC);
  addUser(core, load<u32>(slot, DEVICE_DOMAIN), KIND_DOMAIN, -1);
  addUser(core, load<u32>(slot, DEVICE_LOG), KIND_LOG, -1);
  addUser(core, iommu, KIND_IOMMU, -1);
  const owner = load<u32>(slot, DEVICE_OWNER);
  if (owner != device) addUser(core, owner, KIND_DEVICE, -1);
  closeSlot(core, device);
  return DONE;
}

/**
 * Puts a device into `domain`, 0 for none; what it has cached goes. EBADF; EINVAL: the domain is behind another IOMMU.
 */
export function deviceAttach(core: usize, device: u32, domain: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  const target = domain ? slotOf(core, domain, KIND_DOMAIN) : 0;
  if (!slot || (domain && !target)) return fail(EBADF);
  if (target && load<u32>(target, DOMAIN_IOMMU) != load<u32>(slot, DEVICE_IOMMU)) return fail(EINVAL);
  if (load<u32>(slot, DEVICE_KIND) & DEVICE_ATS) dropFromDevice(core, slot, 0, u64.MAX_VALUE);
  addUser(core, load<u32>(slot, DEVICE_DOMAIN), KIND_DOMAIN, -1);
  addUser(core, domain, KIND_DOMAIN, 1);
  store<u32>(slot, domain, DEVICE_DOMAIN);
  return DONE;
}

/** Has a device log its writes in `log`, 0 for no log. EBADF. */
export function deviceLog(core: usize, device: u32, log: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot || (log && !slotOf(core, log, KIND_LOG))) return fail(EBADF);
  addUser(core, load<u32>(slot, DEVICE_LOG), KIND_LOG, -1);
  addUser(core, log, KIND_LOG, 1);
  store<u32>(slot, log, DEVICE_LOG);
  return DONE;
}
