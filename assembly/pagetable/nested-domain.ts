import {
  CREATE_SIGNED,
  CREATE_TRACKED,
  DOMAIN_BIAS,
  DOMAIN_FIRST,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_GRANULE,
  DOMAIN_IOMMU,
  DOMAIN_LAST,
  DOMAIN_LOOKUP_SHIFT,
  DOMAIN_MASK,
  DOMAIN_NESTS,
  DOMAIN_PARENT,
  DOMAIN_ROOT_ENTRIES,
  DOMAIN_ROOT_IPA,
  DOMAIN_SIZES_USED,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  EINVAL,
  KIND_DOMAIN,
  MAIL0,
  MAIL1,
  SLOT_USERS,
} from '../layout';
import { noMemory } from '../memory/blocks';
import { openSlot, slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';
import { LOOKUP_SHIFT, rootEntriesFor, topFor } from './domain';
import { Format } from './format';

/**
 * A domain whose tables a guest keeps, at MAIL0 on as its own address, over the stage 2 `parent`; its handle. It has no tables here:
 * hardware walks them where stage 2 leads. MAIL1 is FORMAT_*. EINVAL: widths that the format lacks, or a root that is not
 * aligned; ENOMEM.
 */
export function createNested<F extends Format>(
  f: F,
  core: usize,
  iommu: u32,
  inputBits: u32,
  flags: u32,
  parent: u32,
): i32 {
  const signed = (flags & CREATE_SIGNED) != 0;
  const root = mail(core, MAIL0);
  if (f.growsTop() || !f.takesInputBits(inputBits, signed)) return fail(EINVAL);
  const top = topFor<F>(f, inputBits);
  const entries = rootEntriesFor<F>(f, top, inputBits);
  // A root is aligned to its size, or to 64 bytes where it is smaller.
  if (root & (max<u64>((<u64>entries) << 3, 64) - 1)) return fail(EINVAL);
  const handle = openSlot(core, KIND_DOMAIN);
  if (!handle) return noMemory(core, 0);
  const slot = slotOf(core, handle, KIND_DOMAIN);
  const under = slotOf(core, parent, KIND_DOMAIN);
  store<u32>(slot, <u32>mail(core, MAIL1), DOMAIN_FORMAT);
  store<u32>(slot, top, DOMAIN_TOP);
  store<u32>(slot, entries, DOMAIN_ROOT_ENTRIES);
  store<u64>(slot, root, DOMAIN_ROOT_IPA);
  store<u32>(slot, parent, DOMAIN_PARENT);
  store<u32>(slot, flags & CREATE_TRACKED ? DOMAIN_TRACKABLE | DOMAIN_TRACKING : 0, DOMAIN_FLAGS);
  store<u32>(slot, iommu, DOMAIN_IOMMU);
  store<u64>(slot, u64.MAX_VALUE >> (64 - inputBits), DOMAIN_MASK);
  store<u64>(slot, signed ? (<u64>1) << (inputBits - 1) : 0, DOMAIN_BIAS);
  store<u64>(slot, 0, DOMAIN_FIRST);
  store<u64>(slot, u64.MAX_VALUE, DOMAIN_LAST);
  // Both stages' leaf sizes may come up, in either order.
  store<u64>(slot, u64.MAX_VALUE, DOMAIN_SIZES_USED);
  store<u32>(slot, min<u32>(LOOKUP_SHIFT, f.granuleShift()), DOMAIN_LOOKUP_SHIFT);
  store<u32>(slot, f.granuleShift(), DOMAIN_GRANULE);
  store<u32>(under, load<u32>(under, DOMAIN_FLAGS) | DOMAIN_NESTS, DOMAIN_FLAGS);
  store<u32>(under, load<u32>(under, SLOT_USERS) + 1, SLOT_USERS);
  return handle;
}
