// A set-associative cache: IOTLB, walk cache and the caches of devices alike. `cache` is the address of its CACHE_* fields.

import { CACHE_BASE, CACHE_SETS, CACHE_WAYS, IOTLB_ENTRY_BYTES, IOTLB_KEY, IOTLB_TAG } from '../layout';
import { serves } from './tag';

export class Ways {
  /** Moves the entry at `at` to the front of its set at `set`: the ways are kept in order of use. */
  @inline static toFront(set: usize, at: usize): void {
    const low = v128.load(at);
    const high = v128.load(at, 16);
    for (; at > set; at -= IOTLB_ENTRY_BYTES) {
      v128.store(at, v128.load(at - IOTLB_ENTRY_BYTES));
      v128.store(at, v128.load(at - IOTLB_ENTRY_BYTES, 16), 16);
    }
    v128.store(set, low);
    v128.store(set, high, 16);
  }
}

function setOf(core: usize, cache: usize, iova: u64, shift: u64): usize {
  const set = (<u32>(iova >> shift)) & (load<u32>(cache, CACHE_SETS) - 1);
  return core + load<u32>(cache, CACHE_BASE) + set * load<u32>(cache, CACHE_WAYS) * IOTLB_ENTRY_BYTES;
}

/**
 * The entry that covers `iova` and serves `owner`, made the most recently used of its set; 0 where there is none. An entry of
 * 2^n bytes lies in set (iova >> n) mod sets; each size in `sizes` is probed, small ones first.
 */
export function lookup(core: usize, cache: usize, owner: u64, sizes: u64, iova: u64): usize {
  const setBytes = load<u32>(cache, CACHE_WAYS) * IOTLB_ENTRY_BYTES;
  for (; sizes; sizes &= sizes - 1) {
    const shift = ctz(sizes);
    const key = (iova & (u64.MAX_VALUE << shift)) | shift;
    const set = setOf(core, cache, iova, shift);
    const end = set + setBytes;
    for (let at = set; at < end; at += IOTLB_ENTRY_BYTES) {
      const there = load<u64>(at, IOTLB_KEY);
      if (there == key) {
        if (!serves(load<u64>(at, IOTLB_TAG), owner)) continue;
        if (at != set) Ways.toFront(set, at);
        return set;
      }
      if (!there) break;
    }
  }
  return 0;
}

/**
 * Makes room for an entry of 2^shift bytes in its set, at the front, in the place of the least recently used one where all
 * ways are taken. Returns its address with the key written; bit 0 is set where an entry was evicted.
 */
export function insert(core: usize, cache: usize, iova: u64, shift: u64): usize {
  const set = setOf(core, cache, iova, shift);
  const end = set + load<u32>(cache, CACHE_WAYS) * IOTLB_ENTRY_BYTES;
  let at = set;
  while (at < end - IOTLB_ENTRY_BYTES && load<u64>(at, IOTLB_KEY)) at += IOTLB_ENTRY_BYTES;
  const evicted: usize = load<u64>(at, IOTLB_KEY) ? 1 : 0;
  if (at != set) Ways.toFront(set, at);
  store<u64>(set, (iova & (u64.MAX_VALUE << shift)) | shift, IOTLB_KEY);
  return set | evicted;
}
