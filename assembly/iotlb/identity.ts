// By what name a domain is known to the caches.

import {
  CORE_SLOTS,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_IOMMU,
  DOMAIN_SHARED,
  DOMAIN_TAG,
  DONE,
  EBADF,
  EINVAL,
  FORM_DOMAIN,
  IOTLB_ASID_BITS,
  IOTLB_VMID_BITS,
  KIND_DOMAIN,
  KIND_IOMMU,
  SLOT_KIND,
} from '../layout';
import { slotAt, slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';
import { stageOf } from '../pagetable/stage';
import { dropCached } from './invalidate';
import { OWNER, VMID } from './tag';

const ANY: u32 = u32.MAX_VALUE;

/** A domain other than `slot`, behind the same IOMMU, whose tag is `tag` as far as `mask` goes; 0: there is none. */
function namesake(core: usize, slot: usize, tag: u64, mask: u64): usize {
  const slots = load<u32>(core, CORE_SLOTS);
  const iommu = load<u32>(slot, DOMAIN_IOMMU);
  for (let index: u32 = 0; index < slots; ++index) {
    const at = slotAt(core, index);
    if (at == slot || load<u32>(at, SLOT_KIND) != <u32>KIND_DOMAIN || load<u32>(at, DOMAIN_IOMMU) != iommu) continue;
    if (!((load<u64>(at, DOMAIN_TAG) ^ tag) & mask)) return at;
  }
  return 0;
}

/** The first number from `from` on, below 2^bits and not 0, that is free at bit `shift` of the tag, whose rest is `tag`. */
function unused(core: usize, slot: usize, from: u32, bits: u32, shift: u32, tag: u64, mask: u64): u64 {
  let number = from;
  while (!number || namesake(core, slot, tag | ((<u64>number) << shift), mask))
    number = (number + 1) & ((1 << bits) - 1);
  return (<u64>number) << shift;
}

/**
 * Names the domain `domain` by `vmid` (16 bits) and, where its format is of stage 1, `asid` (20 bits); u32.MAX_VALUE for numbers
 * that no other domain has. A VMID that another domain has is shared with it. EBADF, EINVAL.
 */
export function domainIdentify(core: usize, domain: u32, vmid: u32, asid: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const first = stageOf(load<u32>(slot, DOMAIN_FORMAT)) == 1;
  if (vmid != ANY && (!vmid || vmid >> IOTLB_VMID_BITS)) return fail(EINVAL);
  if (asid != ANY && (!first || asid >> IOTLB_ASID_BITS)) return fail(EINVAL);
  forgetDomain(core, slot);
  const index = domain & 0xffff;
  let tag: u64 = (<u64>vmid) << IOTLB_ASID_BITS;
  if (vmid == ANY) tag = unused(core, slot, index, IOTLB_VMID_BITS, IOTLB_ASID_BITS, 0, VMID);
  if (first) tag |= asid == ANY ? unused(core, slot, index, IOTLB_VMID_BITS, 0, tag, OWNER) : asid;
  store<u64>(slot, tag, DOMAIN_TAG);
  const other = namesake(core, slot, tag, VMID);
  if (!other) return DONE;
  store<u32>(other, load<u32>(other, DOMAIN_FLAGS) | DOMAIN_SHARED, DOMAIN_FLAGS);
  store<u32>(slot, load<u32>(slot, DOMAIN_FLAGS) | DOMAIN_SHARED, DOMAIN_FLAGS);
  return DONE;
}

/** Drops all that is cached under the VMID of the domain at `slot`: the next domain may get it. */
export function forgetDomain(core: usize, slot: usize): void {
  const iommu = slotOf(core, load<u32>(slot, DOMAIN_IOMMU), KIND_IOMMU);
  dropCached(core, iommu, FORM_DOMAIN, load<u64>(slot, DOMAIN_TAG), u64.MAX_VALUE, 0, u64.MAX_VALUE, 0);
}
