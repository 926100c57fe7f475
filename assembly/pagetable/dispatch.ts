import { EINVAL, FORMAT_AMDV1, FORMAT_ARMV8_S1_4K, FORMAT_ARMV8_S1_64K, FORMAT_VTDSS } from '../layout';
import { fail } from '../memory/mailbox';
import { AmdV1 } from './formats/amdv1';
import { ArmS1, Granule4K, Granule64K } from './formats/armv8-s1';
import { VtdSs } from './formats/vtdss';
import { Op, operate } from './operate';

/** Runs `op` with the code of `format`: the only place that knows them all. EINVAL for a format that is none. */
export function dispatch(format: u32, op: Op, core: usize, domain: usize, a: u32, b: u32, budget: u32): i32 {
  switch (format) {
    case FORMAT_AMDV1:
      return operate<AmdV1>(changetype<AmdV1>(0), op, core, domain, a, b, budget);
    case FORMAT_VTDSS:
      return operate<VtdSs>(changetype<VtdSs>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S1_4K:
      return operate<ArmS1<Granule4K>>(changetype<ArmS1<Granule4K>>(0), op, core, domain, a, b, budget);
    case FORMAT_ARMV8_S1_64K:
      return operate<ArmS1<Granule64K>>(changetype<ArmS1<Granule64K>>(0), op, core, domain, a, b, budget);
    default:
      return fail(EINVAL);
  }
}
