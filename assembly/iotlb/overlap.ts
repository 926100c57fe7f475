import { CACHE_BASE, CACHE_SETS, CACHE_WAYS, IOTLB_ENTRY_BYTES, IOTLB_KEY, IOTLB_TAG } from '../layout';
import { serves } from './tag';
import { Ways } from './ways';

/** Whether the cache holds an entry of `owner` that overlaps [first, last] and has another size than 2^shift. */
export function overlapsOther(core: usize, cache: usize, owner: u64, first: u64, last: u64, shift: u64): bool {
  const ways = load<u32>(cache, CACHE_WAYS);
  let set = core + load<u32>(cache, CACHE_BASE);
  for (const end = set + load<u32>(cache, CACHE_SETS) * Ways.setBytes(ways); set < end;) {
    let at = set + Ways.headerBytes(ways);
    set += Ways.setBytes(ways);
    for (; at < set; at += IOTLB_ENTRY_BYTES) {
      const key = load<u64>(at, IOTLB_KEY);
      const size = key & 63;
      if (!key || size == shift || !serves(load<u64>(at, IOTLB_TAG), owner)) continue;
      const start = key & (u64.MAX_VALUE << size);
      if (start <= last && start + (((<u64>1) << size) - 1) >= first) return true;
    }
  }
  return false;
}
