import {
  CONFLICT_ABORT,
  CONFLICT_ANY,
  CONFLICT_DIRTY_MISSED,
  CONFLICT_OLD,
  DOMAIN_CONFLICT,
  DOMAIN_TAG,
  DOMAIN_UPDATE,
  IOMMU_CONFLICTS,
  IOMMU_IOTLB,
  UPDATE_WRONG,
} from '../layout';
import { overlapsOther } from '../iotlb/overlap';
import { shiftOf } from '../iotlb/tag';
import { bump } from '../memory/counter';

/** No conflict: what the walk found counts. */
export const NO_CONFLICT: u32 = u32.MAX_VALUE;

/** One of the outcomes, another one each time but always the same ones in the same order: hardware does not say which. */
function anyOutcome(count: u64): u32 {
  let mixed = count + 0x9e37_79b9_7f4a_7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58_476d_1ce4_e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d0_49bb_1331_11eb;
  return CONFLICT_OLD + <u32>((mixed ^ (mixed >> 31)) % <u64>CONFLICT_DIRTY_MISSED);
}

/**
 * What hardware makes of a walk that found a leaf of 2^shift bytes at `iova`, while `cached` (0: none), or another entry, is of
 * another size: CONFLICT_*, or NO_CONFLICT. Only where leaves change size against the rules of the format.
 */
export function conflictOf(core: usize, iommu: usize, domain: usize, iova: u64, shift: u64, cached: usize): u32 {
  if (load<u32>(domain, DOMAIN_UPDATE) != <u32>UPDATE_WRONG) return NO_CONFLICT;
  const first = iova & (u64.MAX_VALUE << shift);
  const last = first + (((<u64>1) << shift) - 1);
  const owner = load<u64>(domain, DOMAIN_TAG);
  const other = cached && shiftOf(cached) != shift;
  if (!other && !overlapsOther(core, iommu + IOMMU_IOTLB, owner, first, last, shift)) return NO_CONFLICT;
  bump(iommu, IOMMU_CONFLICTS, 1);
  const chosen = load<u32>(domain, DOMAIN_CONFLICT);
  const outcome = chosen == <u32>CONFLICT_ANY ? anyOutcome(load<u64>(iommu, IOMMU_CONFLICTS)) : chosen;
  // Where the old leaf is not the one that was hit, going on with it means nothing: it is all or nothing then.
  return outcome == <u32>CONFLICT_OLD && !cached ? CONFLICT_ABORT : outcome;
}
