import {
  DONE,
  EBADF,
  EINVAL,
  DOMAIN_IOMMU,
  IOMMU_INVALIDATIONS,
  IOMMU_IOTLB,
  IOMMU_SETS,
  IOMMU_WAYS,
  IOTLB_DOMAIN,
  IOTLB_ENTRY_BYTES,
  IOTLB_KEY,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';

/** Drops the entries of the set [set, end) that belong to `domain` and overlap [first, last]; the others close up. */
function invalidateSet(set: usize, end: usize, domain: u32, first: u64, last: u64): void {
  let keep = set;
  let at = set;
  for (; at < end; at += IOTLB_ENTRY_BYTES) {
    const owner = load<u32>(at, IOTLB_DOMAIN);
    if (!owner) break;
    if (owner == domain) {
      const key = load<u64>(at, IOTLB_KEY);
      const shift = key & 63;
      const start = key & (u64.MAX_VALUE << shift);
      if (start <= last && start + (((<u64>1) << shift) - 1) >= first) continue;
    }
    if (keep != at) {
      v128.store(keep, v128.load(at));
      v128.store(keep, v128.load(at, 16), 16);
    }
    keep += IOTLB_ENTRY_BYTES;
  }
  for (; keep < at; keep += IOTLB_ENTRY_BYTES) store<u32>(keep, 0, IOTLB_DOMAIN);
}

/** Drops every entry of `domain` that overlaps [first, last] from the IOTLB of the IOMMU at `iommu`. */
export function invalidateEntries(core: usize, iommu: usize, domain: u32, first: u64, last: u64): void {
  const setBytes = load<u32>(iommu, IOMMU_WAYS) * IOTLB_ENTRY_BYTES;
  let set = core + load<u32>(iommu, IOMMU_IOTLB);
  const end = set + load<u32>(iommu, IOMMU_SETS) * setBytes;
  for (; set < end; set += setBytes) invalidateSet(set, set + setBytes, domain, first, last);
}

/** One invalidation command: what the domain has cached of MAIL0 .. MAIL1 goes, leaves that straddle included. EBADF, EINVAL. */
export function domainInvalidate(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const first = mail(core, MAIL0);
  const last = mail(core, MAIL1);
  if (first > last) return fail(EINVAL);
  const iommu = slotOf(core, load<u32>(slot, DOMAIN_IOMMU), KIND_IOMMU);
  invalidateEntries(core, iommu, domain, first, last);
  store<u64>(iommu, load<u64>(iommu, IOMMU_INVALIDATIONS) + 1, IOMMU_INVALIDATIONS);
  return DONE;
}
