// Two stages: a guest's tables (stage 1) lie in memory that stage 2 leads to, so that each step of a walk is an access of its own.

import {
  ACCESS_GLOBAL,
  ACCESS_READ,
  ACCESS_WRITE,
  DOMAIN_FORMAT,
  DOMAIN_PARENT,
  DOMAIN_ROOT_IPA,
  DOMAIN_TAG,
  DOMAIN_TOP,
  DONE,
  FAULT_HIGHEST,
  FAULT_PERMISSION,
  FAULT_TRANSLATION,
  FAULT_WALK_ABORT,
  FORM_RANGE,
  IOMMU_DIRTY_UPDATES,
  IOMMU_FAULT_IPA,
  IOMMU_FAULT_STAGE,
  IOMMU_IOTLB,
  IOMMU_TABLE_WRITES,
  IOMMU_WALK_READS,
  IOTLB_DIRTY,
  IOTLB_KEY,
  NESTED_LEAF,
  IOTLB_OUTPUT,
  KIND_BITMAP,
  KIND_DOMAIN,
  MAIL11,
  MAIL12,
  MAIL13,
} from '../layout';
import { holdsAddresses, markAddresses } from '../bitmap/mark';
import { dropEntries } from '../iotlb/drop';
import { describe, rightsOf } from '../iotlb/tag';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { mail, post } from '../memory/mailbox';
import { ramAt } from '../memory/ram';
import { dispatchStage2 } from '../pagetable/dispatch';
import { inRange } from '../pagetable/domain';
import { Format } from '../pagetable/format';
import { indexAt } from '../pagetable/walk';
import { place, resolve, tracks } from './translate';

/**
 * Stage 2's part: `access` to the address in MAIL11, through the IOTLB. FAULT_*, or DONE with the output address in MAIL12, and in
 * MAIL13 log2 of the leaf's size and above bit 8 its ACCESS_* | IOTLB_DIRTY.
 */
export function resolveStage2<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  iommu: usize,
  access: u32,
  wish: u32,
): i32 {
  const ipa = mail(core, MAIL11);
  if (!inRange(domain, ipa, ipa)) return FAULT_TRANSLATION;
  const found = resolve<F>(f, core, iommu, domain, ipa, access, wish);
  if (found <= <usize>FAULT_HIGHEST) return <i32>found;
  const shift = load<u64>(found, IOTLB_KEY) & 63;
  post(core, MAIL12, load<u64>(found, IOTLB_OUTPUT) | (ipa & (((<u64>1) << shift) - 1)));
  post(core, MAIL13, shift | ((<u64>rightsOf(found)) << 8));
  return DONE;
}

/** `resolveStage2` in the format of `parent`; notes stage and address of a fault. */
function second(core: usize, iommu: usize, parent: usize, ipa: u64, access: u32, wish: u32): u32 {
  post(core, MAIL11, ipa);
  const fault = dispatchStage2(load<u32>(parent, DOMAIN_FORMAT), core, parent, iommu, access, wish);
  if (fault == DONE) return 0;
  store<u32>(iommu, 2, IOMMU_FAULT_STAGE);
  store<u64>(iommu, ipa, IOMMU_FAULT_IPA);
  return <u32>fault;
}

/** Makes the stage-1 leaf at `ipa` dirty: a write of the IOMMU to a page of the guest. FAULT_*, or 0. */
function writeEntry(core: usize, iommu: usize, parent: usize, ipa: u64, entry: u64): u32 {
  const fault = second(core, iommu, parent, ipa, ACCESS_READ | ACCESS_WRITE, ACCESS_READ | ACCESS_WRITE);
  if (fault) return fault;
  const pa = mail(core, MAIL12);
  const at = ramAt(core, iommu, pa);
  if (!at) return FAULT_WALK_ABORT;
  store<u64>(at, entry);
  bump(iommu, IOMMU_DIRTY_UPDATES, 1);
  const written = load<u32>(iommu, IOMMU_TABLE_WRITES);
  const into = written ? slotOf(core, written, KIND_BITMAP) : 0;
  if (into && holdsAddresses(into, pa, pa + 7)) markAddresses(core, into, pa, pa + 7);
  return 0;
}

/**
 * Walks both stages for one access, makes dirty what it must, and caches where that leads: the smaller of both leaves, with the
 * rights that both have. `stale` is set where the IOTLB has an entry for `iova`. Returns the IOTLB entry's address, or FAULT_*,
 * with the stage in IOMMU_FAULT_STAGE.
 */
export function fillNested<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  iova: u64,
  access: u32,
  wish: u32,
  stale: bool,
): usize {
  const owner = load<u64>(domain, DOMAIN_TAG);
  const parent = slotOf(core, load<u32>(domain, DOMAIN_PARENT), KIND_DOMAIN);
  store<u32>(iommu, 1, IOMMU_FAULT_STAGE);
  store<u64>(iommu, u64.MAX_VALUE, IOMMU_FAULT_IPA);
  if (stale) dropEntries(core, iommu + IOMMU_IOTLB, FORM_RANGE, owner, u64.MAX_VALUE, iova, iova);
  let table = load<u64>(domain, DOMAIN_ROOT_IPA);
  let level = load<u32>(domain, DOMAIN_TOP);
  let rights: u32 = ACCESS_READ | ACCESS_WRITE;
  let ipa: u64;
  let entry: u64;
  while (true) {
    ipa = table + ((<u64>indexAt<F>(f, domain, level, iova)) << 3);
    const fault = second(core, iommu, parent, ipa, ACCESS_READ, ACCESS_READ);
    if (fault) return fault;
    const at = ramAt(core, iommu, mail(core, MAIL12));
    if (!at) return FAULT_WALK_ABORT;
    bump(iommu, IOMMU_WALK_READS, 1);
    entry = load<u64>(at);
    if (!f.isPresent(entry)) return FAULT_TRANSLATION;
    if (level == 0 || !f.isTable(entry)) break;
    rights &= f.tableAccess(entry);
    table = f.tableAddress(entry);
    --level;
  }
  const leaf = f.leafAccess(entry);
  rights &= leaf;
  if ((rights & access) != access) return FAULT_PERMISSION;
  const tracked = tracks<F>(f, domain);
  if (tracked && wish & rights & ACCESS_WRITE && !f.isDirty(entry)) {
    entry = f.makeDirty(entry);
    const fault = writeEntry(core, iommu, parent, ipa, entry);
    if (fault) return fault;
  }
  const shift = <u64>f.leafShift(entry, level);
  const start = f.leafAddress(entry, <u32>shift);
  const fault = second(core, iommu, parent, start | (iova & (((<u64>1) << shift) - 1)), access, wish & rights);
  if (fault) return fault;
  const under = mail(core, MAIL13);
  const size = min(shift, under & 63);
  const inside = ((<u64>1) << size) - 1;
  const both = rights & (<u32>(under >> 8));
  const clean = (tracked && !f.isDirty(entry)) || !((<u32>(under >> 8)) & IOTLB_DIRTY);
  const flags = both | (leaf & ACCESS_GLOBAL) | (clean ? 0 : IOTLB_DIRTY);
  const slot = place(core, iommu, owner, iova, size, 0);
  describe(slot, owner, flags, mail(core, MAIL12) & ~inside, (mail(core, MAIL11) & ~inside) | NESTED_LEAF);
  return slot;
}
