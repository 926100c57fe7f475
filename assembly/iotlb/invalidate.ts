import {
  DONE,
  DOMAIN_FLAGS,
  DOMAIN_GRANULE,
  DOMAIN_IOMMU,
  DOMAIN_NESTS,
  DOMAIN_TAG,
  EBADF,
  EINVAL,
  FORM_ALL,
  FORM_DOMAIN,
  FORM_IPA,
  FORM_RANGE,
  INVALIDATE_ATC_ONLY,
  INVALIDATE_FORM_SHIFT,
  INVALIDATE_LEAF_ONLY,
  INVALIDATE_NO_ATC,
  INVALIDATE_OTHER_TAG,
  INVALIDATE_SIZE_SHIFT,
  INVALIDATION_VENDOR,
  IOMMU_INVALIDATIONS,
  IOMMU_IOTLB,
  IOMMU_MODE,
  IOMMU_SIZES,
  IOMMU_WALKS,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
  MAIL10,
  MAIL8,
  MAIL9,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';
import { amdBlock } from './encode-amd';
import { dropEntries } from './drop';
import { encode } from './encode';
import { invalidateDevices } from './atc';
import { VMID } from './tag';

/** Drops from IOTLB and walk cache what a form means: see dropEntries. */
export function dropCached(
  core: usize,
  iommu: usize,
  form: u32,
  owner: u64,
  sizes: u64,
  first: u64,
  last: u64,
  leafOnly: u32,
): void {
  dropEntries(core, iommu + IOMMU_IOTLB, form, owner, sizes & load<u64>(iommu, IOMMU_SIZES), first, last);
  if (!leafOnly) dropEntries(core, iommu + IOMMU_WALKS, form, owner, u64.MAX_VALUE, first, last);
}

/** The devices come after the IOTLB: else they could fetch again what it still had. */
function alsoDevices(core: usize, iommu: usize, domain: u32, owner: u64, flags: u32, first: u64, last: u64): void {
  if (flags & INVALIDATE_NO_ATC) return;
  const form = (flags >> INVALIDATE_FORM_SHIFT) & 0xff;
  if (form == <u32>FORM_RANGE && load<u32>(iommu, IOMMU_MODE) & INVALIDATION_VENDOR) {
    // ATS names a power-of-two block in the address, as AMD does.
    const shift = amdBlock(first, last);
    const inside = shift > 63 ? u64.MAX_VALUE : ((<u64>1) << shift) - 1;
    first &= ~inside;
    last |= inside;
  }
  invalidateDevices(core, iommu, form, domain, owner, first, last);
}

function invalidateRange(core: usize, iommu: usize, slot: usize, owner: u64, flags: u32, first: u64, last: u64): void {
  const mode = load<u32>(iommu, IOMMU_MODE);
  if (!(mode & INVALIDATION_VENDOR)) {
    dropCached(core, iommu, FORM_RANGE, owner, u64.MAX_VALUE, first, last, flags & INVALIDATE_LEAF_ONLY);
    bump(iommu, IOMMU_INVALIDATIONS, 1);
    return;
  }
  const command = encode(core, slot, mode, flags, first, last);
  const form = (command >> 16) & 0xff;
  dropCached(core, iommu, form, owner, mail(core, MAIL10), mail(core, MAIL8), mail(core, MAIL9), command >> 24);
  bump(iommu, IOMMU_INVALIDATIONS, command & 0xffff);
}

/**
 * What stage 2 no longer leads to goes from the nested leaves too: by its address, or with vendors' commands, which can't name that, all
 * of the VMID (Linux drivers/iommu/arm/arm-smmu-v3: S2_IPA, then NH_ALL). So do the caches of the devices.
 */
function invalidateNested(core: usize, iommu: usize, owner: u64, flags: u32, first: u64, last: u64): void {
  if (!(flags & INVALIDATE_ATC_ONLY)) {
    const iotlb = iommu + IOMMU_IOTLB;
    if (load<u32>(iommu, IOMMU_MODE) & INVALIDATION_VENDOR) {
      dropEntries(core, iotlb, FORM_DOMAIN, owner, u64.MAX_VALUE, 0, u64.MAX_VALUE);
    } else {
      dropEntries(core, iotlb, FORM_IPA, owner, u64.MAX_VALUE, first, last);
    }
    bump(iommu, IOMMU_INVALIDATIONS, 1);
  }
  if (!(flags & INVALIDATE_NO_ATC)) invalidateDevices(core, iommu, FORM_DOMAIN, 0, owner, 0, u64.MAX_VALUE);
}

/**
 * Invalidates what the domain has cached, in the form that `flags` (INVALIDATE_*) names, of MAIL0 .. MAIL1 where that is a
 * range; then what devices in it have cached. EBADF. EINVAL: a form that is none, last before first, a leaf size below the
 * granule, one without vendors' encodings, leaf-only but for a range, and of the devices' caches both nothing and nothing else.
 */
export function domainInvalidateAs(core: usize, domain: u32, flags: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const iommu = slotOf(core, load<u32>(slot, DOMAIN_IOMMU), KIND_IOMMU);
  const form = (flags >> INVALIDATE_FORM_SHIFT) & 0xff;
  const size = flags >> INVALIDATE_SIZE_SHIFT;
  const leafOnly = flags & INVALIDATE_LEAF_ONLY;
  const known = INVALIDATE_LEAF_ONLY | INVALIDATE_NO_ATC | INVALIDATE_ATC_ONLY | INVALIDATE_OTHER_TAG;
  if (form > <u32>FORM_ALL || flags & 0xff & ~known) return fail(EINVAL);
  if (flags & INVALIDATE_NO_ATC && flags & INVALIDATE_ATC_ONLY) return fail(EINVAL);
  if (size && (!leafOnly || !(load<u32>(iommu, IOMMU_MODE) & INVALIDATION_VENDOR))) return fail(EINVAL);
  if (size && (size < load<u32>(slot, DOMAIN_GRANULE) || size > 63)) return fail(EINVAL);
  let first: u64 = 0;
  let last = u64.MAX_VALUE;
  const tag = load<u64>(slot, DOMAIN_TAG);
  const owner = flags & INVALIDATE_OTHER_TAG ? tag ^ (VMID & (0 - VMID)) : tag;
  const iotlb = !(flags & INVALIDATE_ATC_ONLY);
  if (form == <u32>FORM_RANGE) {
    first = mail(core, MAIL0);
    last = mail(core, MAIL1);
    if (first > last) return fail(EINVAL);
    if (iotlb) invalidateRange(core, iommu, slot, owner, flags, first, last);
    if (load<u32>(slot, DOMAIN_FLAGS) & DOMAIN_NESTS) invalidateNested(core, iommu, owner, flags, first, last);
  } else if (leafOnly) {
    return fail(EINVAL);
  } else if (iotlb) {
    dropCached(core, iommu, form, owner, u64.MAX_VALUE, first, last, 0);
    bump(iommu, IOMMU_INVALIDATIONS, 1);
  }
  alsoDevices(core, iommu, domain, owner, flags, first, last);
  return DONE;
}

/** Invalidates everything behind an IOMMU; `flags`: INVALIDATE_NO_ATC. EBADF, EINVAL. */
export function iommuInvalidate(core: usize, iommu: u32, flags: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  if (flags & ~INVALIDATE_NO_ATC) return fail(EINVAL);
  dropCached(core, slot, FORM_ALL, 0, u64.MAX_VALUE, 0, u64.MAX_VALUE, 0);
  bump(slot, IOMMU_INVALIDATIONS, 1);
  alsoDevices(core, slot, 0, 0, flags | (FORM_ALL << INVALIDATE_FORM_SHIFT), 0, u64.MAX_VALUE);
  return DONE;
}
