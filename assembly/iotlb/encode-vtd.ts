/** The largest address mask, CAP.MAMV: 1 GiB. Assumed: the least that a VT-d with leaves of 1 GiB can do with one command. */
export const VTD_LARGEST_MASK: u32 = 18;

/**
 * The address mask AM of a VT-d page-selective invalidation of [first, last]: it means the naturally aligned block of 2^AM
 * pages that holds both ends (VT-d specification, 6.5.2.3; Linux drivers/iommu/intel/cache.c).
 */
export function vtdMask(first: u64, last: u64): u32 {
  return 64 - <u32>clz((first ^ last) >> 12);
}
