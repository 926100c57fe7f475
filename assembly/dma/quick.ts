// What most look-ups of a batch are: leaves of one size, one stage, no cache but the IOTLB, no log. What happens to them is what `resolve`
// does; it is spelled out here as one loop without a call, which keeps everything in registers, and with what cannot differ taken
// for granted. Whatever turns out to be otherwise, faults above all, is left to `resolve`.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  CORE_ABSENT,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_KIND,
  DEVICE_LOG,
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
  KIND_DEVICE,
  MAIL1,
  REQUEST_BYTES,
  REQUEST_FLAGS_SHIFT,
  REQUEST_IOVA,
  REQUEST_LENGTH,
  REQUEST_STREAM,
  UPDATE_WRONG,
  WAYS_HEADER_BYTES,
  WAYS_PER_HEADER,
} from '../layout';
import { OWNER } from '../iotlb/tag';
import { Ways } from '../iotlb/ways';
import { check } from '../memory/check';
import { Slots } from '../memory/handles';
import { bump } from '../memory/counter';
import { LOOKUP_SHIFT } from '../pagetable/domain';
import { post } from '../memory/mailbox';
import { Format } from '../pagetable/format';
import { entryShift, levelOf } from '../pagetable/walk';
import { AnyShape, Associative, DirectMapped, Shape } from './shape';
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
  /**
   * Walks for the first look-up of each request from `request` to `end` to the leaves in `level`, and writes the addresses of their entries
   * (u32 each; where the way ends before, that of one that is always 0) to `out`. Walks that do nothing else overlap, where those that also do the work of a
   * look-up wait for each other's cache misses. Returns what the leaves come to, which keeps them from being left out.
   */
  @inline static walkAhead<F extends Format>(
    f: F,
    core: usize,
    domain: usize,
    request: usize,
    end: usize,
    level: u32,
    out: usize,
  ): u64 {
    const top = load<u32>(domain, DOMAIN_TOP);
    const depth = top - level;
    const covered = entryShift<F>(f, top);
    const root = core + load<u32>(domain, DOMAIN_ROOT);
    const mask = load<u64>(domain, DOMAIN_MASK);
    const most = load<u32>(domain, DOMAIN_ROOT_ENTRIES);
    const absent = core + CORE_ABSENT;
    let to = out;
    for (; request < end; request += REQUEST_BYTES, to += 4) {
      const iova = load<u64>(request, REQUEST_IOVA);
      const index = (iova & mask) >> covered;
      let at = index < <u64>most ? root + ((<usize>index) << 3) : absent;
      let rest = iova << (64 - covered);
      for (let below = depth; below; --below) {
        const entry = load<u64>(at);
        at = absent;
        if (!f.isPresent(entry)) break;
        at = core + f.tableOffset(entry) + ((<u32>(rest >> (64 - f.tableBits()))) << 3);
        rest <<= f.tableBits();
      }
      store<u32>(to, <u32>at);
    }
    let sum: u64 = 0;
    for (let from = out; from < to; from += 4) sum ^= load<u64>(load<u32>(from));
    return sum;
  }

  /** The address of the entry in `level` for `iova`, an input address; that of one that is always 0 where the way there ends before. */
  @inline static entryAt<F extends Format>(f: F, core: usize, domain: usize, iova: u64, level: u32): usize {
    let here = load<u32>(domain, DOMAIN_TOP);
    const covered = entryShift<F>(f, here);
    const index = <u32>((iova & load<u64>(domain, DOMAIN_MASK)) >> covered);
    if (f.growsTop() && index >= load<u32>(domain, DOMAIN_ROOT_ENTRIES)) return core + CORE_ABSENT;
    let at = core + load<u32>(domain, DOMAIN_ROOT) + (index << 3);
    // What the tables further down are indexed by, from the top bit on.
    let rest = iova << (64 - covered);
    for (; here > level; --here) {
      const entry = load<u64>(at);
      if (!f.isPresent(entry)) break;
      check(f.isTable(entry));
      at = core + f.tableOffset(entry) + ((<u32>(rest >> (64 - f.tableBits()))) << 3);
      rest <<= f.tableBits();
    }
    return here == level ? at : core + CORE_ABSENT;
  }

  /** Whether the device that a request's `stream` names is in the domain with `handle`, and has neither a cache nor a log of its own. */
  @inline static isPlain(core: usize, stream: u32, handle: u32): bool {
    const device = Slots.ofStream(core, stream, KIND_DEVICE);
    if (!device || load<u32>(device, DEVICE_DOMAIN) != handle) return false;
    return !(load<u32>(device, DEVICE_KIND) & DEVICE_ATS) && !load<u32>(device, DEVICE_LOG);
  }

  /** The bits of a leaf that hold its address. */
  @inline static addressField<F extends Format>(f: F): u64 {
    const most = f.leafAddress(u64.MAX_VALUE, f.granuleShift());
    const shift = f.granuleShift();
    return f.makeLeaf(most, shift, 0, ACCESS_READ, false) ^ f.makeLeaf(0, shift, 0, ACCESS_READ, false);
  }
}

/** The right of a tag that a leaf gets by being written. */
const CLEAN: u64 = (<u64>IOTLB_DIRTY) << IOTLB_RIGHTS_SHIFT;
/** No leaf has these attributes: the bits of its address field are clear in them. */
const NO_ATTRIBUTES: u64 = u64.MAX_VALUE;
/** The bits of a request that name its stream. */
const STREAM: u32 = (1 << REQUEST_FLAGS_SHIFT) - 1;

/**
 * Runs requests from the ring's head up to `until` as long as they are quick and in the domain with `handle`, at most `budget` look-ups;
 * what is left of the budget. The ring stands where it left off.
 *
 * Tables of the host let everything through, and in a domain with one leaf size what is present above that size's level is a table.
 * Leaves differ in little but their address: what the attributes of the last one came to counts for all that have the same.
 */
export function runQuick<F extends Format, S extends Shape>(
  f: F,
  s: S,
  core: usize,
  domain: usize,
  iommu: usize,
  handle: u32,
  until: u32,
  walked: usize,
  budget: u32,
): u32 {
  const ring = core + load<u32>(iommu, IOMMU_RING);
  const end = ring + until * REQUEST_BYTES;
  let request = ring + load<u32>(iommu, IOMMU_RING_HEAD) * REQUEST_BYTES;
  const iotlb = core + load<u32>(iommu, IOMMU_IOTLB + CACHE_BASE);
  const setMask = load<u32>(iommu, IOMMU_IOTLB + CACHE_SETS) - 1;
  const ways = load<u32>(iommu, IOMMU_IOTLB + CACHE_WAYS);
  const headers: u32 = s.mayHaveHeaders() ? Ways.headerBytes(ways) : s.mayChoose() ? WAYS_HEADER_BYTES : 0;
  const choose: bool = s.mayChoose() && (!s.mayBeDirect() || headers != 0);
  const setBytes = headers + (s.mayChoose() ? ways : 1) * IOTLB_ENTRY_BYTES;
  const sizes = load<u64>(domain, DOMAIN_SIZES_USED);
  const shift: u64 = s.smallest() ? f.granuleShift() : ctz(sizes);
  const level: u32 = s.smallest() ? 0 : levelOf<F>(f, <u32>shift);
  if (walked) post(core, MAIL1, Quick.walkAhead<F>(f, core, domain, request, end, level, walked));
  const owner = load<u64>(domain, DOMAIN_TAG);
  const stretch = ((<u64>1) << min<u32>(LOOKUP_SHIFT, f.granuleShift())) - 1;
  store<u64>(iommu, load<u64>(iommu, IOMMU_SIZES) | sizes, IOMMU_SIZES);
  // The last stream that was looked at, with the flags of its requests.
  let named = ~load<u32>(request, REQUEST_STREAM);
  const missed = load<u64>(iommu, IOMMU_MISSES);
  let left = budget;
  // What is left of the request; at > last: nothing.
  let at: u64 = 1;
  let last: u64 = 0;
  if (load<u32>(iommu, IOMMU_RING_DONE)) {
    if (!Quick.isPlain(core, ~named & STREAM, handle)) return left;
    const first = load<u64>(request, REQUEST_IOVA);
    at = first + load<u32>(iommu, IOMMU_RING_DONE);
    last = first + (load<u32>(request, REQUEST_LENGTH) - 1);
  }
  // Where the leaf of the request at `request` is, if there were walks ahead.
  const ahead = walked - (request >> 2);
  let known = NO_ATTRIBUTES;
  let knownTag: u64 = 0;
  while (request < end) {
    const word = load<u32>(request, REQUEST_STREAM);
    if (at > last) {
      if ((word ^ named) & STREAM && !Quick.isPlain(core, word & STREAM, handle)) break;
      named = word;
      const first = load<u64>(request, REQUEST_IOVA);
      const behind = first + load<u32>(request, REQUEST_LENGTH);
      if (behind <= first) break;
      at = first;
      last = behind - 1;
    }
    if (!left) break;
    const page = at >> shift;
    const key = (page << shift) | shift;
    const set = iotlb + ((<u32>page) & setMask) * setBytes;
    const access = (word >> REQUEST_FLAGS_SHIFT) & (ACCESS_READ | ACCESS_WRITE);
    const needed = (<u64>(access & ACCESS_WRITE ? access | IOTLB_DIRTY : access)) << IOTLB_RIGHTS_SHIFT;
    const mask = OWNER | needed;
    const want = owner | needed;
    const served: bool = s.mayChoose() && !s.mayHaveHeaders() && Ways.hit(set, key, mask, want) != 0;
    if (!served) {
      let way = choose ? Ways.seek(set, headers, key, owner) : set;
      const cached: bool = choose ? way != 0 : load<u64>(way, IOTLB_KEY) == key;
      if (!cached || (load<u64>(way, IOTLB_TAG) & mask) != want) {
        // A global leaf, or one of another owner or without a right, is not for here; one that only has to become dirty is.
        if (cached && (load<u64>(way, IOTLB_TAG) & (mask ^ CLEAN)) != (want ^ CLEAN)) break;
        if (at + load<u64>(domain, DOMAIN_BIAS) > load<u64>(domain, DOMAIN_MASK)) break;
        const entryAt =
          walked && at == load<u64>(request, REQUEST_IOVA)
            ? <usize>load<u32>(ahead + (request >> 2))
            : Quick.entryAt<F>(f, core, domain, at, level);
        let entry = load<u64>(entryAt);
        const attributes = entry & ~Quick.addressField<F>(f);
        let described = knownTag;
        if (attributes != known || (knownTag & needed) != needed) {
          if (!f.isPresent(entry) || f.isUncached(entry)) break;
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
        if (cached) {
          bump(iommu, IOMMU_WALK_READS, load<u32>(domain, DOMAIN_TOP) - level + 1);
        } else {
          if (choose) way = Ways.victim(set, headers, ways);
          bump(iommu, IOMMU_MISSES, 1);
          if (!load<u64>(way, IOTLB_KEY)) bump(iommu, IOMMU_EVICTIONS, -1);
          if (choose) Ways.rename(set, headers, way, key);
          else store<u64>(way, key, IOTLB_KEY);
        }
        store<u64>(way, described, IOTLB_TAG);
        store<u64>(way, f.leafAddress(entry, <u32>shift), IOTLB_OUTPUT);
        store<u64>(way, 0, IOTLB_IPA);
      }
      if (choose) Ways.touch(set, headers, way);
    }
    --left;
    const edge = at | stretch;
    if (edge < last) {
      at = edge + 1;
    } else {
      request += REQUEST_BYTES;
      at = 1;
      last = 0;
    }
  }
  store<u32>(iommu, <u32>(request - ring) / REQUEST_BYTES, IOMMU_RING_HEAD);
  store<u32>(iommu, at > last ? 0 : <u32>(at - load<u64>(request, REQUEST_IOVA)), IOMMU_RING_DONE);
  const misses = load<u64>(iommu, IOMMU_MISSES) - missed;
  bump(iommu, IOMMU_HITS, budget - left - misses);
  bump(iommu, IOMMU_EVICTIONS, misses);
  bump(iommu, IOMMU_WALK_READS, misses * (load<u32>(domain, DOMAIN_TOP) - level + 1));
  return left;
}

/** `runQuick` in the shape that fits. */
export function runInShape<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  iommu: usize,
  handle: u32,
  until: u32,
  walked: usize,
  budget: u32,
): u32 {
  const ways = load<u32>(iommu, IOMMU_IOTLB + CACHE_WAYS);
  if (ways > <u32>WAYS_PER_HEADER || load<u64>(domain, DOMAIN_SIZES_USED) != (<u64>1) << f.granuleShift()) {
    return runQuick<F, AnyShape>(f, changetype<AnyShape>(0), core, domain, iommu, handle, until, walked, budget);
  }
  return ways == 1
    ? runQuick<F, DirectMapped>(f, changetype<DirectMapped>(0), core, domain, iommu, handle, until, walked, budget)
    : runQuick<F, Associative>(f, changetype<Associative>(0), core, domain, iommu, handle, until, walked, budget);
}
