// What most look-ups of a batch are: leaves of one size, one stage, no cache but the IOTLB, no log. What happens to them is what `resolve`
// does; it is spelled out here as one loop without a call, which keeps everything in registers, and with what cannot differ taken
// for granted. Whatever turns out to be otherwise, faults above all, is left to `resolve`.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  DOMAIN_BIAS,
  DOMAIN_FLAGS,
  DOMAIN_MASK,
  DOMAIN_PARENT,
  DOMAIN_ROOT,
  DOMAIN_ROOT_ENTRIES,
  DOMAIN_SHARED,
  DOMAIN_SIZES_USED,
  DOMAIN_TAG,
  DOMAIN_TOP,
  DOMAIN_UPDATE,
  IOMMU_DIRTY_UPDATES,
  IOMMU_EVICTIONS,
  IOMMU_HITS,
  IOMMU_IOTLB,
  IOMMU_MISSES,
  IOMMU_RING,
  IOMMU_RING_DONE,
  IOMMU_RING_HEAD,
  IOMMU_RING_POSTED,
  IOMMU_SIZES,
  IOMMU_WALKS,
  IOMMU_WALK_READS,
  IOTLB_DIRTY,
  IOTLB_ENTRY_BYTES,
  IOTLB_IPA,
  IOTLB_KEY,
  IOTLB_OUTPUT,
  IOTLB_RIGHTS_SHIFT,
  IOTLB_TAG,
  REQUEST_BYTES,
  REQUEST_FLAGS_SHIFT,
  REQUEST_IOVA,
  REQUEST_LENGTH,
  REQUEST_STREAM,
  UPDATE_WRONG,
} from '../layout';
import { Ways } from '../iotlb/lookup';
import { OWNER } from '../iotlb/tag';
import { check } from '../memory/check';
import { bump } from '../memory/counter';
import { LOOKUP_SHIFT } from '../pagetable/domain';
import { Format } from '../pagetable/format';
import { entryShift, levelOf } from '../pagetable/walk';
import { tracks } from './translate';

/** Whether look-ups in the domain at `domain` may be quick at all, as long as nothing is mapped or configured. */
export function isPlain(iommu: usize, domain: usize): bool {
  return (
    popcnt(load<u64>(domain, DOMAIN_SIZES_USED)) == 1 &&
    !(load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_SHARED) &&
    !load<u32>(domain, DOMAIN_PARENT) &&
    load<u32>(domain, DOMAIN_UPDATE) != <u32>UPDATE_WRONG &&
    !load<u32>(iommu, IOMMU_WALKS + CACHE_SETS)
  );
}

class Quick {
  /** The way of the set [set, end) that has `key`; else the one that an entry with it would take, the first free or the last. */
  @inline static way(set: usize, end: usize, key: u64): usize {
    let way = set;
    while (way < end - IOTLB_ENTRY_BYTES) {
      const there = load<u64>(way, IOTLB_KEY);
      if (there == key || !there) break;
      way += IOTLB_ENTRY_BYTES;
    }
    return way;
  }

  /** The bits of a leaf that hold its address. */
  @inline static addressField<F extends Format>(f: F): u64 {
    const most = f.leafAddress(u64.MAX_VALUE, f.granuleShift());
    const shift = f.granuleShift();
    return f.makeLeaf(most, shift, 0, ACCESS_READ, false) ^ f.makeLeaf(0, shift, 0, ACCESS_READ, false);
  }
}

/** No leaf has these attributes: the bits of its address field are clear in them. */
const NO_ATTRIBUTES: u64 = u64.MAX_VALUE;

/**
 * Runs requests of one stream from the ring's head on as long as they are quick, at most `budget` look-ups; what is left of the budget. The
 * ring stands where it left off.
 *
 * Tables of the host let everything through, and in a domain with one leaf size what is present above that size's level is a table.
 * Leaves differ in little but their address: what the attributes of the last one came to counts for all that have the same.
 */
export function runQuick<F extends Format>(f: F, core: usize, domain: usize, iommu: usize, budget: u32): u32 {
  const ring = core + load<u32>(iommu, IOMMU_RING);
  const end = ring + load<u32>(iommu, IOMMU_RING_POSTED) * REQUEST_BYTES;
  const iotlb = core + load<u32>(iommu, IOMMU_IOTLB + CACHE_BASE);
  const setMask = load<u32>(iommu, IOMMU_IOTLB + CACHE_SETS) - 1;
  const setBytes = load<u32>(iommu, IOMMU_IOTLB + CACHE_WAYS) * IOTLB_ENTRY_BYTES;
  const sizes = load<u64>(domain, DOMAIN_SIZES_USED);
  const shift = ctz(sizes);
  const level = levelOf<F>(f, <u32>shift);
  const owner = load<u64>(domain, DOMAIN_TAG);
  const stretch = ((<u64>1) << min<u32>(LOOKUP_SHIFT, f.granuleShift())) - 1;
  store<u64>(iommu, load<u64>(iommu, IOMMU_SIZES) | sizes, IOMMU_SIZES);
  let request = ring + load<u32>(iommu, IOMMU_RING_HEAD) * REQUEST_BYTES;
  const stream = load<u32>(request, REQUEST_STREAM) << (32 - REQUEST_FLAGS_SHIFT);
  let named = ~load<u32>(request, REQUEST_STREAM);
  let needed: u64 = 0;
  let done = load<u32>(iommu, IOMMU_RING_DONE);
  let left = budget;
  let misses: u32 = 0;
  let free: u32 = 0;
  let at: u64 = 0;
  let last: u64 = 0;
  let fresh = true;
  let known = NO_ATTRIBUTES;
  let knownTag: u64 = 0;
  while (request < end) {
    if (fresh) {
      const word = load<u32>(request, REQUEST_STREAM);
      if (word != named) {
        if (word << (32 - REQUEST_FLAGS_SHIFT) != stream) break;
        named = word;
        const access = (word >> REQUEST_FLAGS_SHIFT) & (ACCESS_READ | ACCESS_WRITE);
        needed = (<u64>(access & ACCESS_WRITE ? access | IOTLB_DIRTY : access)) << IOTLB_RIGHTS_SHIFT;
        if ((knownTag & needed) != needed) known = NO_ATTRIBUTES;
      }
      const first = load<u64>(request, REQUEST_IOVA);
      const behind = first + load<u32>(request, REQUEST_LENGTH);
      if (behind <= first) break;
      at = first + done;
      last = behind - 1;
      done = 0;
      fresh = false;
    }
    if (!left) break;
    const page = at >> shift;
    const key = (page << shift) | shift;
    const set = iotlb + ((<u32>page) & setMask) * setBytes;
    const mask = OWNER | needed;
    const want = owner | needed;
    if ((load<u64>(set, IOTLB_KEY) ^ key) | ((load<u64>(set, IOTLB_TAG) & mask) ^ want)) {
      const way = Quick.way(set, set + setBytes, key);
      const there = load<u64>(way, IOTLB_KEY);
      const tag = load<u64>(way, IOTLB_TAG);
      if (there != key || (tag & mask) != want) {
        // What is cached for another owner or lacks a right is not for here; what only has to become dirty is.
        if (there == key && ((tag ^ owner) & OWNER || (needed & ~tag) >> IOTLB_RIGHTS_SHIFT != IOTLB_DIRTY)) break;
        if (at + load<u64>(domain, DOMAIN_BIAS) > load<u64>(domain, DOMAIN_MASK)) break;
        let here = load<u32>(domain, DOMAIN_TOP);
        const covered = entryShift<F>(f, here);
        const index = <u32>((at & load<u64>(domain, DOMAIN_MASK)) >> covered);
        if (f.growsTop() && index >= load<u32>(domain, DOMAIN_ROOT_ENTRIES)) break;
        let entryAt = core + load<u32>(domain, DOMAIN_ROOT) + (index << 3);
        let entry = load<u64>(entryAt);
        // What the tables further down are indexed by, from the top bit on.
        let rest = at << (64 - covered);
        for (; here > level && f.isPresent(entry); --here) {
          check(f.isTable(entry));
          entryAt = core + f.tableOffset(entry) + ((<u32>(rest >> (64 - f.tableBits()))) << 3);
          entry = load<u64>(entryAt);
          rest <<= f.tableBits();
        }
        if (here != level) break;
        const attributes = entry & ~Quick.addressField<F>(f);
        let described = knownTag;
        if (attributes != known) {
          if (!f.isPresent(entry) || f.isUncached(entry)) break;
          const access = (named >> REQUEST_FLAGS_SHIFT) & (ACCESS_READ | ACCESS_WRITE);
          const rights = f.leafAccess(entry);
          if ((rights & access) != access) break;
          const tracked = tracks<F>(f, domain);
          if (tracked && access & ACCESS_WRITE && !f.isDirty(entry)) {
            entry = f.makeDirty(entry);
            store<u64>(entryAt, entry);
            bump(iommu, IOMMU_DIRTY_UPDATES, 1);
          }
          const dirty = !tracked || f.isDirty(entry) ? IOTLB_DIRTY : 0;
          described = owner | ((<u64>(rights | dirty)) << IOTLB_RIGHTS_SHIFT);
          known = entry & ~Quick.addressField<F>(f);
          knownTag = described;
        }
        if (there != key) {
          ++misses;
          if (!there) ++free;
          store<u64>(way, key, IOTLB_KEY);
        } else {
          bump(iommu, IOMMU_WALK_READS, load<u32>(domain, DOMAIN_TOP) - level + 1);
        }
        store<u64>(way, described, IOTLB_TAG);
        store<u64>(way, f.leafAddress(entry, <u32>shift), IOTLB_OUTPUT);
        store<u64>(way, 0, IOTLB_IPA);
      }
      if (way != set) Ways.toFront(set, way);
    }
    --left;
    const edge = at | stretch;
    fresh = edge >= last;
    at = edge + 1;
    if (fresh) request += REQUEST_BYTES;
  }
  if (!fresh) done = <u32>(at - load<u64>(request, REQUEST_IOVA));
  store<u32>(iommu, <u32>(request - ring) / REQUEST_BYTES, IOMMU_RING_HEAD);
  store<u32>(iommu, done, IOMMU_RING_DONE);
  bump(iommu, IOMMU_HITS, budget - left - misses);
  bump(iommu, IOMMU_MISSES, misses);
  bump(iommu, IOMMU_EVICTIONS, misses - free);
  bump(iommu, IOMMU_WALK_READS, <u64>misses * (load<u32>(domain, DOMAIN_TOP) - level + 1));
  return left;
}
