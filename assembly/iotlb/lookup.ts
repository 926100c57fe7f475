// A set-associative cache: IOTLB, walk cache and the caches of devices alike. `cache` is the address of its CACHE_* fields.

import { CACHE_BASE, CACHE_SETS, CACHE_WAYS, IOTLB_KEY, IOTLB_TAG } from '../layout';
import { serves } from './tag';
import { Ways } from './ways';

function setOf(core: usize, cache: usize, iova: u64, shift: u64): usize {
  const set = (<u32>(iova >> shift)) & (load<u32>(cache, CACHE_SETS) - 1);
  return core + load<u32>(cache, CACHE_BASE) + set * Ways.setBytes(load<u32>(cache, CACHE_WAYS));
}

/**
 * The entry that covers `iova` and serves `owner`, made the most recently used of its set; 0 where there is none. An entry of
 * 2^n bytes lies in set (iova >> n) mod sets; each size in `sizes` is probed, small ones first.
 */
export function lookup(core: usize, cache: usize, owner: u64, sizes: u64, iova: u64): usize {
  const ways = load<u32>(cache, CACHE_WAYS);
  const headers = Ways.headerBytes(ways);
  for (; sizes; sizes &= sizes - 1) {
    const shift = ctz(sizes);
    const key = (iova & (u64.MAX_VALUE << shift)) | shift;
    const set = setOf(core, cache, iova, shift);
    if (!headers) {
      if (load<u64>(set, IOTLB_KEY) == key && serves(load<u64>(set, IOTLB_TAG), owner)) return set;
      continue;
    }
    const found = Ways.seek(set, headers, key, owner);
    if (found) {
      Ways.touch(set, headers, found);
      return found;
    }
  }
  return 0;
}

/**
 * Makes room for an entry of 2^shift bytes in its set, as its most recently used one, in the place of the least recently used where
 * all ways are taken. Returns its address with the key written; bit 0 is set where an entry was evicted.
 */
export function insert(core: usize, cache: usize, iova: u64, shift: u64): usize {
  const ways = load<u32>(cache, CACHE_WAYS);
  const headers = Ways.headerBytes(ways);
  const set = setOf(core, cache, iova, shift);
  const way = headers ? Ways.victim(set, headers, ways) : set;
  const evicted: usize = load<u64>(way, IOTLB_KEY) ? 1 : 0;
  Ways.rename(set, headers, way, (iova & (u64.MAX_VALUE << shift)) | shift);
  if (headers) Ways.touch(set, headers, way);
  return way | evicted;
}
