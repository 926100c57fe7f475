import { invalidateEntries } from '../iotlb/invalidate';
import { insert, lookup } from '../iotlb/lookup';
import {
  ACCESS_WRITE,
  DOMAIN_FLAGS,
  DOMAIN_SIZES_USED,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  FAULT_PERMISSION,
  FAULT_TRANSLATION,
  IOMMU_DIRTY_UPDATES,
  IOMMU_EVICTIONS,
  IOMMU_HITS,
  IOMMU_MISSES,
  IOMMU_WALK_READS,
  IOTLB_DIRTY,
  IOTLB_FLAGS,
  IOTLB_KEY,
  IOTLB_OUTPUT,
} from '../layout';
import { Format } from '../pagetable/format';
import { accessOfWalk, entryOfWalk, levelOfWalk, walk } from '../pagetable/walk';

function bump(iommu: usize, counter: usize, by: u64): void {
  store<u64>(iommu + counter, load<u64>(iommu + counter) + by);
}

/** Whether hardware keeps the dirty state of the domain at `domain` up to date. */
function tracks<F extends Format>(f: F, domain: usize): bool {
  const flags = load<u32>(domain, DOMAIN_FLAGS);
  return (flags & DOMAIN_TRACKING) != 0 || ((flags & DOMAIN_TRACKABLE) != 0 && f.tracksAlways());
}

/**
 * Walks the tables for one access, does the dirty update that it needs, and caches the leaf. `cached` is the IOTLB entry
 * that the walk replaces, or 0. Returns the IOTLB entry's address, or FAULT_*.
 */
function fill<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  handle: u32,
  iova: u64,
  access: u32,
  cached: usize,
): usize {
  const found = walk<F>(f, core, domain, iova);
  const level = levelOfWalk(found);
  bump(iommu, IOMMU_WALK_READS, load<u32>(domain, DOMAIN_TOP) - level + 1);
  const at = entryOfWalk(found);
  let entry = load<u64>(at);
  if (!f.isPresent(entry)) return FAULT_TRANSLATION;
  const rights = f.leafAccess(entry) & accessOfWalk(found);
  if ((rights & access) != access) return FAULT_PERMISSION;
  const tracked = tracks<F>(f, domain);
  if (tracked && access & ACCESS_WRITE && !f.isDirty(entry)) {
    entry = f.makeDirty(entry);
    store<u64>(at, entry);
    bump(iommu, IOMMU_DIRTY_UPDATES, 1);
  }
  const shift = <u64>f.leafShift(entry, level);
  let slot = cached;
  if (!slot || (load<u64>(slot, IOTLB_KEY) & 63) != shift) {
    if (slot) {
      const cachedShift = load<u64>(slot, IOTLB_KEY) & 63;
      const start = iova & (u64.MAX_VALUE << cachedShift);
      invalidateEntries(core, iommu, handle, start, start);
    }
    slot = insert(core, iommu, handle, iova, shift);
    if (slot & 1) bump(iommu, IOMMU_EVICTIONS, 1);
    slot &= ~1;
  }
  // Without tracking no write ever needs to touch the entry: the leaf is cached as if it were dirty.
  store<u32>(slot, rights | (!tracked || f.isDirty(entry) ? IOTLB_DIRTY : 0), IOTLB_FLAGS);
  store<u64>(slot, f.leafAddress(entry, <u32>shift), IOTLB_OUTPUT);
  return slot;
}

/**
 * One access of `access` to the look-up stretch that holds `iova`: through the IOTLB, or by a walk. A write makes the leaf dirty
 * unless the IOTLB says that it is: what is cached as dirty is written without a look at memory, which is why a cleared
 * leaf must be invalidated. Returns the address of the IOTLB entry, or FAULT_*.
 */
export function resolve<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  handle: u32,
  iova: u64,
  access: u32,
): usize {
  const at = lookup(core, iommu, handle, load<u64>(domain, DOMAIN_SIZES_USED), iova);
  if (!at) {
    bump(iommu, IOMMU_MISSES, 1);
    return fill<F>(f, core, iommu, domain, handle, iova, access, 0);
  }
  bump(iommu, IOMMU_HITS, 1);
  const flags = load<u32>(at, IOTLB_FLAGS);
  if ((flags & access) != access) return FAULT_PERMISSION;
  if (access & ACCESS_WRITE && !(flags & IOTLB_DIRTY)) {
    return fill<F>(f, core, iommu, domain, handle, iova, access, at);
  }
  return at;
}
