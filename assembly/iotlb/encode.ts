import {
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_GLOBALS,
  DOMAIN_GRANULE,
  FORMAT_AMDV1,
  FORMAT_ARMV8_S1_16K,
  FORMAT_ARMV8_S1_4K,
  FORMAT_ARMV8_S1_64K,
  FORMAT_ARMV8_S2_16K,
  FORMAT_ARMV8_S2_4K,
  FORMAT_ARMV8_S2_64K,
  FORMAT_RISCV,
  FORMAT_VTDSS,
  FORMAT_X86_64,
  FORM_ASID,
  FORM_DOMAIN,
  FORM_RANGE,
  INVALIDATE_LEAF_ONLY,
  INVALIDATE_SIZE_SHIFT,
  INVALIDATION_RANGES,
  MAIL10,
  MAIL8,
  MAIL9,
} from '../layout';
import { post } from '../memory/mailbox';
import { stageOf } from '../pagetable/stage';
import { amdBlock } from './encode-amd';
import { riscvPages } from './encode-riscv';
import { smmuAddresses, smmuLevel, smmuRanges } from './encode-smmu';
import { VTD_LARGEST_MASK, vtdMask } from './encode-vtd';

/** What hardware drops, in MAIL8 .. MAIL10 (first, last, sizes), and below: commands, form << 16, leaf only << 24. */
function command(core: usize, first: u64, last: u64, sizes: u64, commands: u32, form: u32, leafOnly: u32): u32 {
  post(core, MAIL8, first);
  post(core, MAIL9, last);
  post(core, MAIL10, sizes);
  return commands | (form << 16) | (leafOnly << 24);
}

function block(core: usize, first: u64, shift: u32, sizes: u64, leafOnly: u32): u32 {
  if (shift > 63) return command(core, 0, u64.MAX_VALUE, sizes, 1, FORM_RANGE, leafOnly);
  const inside = ((<u64>1) << shift) - 1;
  return command(core, first & ~inside, first | inside, sizes, 1, FORM_RANGE, leafOnly);
}

/** One command for the whole address space, as narrow as it may be: one for an ASID would leave global leaves. */
function everything(core: usize, domain: usize): u32 {
  const global = (load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_GLOBALS) != 0;
  const asid = stageOf(load<u32>(domain, DOMAIN_FORMAT)) == 1 && !global;
  return command(core, 0, u64.MAX_VALUE, u64.MAX_VALUE, 1, asid ? FORM_ASID : FORM_DOMAIN, 0);
}

function smmu(core: usize, domain: usize, mode: u32, flags: u32, first: u64, last: u64): u32 {
  const granule = load<u32>(domain, DOMAIN_GRANULE);
  const leafOnly = flags & INVALIDATE_LEAF_ONLY;
  const size = flags >> INVALIDATE_SIZE_SHIFT;
  const ranges = (mode & INVALIDATION_RANGES) != 0;
  const stride = size ? size : granule;
  const commands = ranges ? smmuRanges(first, last, granule) : smmuAddresses(first, last, stride);
  if (!commands) return everything(core, domain);
  const unit = ((<u64>1) << (ranges ? granule : stride)) - 1;
  const sizes = ranges && size ? smmuLevel(size, granule) : u64.MAX_VALUE;
  return command(core, first & ~unit, last | unit, sizes, commands, FORM_RANGE, leafOnly);
}

/** The commands for [first, last] of the domain at `domain` as its format's vendor has them; see `command`. */
export function encode(core: usize, domain: usize, mode: u32, flags: u32, first: u64, last: u64): u32 {
  const leafOnly = flags & INVALIDATE_LEAF_ONLY;
  switch (load<u32>(domain, DOMAIN_FORMAT)) {
    case FORMAT_AMDV1: {
      // The command need not find leaves larger than itself. Linux always sets PDE: cached tables go too.
      const shift = amdBlock(first, last);
      return block(core, first, shift, shift > 63 ? u64.MAX_VALUE : ((<u64>2) << shift) - 1, 0);
    }
    case FORMAT_VTDSS:
    case FORMAT_X86_64: {
      const mask = vtdMask(first, last);
      if (mask > VTD_LARGEST_MASK) return everything(core, domain);
      return block(core, first, 12 + mask, u64.MAX_VALUE, leafOnly);
    }
    case FORMAT_ARMV8_S1_4K:
    case FORMAT_ARMV8_S1_16K:
    case FORMAT_ARMV8_S1_64K:
    case FORMAT_ARMV8_S2_4K:
    case FORMAT_ARMV8_S2_16K:
    case FORMAT_ARMV8_S2_64K:
      return smmu(core, domain, mode, flags, first, last);
    case FORMAT_RISCV: {
      const pages = leafOnly ? riscvPages(first, last) : 0;
      if (!pages) return everything(core, domain);
      return command(core, first & ~0xfff, last | 0xfff, u64.MAX_VALUE, pages, FORM_RANGE, 1);
    }
    default:
      return command(core, first, last, u64.MAX_VALUE, 1, FORM_RANGE, leafOnly);
  }
}
