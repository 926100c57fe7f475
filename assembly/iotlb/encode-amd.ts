/**
 * log2 of the block that an AMD INVALIDATE_IOMMU_PAGES for [first, last] names; 64: all addresses. One page is a command of
 * its own (S = 0); else the block is the smallest power of two that holds both ends, found by the highest bit in which they
 * differ, and a difference above bit 51 means everything (AMD I/O Virtualization Technology specification, 2.4.3, Linux
 * drivers/iommu/amd/iommu.c). A range across a large boundary so invalidates far more than it has.
 */
export function amdBlock(first: u64, last: u64): u32 {
  const differ = (first ^ last) >> 12;
  if (!differ) return 12;
  const block = 12 + 64 - <u32>clz(differ);
  return block > 52 ? 64 : block;
}
