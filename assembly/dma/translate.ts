import { dropEntries } from '../iotlb/drop';
import { insert, lookup } from '../iotlb/lookup';
import { describe, rightsOf, shiftOf } from '../iotlb/tag';
import { hardwareWalk } from '../iotlb/walk-cache';
import {
  ACCESS_GLOBAL,
  ACCESS_WRITE,
  CONFLICT_ABORT,
  CONFLICT_AMALGAM,
  CONFLICT_DIRTY_MISSED,
  CONFLICT_OLD,
  DOMAIN_FLAGS,
  DOMAIN_PARENT,
  DOMAIN_SHARED,
  DOMAIN_SIZES_USED,
  DOMAIN_TAG,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  FAULT_PERMISSION,
  FAULT_TLB_CONFLICT,
  FAULT_TRANSLATION,
  FORM_RANGE,
  IOMMU_DIRTY_UPDATES,
  IOMMU_EVICTIONS,
  IOMMU_HITS,
  IOMMU_IOTLB,
  IOMMU_MISSES,
  IOMMU_PASSING,
  IOMMU_SIZES,
  IOTLB_DIRTY,
  IOTLB_KEY,
} from '../layout';
import { bump } from '../memory/counter';
import { Format } from '../pagetable/format';
import { conflictOf } from './conflict';
import { fillNested } from './nested';
import { accessOfWalk, entryOfWalk, levelOfWalk } from '../pagetable/walk';

/** Whether hardware keeps the dirty state of the domain at `domain` up to date. */
export function tracks<F extends Format>(f: F, domain: usize): bool {
  const flags = load<u32>(domain, DOMAIN_FLAGS);
  return (flags & DOMAIN_TRACKING) != 0 || ((flags & DOMAIN_TRACKABLE) != 0 && f.tracksAlways());
}

/** The leaf sizes that may be cached for a domain; where another has its VMID, those of all domains. */
export function sizesOf(iommu: usize, domain: usize): u64 {
  return load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_SHARED
    ? load<u64>(iommu, IOMMU_SIZES)
    : load<u64>(domain, DOMAIN_SIZES_USED);
}

/** The IOTLB entry for a leaf of 2^shift bytes: that at `cached` (0: none) if it has the size, else a new one in its place. */
export function place(core: usize, iommu: usize, owner: u64, iova: u64, shift: u64, cached: usize): usize {
  if (cached) {
    const cachedShift = shiftOf(cached);
    if (cachedShift == shift) return cached;
    const start = iova & (u64.MAX_VALUE << cachedShift);
    dropEntries(core, iommu + IOMMU_IOTLB, FORM_RANGE, owner, u64.MAX_VALUE, start, start);
  }
  const slot = insert(core, iommu + IOMMU_IOTLB, iova, shift);
  if (slot & 1) bump(iommu, IOMMU_EVICTIONS, 1);
  store<u64>(iommu, load<u64>(iommu, IOMMU_SIZES) | ((<u64>1) << shift), IOMMU_SIZES);
  return slot & ~1;
}

/** An entry outside the IOTLB for a leaf that must not be cached; what was cached for `iova` goes. */
function passing(core: usize, iommu: usize, owner: u64, iova: u64, shift: u64, cached: usize): usize {
  if (cached) dropEntries(core, iommu + IOMMU_IOTLB, FORM_RANGE, owner, u64.MAX_VALUE, iova, iova);
  store<u64>(iommu + IOMMU_PASSING, (iova & (u64.MAX_VALUE << shift)) | shift, IOTLB_KEY);
  return iommu + IOMMU_PASSING;
}

/**
 * Walks the tables for one access, makes the leaf dirty if `wish` has ACCESS_WRITE and it may be written, and caches it.
 * `cached` is the IOTLB entry that the walk replaces, or 0. Returns the IOTLB entry's address, or FAULT_*.
 */
function fill<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  iova: u64,
  access: u32,
  wish: u32,
  cached: usize,
): usize {
  if (load<u32>(domain, DOMAIN_PARENT)) {
    return fillNested<F>(f, core, iommu, domain, iova, access, wish, cached != 0);
  }
  const found = hardwareWalk<F>(f, core, iommu, domain, iova);
  const level = levelOfWalk(found);
  const at = entryOfWalk(found);
  let entry = load<u64>(at);
  if (!f.isPresent(entry)) return FAULT_TRANSLATION;
  const leaf = f.leafAccess(entry);
  const rights = leaf & accessOfWalk(found);
  if ((rights & access) != access) return FAULT_PERMISSION;
  const tracked = tracks<F>(f, domain);
  const shift = <u64>f.leafShift(entry, level);
  const conflict = conflictOf(core, iommu, domain, iova, shift, cached);
  if (conflict == <u32>CONFLICT_ABORT) return FAULT_TLB_CONFLICT;
  if (conflict == <u32>CONFLICT_OLD) return cached;
  const missed = conflict == <u32>CONFLICT_DIRTY_MISSED || conflict == <u32>CONFLICT_AMALGAM;
  if (tracked && !missed && wish & rights & ACCESS_WRITE && !f.isDirty(entry)) {
    entry = f.makeDirty(entry);
    store<u64>(at, entry);
    bump(iommu, IOMMU_DIRTY_UPDATES, 1);
  }
  const owner = load<u64>(domain, DOMAIN_TAG);
  const slot = f.isUncached(entry)
    ? passing(core, iommu, owner, iova, shift, cached)
    : place(core, iommu, owner, iova, shift, cached);
  // Without tracking no write ever needs to touch the entry: the leaf is cached as if it were dirty.
  const dirty = !tracked || f.isDirty(entry) || conflict == <u32>CONFLICT_AMALGAM ? IOTLB_DIRTY : 0;
  describe(slot, owner, rights | (leaf & ACCESS_GLOBAL) | dirty, f.leafAddress(entry, <u32>shift), 0);
  return slot;
}

/**
 * One access of `access` to the look-up stretch that holds `iova`: through the IOTLB, or by a walk. With ACCESS_WRITE in `wish` a
 * writable leaf becomes dirty unless the IOTLB says that it is: what is cached as dirty is written without a look at
 * memory, which is why a cleared leaf must be invalidated. Returns the address of the IOTLB entry, or FAULT_*.
 */
export function resolve<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  iova: u64,
  access: u32,
  wish: u32,
): usize {
  const at = lookup(core, iommu + IOMMU_IOTLB, load<u64>(domain, DOMAIN_TAG), sizesOf(iommu, domain), iova);
  if (!at) {
    bump(iommu, IOMMU_MISSES, 1);
    return fill<F>(f, core, iommu, domain, iova, access, wish, 0);
  }
  bump(iommu, IOMMU_HITS, 1);
  const rights = rightsOf(at);
  if ((rights & access) != access) {
    // Which stage refuses, only the tables say.
    if (load<u32>(domain, DOMAIN_PARENT)) return fill<F>(f, core, iommu, domain, iova, access, wish, at);
    return FAULT_PERMISSION;
  }
  if (wish & rights & ACCESS_WRITE && !(rights & IOTLB_DIRTY)) {
    return fill<F>(f, core, iommu, domain, iova, access, wish, at);
  }
  return at;
}
