import {
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  IOMMU_RAM,
  KIND_IOMMU,
  KIND_RAM,
  MAIL0,
  RAM_BYTES,
  RAM_DATA,
  RAM_START,
  SLOT_USERS,
} from '../layout';
import { give, noMemory, take } from './blocks';
import { closeSlot, openSlot, slotOf } from './handles';
import { fail, mail } from './mailbox';

/** `bytes` of memory of a guest at the physical address MAIL0, both multiples of 4 KiB; its handle. EINVAL, ENOMEM. */
export function ramCreate(core: usize, bytes: u32): i32 {
  const start = mail(core, MAIL0);
  if (!bytes || (bytes | (<u32>start)) & 0xfff || start + (bytes - 1) < start) return fail(EINVAL);
  const handle = openSlot(core, KIND_RAM);
  const data = handle ? take(core, bytes) : 0;
  if (!data) {
    if (handle) closeSlot(core, handle);
    return noMemory(core, bytes);
  }
  const slot = slotOf(core, handle, KIND_RAM);
  store<u64>(slot, start, RAM_START);
  store<u32>(slot, bytes, RAM_BYTES);
  store<u32>(slot, data, RAM_DATA);
  return handle;
}

/** Frees it. EBADF; EBUSY: an IOMMU reads tables in it. */
export function ramDestroy(core: usize, ram: u32): i32 {
  const slot = slotOf(core, ram, KIND_RAM);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  give(core, load<u32>(slot, RAM_DATA));
  closeSlot(core, ram);
  return DONE;
}

function addUser(core: usize, ram: u32, delta: i32): void {
  const slot = ram ? slotOf(core, ram, KIND_RAM) : 0;
  if (slot) store<u32>(slot, load<u32>(slot, SLOT_USERS) + delta, SLOT_USERS);
}

/** The memory in which the IOMMU `iommu` finds tables of guests, 0 for none. EBADF. */
export function iommuRam(core: usize, iommu: u32, ram: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot || (ram && !slotOf(core, ram, KIND_RAM))) return fail(EBADF);
  addUser(core, load<u32>(slot, IOMMU_RAM), -1);
  addUser(core, ram, 1);
  store<u32>(slot, ram, IOMMU_RAM);
  return DONE;
}

/** Where the 8 bytes at the physical address `pa` lie for the IOMMU at `iommu`; 0: it has no memory there. */
export function ramAt(core: usize, iommu: usize, pa: u64): usize {
  const ram = load<u32>(iommu, IOMMU_RAM);
  const slot = ram ? slotOf(core, ram, KIND_RAM) : 0;
  if (!slot) return 0;
  const offset = pa - load<u64>(slot, RAM_START);
  return offset < load<u32>(slot, RAM_BYTES) ? core + load<u32>(slot, RAM_DATA) + ((<usize>offset) & ~7) : 0;
}
