/** From here on Linux invalidates the whole address space: RISCV_IOMMU_IOTLB_INVAL_LIMIT, 2 MiB. */
const LIMIT: u64 = 2 << 20;

/**
 * How many IOTINVAL.VMA commands with an address [first, last] takes, one for each 4 KiB page; 0: one without an address is
 * better. One with an address drops leaves only (RISC-V IOMMU specification, 4.1.1; Linux drivers/iommu/riscv/iommu.c).
 */
export function riscvPages(first: u64, last: u64): u32 {
  if (last - first >= LIMIT - 1) return 0;
  return <u32>((last >> 12) - (first >> 12)) + 1;
}
