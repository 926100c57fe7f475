import {
  DEVICE_DOMAIN,
  DEVICE_IOMMU,
  DEVICE_LOG,
  DEVICE_REQUESTER,
  DOMAIN_IOMMU,
  DONE,
  EBADF,
  EINVAL,
  KIND_DEVICE,
  KIND_DOMAIN,
  KIND_IOMMU,
  KIND_LOG,
  SLOT_USERS,
} from '../layout';
import { noMemory } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

function addUser(core: usize, handle: u32, kind: u32, delta: i32): void {
  const slot = handle ? slotOf(core, handle, kind) : 0;
  if (slot) store<u32>(slot, load<u32>(slot, SLOT_USERS) + delta, SLOT_USERS);
}

/** A device behind `iommu`, in no domain (its DMA goes untranslated) and with no log; its handle. EBADF, ENOMEM. */
export function deviceCreate(core: usize, iommu: u32, requester: u32): i32 {
  if (!slotOf(core, iommu, KIND_IOMMU)) return fail(EBADF);
  const handle = openSlot(core, KIND_DEVICE);
  if (!handle) return noMemory(core, 0);
  const slot = slotOf(core, handle, KIND_DEVICE);
  store<u32>(slot, requester, DEVICE_REQUESTER);
  store<u32>(slot, iommu, DEVICE_IOMMU);
  addUser(core, iommu, KIND_IOMMU, 1);
  return handle;
}

/** Frees a device. EBADF. */
export function deviceDestroy(core: usize, device: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  addUser(core, load<u32>(slot, DEVICE_DOMAIN), KIND_DOMAIN, -1);
  addUser(core, load<u32>(slot, DEVICE_LOG), KIND_LOG, -1);
  addUser(core, load<u32>(slot, DEVICE_IOMMU), KIND_IOMMU, -1);
  closeSlot(core, device);
  return DONE;
}

/** Puts a device into `domain`, 0 for none. EBADF; EINVAL: the domain is behind another IOMMU. */
export function deviceAttach(core: usize, device: u32, domain: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  const target = domain ? slotOf(core, domain, KIND_DOMAIN) : 0;
  if (!slot || (domain && !target)) return fail(EBADF);
  if (target && load<u32>(target, DOMAIN_IOMMU) != load<u32>(slot, DEVICE_IOMMU)) return fail(EINVAL);
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
