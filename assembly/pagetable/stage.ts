import { FORMAT_ARMV8_S1_16K, FORMAT_ARMV8_S1_4K, FORMAT_ARMV8_S1_64K, FORMAT_RISCV, FORMAT_X86_64 } from '../layout';

/**
 * Which stage of translation a format is. Stage 1 formats know ASIDs and global leaves; host tables of one stage (amdv1,
 * vtdss, mock2k) count as stage 2, since that is what they are under a guest's tables.
 */
export function stageOf(format: u32): u32 {
  switch (format) {
    case FORMAT_X86_64:
    case FORMAT_RISCV:
    case FORMAT_ARMV8_S1_4K:
    case FORMAT_ARMV8_S1_16K:
    case FORMAT_ARMV8_S1_64K:
      return 1;
    default:
      return 2;
  }
}
