import {
  EINVAL,
  FAULT_TRANSLATION,
  FORMAT_AMDV1,
  FORMAT_ARMV8_S1_16K,
  FORMAT_ARMV8_S1_4K,
  FORMAT_ARMV8_S1_64K,
  FORMAT_ARMV8_S2_16K,
  FORMAT_ARMV8_S2_4K,
  FORMAT_ARMV8_S2_64K,
  FORMAT_MOCK2K,
  FORMAT_RISCV,
  FORMAT_VTDSS,
  FORMAT_X86_64,
} from '../layout';
import { resolveStage2 } from '../dma/nested';
import { fail } from '../memory/mailbox';
import { AmdV1 } from './formats/amdv1';
import { Granule16K, Granule4K, Granule64K } from './formats/arm-granule';
import { ArmS1 } from './formats/armv8-s1';
import { ArmS2 } from './formats/armv8-s2';
import { Mock2K } from './formats/mock2k';
import { RiscV } from './formats/riscv';
import { VtdSs } from './formats/vtdss';
import { X86_64 } from './formats/x86-64';
import { Op, operate } from './operate';

/** Runs `op` with the code of `format`: the only place that knows them all. EINVAL for a format that is none. */
export function dispatch(format: u32, op: Op, core: usize, domain: usize, a: u32, b: u32, budget: u32): i32 {
  switch (format) {
    case FORMAT_AMDV1:
      return operate<AmdV1>(changetype<AmdV1>(0), op, core, domain, a, b, budget);
    case FORMAT_VTDSS:
      return operate<VtdSs>(changetype<VtdSs>(0), op, core, domain, a, b, budget);
    case FORMAT_X86_64:
      return operate<X86_64>(changetype<X86_64>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S1_4K:
      return operate<ArmS1<Granule4K>>(changetype<ArmS1<Granule4K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S1_16K:
      return operate<ArmS1<Granule16K>>(changetype<ArmS1<Granule16K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S1_64K:
      return operate<ArmS1<Granule64K>>(changetype<ArmS1<Granule64K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S2_4K:
      return operate<ArmS2<Granule4K>>(changetype<ArmS2<Granule4K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S2_16K:
      return operate<ArmS2<Granule16K>>(changetype<ArmS2<Granule16K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S2_64K:
      return operate<ArmS2<Granule64K>>(changetype<ArmS2<Granule64K>>(0), op, core, domain, a, b, budget);
    case FORMAT_RISCV:
      return operate<RiscV>(changetype<RiscV>(0), op, core, domain, a, b, budget);
    case FORMAT_MOCK2K:
      return operate<Mock2K>(changetype<Mock2K>(0), op, core, domain, a, b, budget);
    default:
      return fail(EINVAL);
  }
}

/**
 * A look-up of stage 2 on the way of a nested walk: see resolveStage2. Apart from the operations, so that a hot path leads to nothing
 * else; only formats that have a stage 1 over them are there.
 */
export function dispatchStage2(format: u32, core: usize, domain: usize, iommu: usize, access: u32, wish: u32): i32 {
  switch (format) {
    case FORMAT_AMDV1:
      return resolveStage2<AmdV1>(changetype<AmdV1>(0), core, domain, iommu, access, wish);
    case FORMAT_VTDSS:
      return resolveStage2<VtdSs>(changetype<VtdSs>(0), core, domain, iommu, access, wish);
    case FORMAT_ARMV8_S2_4K:
      return resolveStage2<ArmS2<Granule4K>>(changetype<ArmS2<Granule4K>>(0), core, domain, iommu, access, wish);
    case FORMAT_ARMV8_S2_16K:
      return resolveStage2<ArmS2<Granule16K>>(changetype<ArmS2<Granule16K>>(0), core, domain, iommu, access, wish);
    case FORMAT_ARMV8_S2_64K:
      return resolveStage2<ArmS2<Granule64K>>(changetype<ArmS2<Granule64K>>(0), core, domain, iommu, access, wish);
    default:
      return FAULT_TRANSLATION;
  }
}
