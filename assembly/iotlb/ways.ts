// The ways of one set, least recently used first to go. Entries stay where they are; what says how long ago each was used, and a print of
// each key, lies before them (drawn in layout.ts), so that neither a search nor a hit takes a branch that depends on the way.

import { IOTLB_ENTRY_BYTES, IOTLB_KEY, IOTLB_TAG, WAYS_AGES, WAYS_HEADER_BYTES, WAYS_PER_HEADER } from '../layout';
import { serves } from './tag';

/** Number of the lane, in each lane. */
const LANES: v128 = i16x8(0, 1, 2, 3, 4, 5, 6, 7);
/** What no key has for a print, and no free way: where there is no way. */
const NO_WAY: i32 = 0xffff;

export class Ways {
  /** Bytes before the entries of a set: none where there is nothing to choose from. */
  @inline static headerBytes(ways: u32): u32 {
    return ways > 1 ? ((ways + WAYS_PER_HEADER - 1) / WAYS_PER_HEADER) * WAYS_HEADER_BYTES : 0;
  }

  /** Bytes of a set. */
  @inline static setBytes(ways: u32): u32 {
    return Ways.headerBytes(ways) + ways * IOTLB_ENTRY_BYTES;
  }

  /** 1 to 0x7fff, for an entry with `key`; a free way has 0. */
  @inline static print(key: u64): u32 {
    return (<u32>((key * 0x9e37_79b9_7f4a_7c15) >> 49)) | 1;
  }

  /** The way with `key` that serves `owner` in the set at `set`, which has `headers` bytes before its entries; 0: it has none. */
  @inline static seek(set: usize, headers: u32, key: u64, owner: u64): usize {
    const print = i16x8.splat(<i16>Ways.print(key));
    let entries = set + headers;
    for (let at = set; at < set + headers; at += WAYS_HEADER_BYTES) {
      let same = i16x8.bitmask(i16x8.eq(v128.load(at), print));
      for (; same; same &= same - 1) {
        const way = entries + ctz(same) * IOTLB_ENTRY_BYTES;
        if (load<u64>(way, IOTLB_KEY) == key && serves(load<u64>(way, IOTLB_TAG), owner)) return way;
      }
      entries += WAYS_PER_HEADER * IOTLB_ENTRY_BYTES;
    }
    return 0;
  }

  /**
   * `seek` and, if what it finds has `want` in the bits `mask` of its tag, `touch`, of a set with one header; 0 also where two ways have one
   * print, which `seek` tells apart.
   */
  @inline static hit(set: usize, key: u64, mask: u64, want: u64): usize {
    const same = i16x8.eq(v128.load(set), i16x8.splat(<i16>Ways.print(key)));
    const lanes = i16x8.bitmask(same);
    if (!lanes || lanes & (lanes - 1)) return 0;
    const lane = ctz(lanes);
    const way = set + WAYS_HEADER_BYTES + lane * IOTLB_ENTRY_BYTES;
    if (load<u64>(way, IOTLB_KEY) != key || (load<u64>(way, IOTLB_TAG) & mask) != want) return 0;
    const ages = v128.load(set, WAYS_AGES);
    const older = i16x8.sub(ages, i16x8.lt_s(ages, i16x8.splat(<i16>load<u16>(set + (lane << 1), WAYS_AGES))));
    v128.store(set, v128.andnot(older, same), WAYS_AGES);
    return way;
  }

  /** Makes the way at `way` the most recently used one. */
  @inline static touch(set: usize, headers: u32, way: usize): void {
    let lane = <i32>((way - set - headers) / IOTLB_ENTRY_BYTES);
    const age = i16x8.splat(<i16>load<u16>(Ways.ageAt(set, lane)));
    for (let at = set; at < set + headers; at += WAYS_HEADER_BYTES) {
      const ages = v128.load(at, WAYS_AGES);
      const older = i16x8.sub(ages, i16x8.lt_u(ages, age));
      v128.store(at, v128.andnot(older, i16x8.eq(LANES, i16x8.splat(<i16>lane))), WAYS_AGES);
      lane -= WAYS_PER_HEADER;
    }
  }

  @inline static ageAt(set: usize, way: u32): usize {
    return set + (way / WAYS_PER_HEADER) * WAYS_HEADER_BYTES + WAYS_AGES + ((way % WAYS_PER_HEADER) << 1);
  }

  /** The first free way, or the least recently used one, of the set at `set` with `ways` ways. */
  @inline static victim(set: usize, headers: u32, ways: u32): usize {
    const oldest = i16x8.splat(<i16>(ways - 1));
    let entries = set + headers;
    let last: usize = 0;
    for (let at = set; at < set + headers; at += WAYS_HEADER_BYTES) {
      const free = i16x8.bitmask(i16x8.eq(v128.load(at), i16x8.splat(0)));
      if (free) return entries + ctz(free) * IOTLB_ENTRY_BYTES;
      const old = i16x8.bitmask(i16x8.eq(v128.load(at, WAYS_AGES), oldest));
      if (old) last = entries + ctz(old) * IOTLB_ENTRY_BYTES;
      entries += WAYS_PER_HEADER * IOTLB_ENTRY_BYTES;
    }
    return last;
  }

  /** Gives the way at `way` the key `key`; 0: frees it. */
  @inline static rename(set: usize, headers: u32, way: usize, key: u64): void {
    store<u64>(way, key, IOTLB_KEY);
    if (!headers) return;
    const number = <u32>((way - set - headers) / IOTLB_ENTRY_BYTES);
    const at = set + (number / WAYS_PER_HEADER) * WAYS_HEADER_BYTES + ((number % WAYS_PER_HEADER) << 1);
    store<u16>(at, key ? Ways.print(key) : 0);
  }
}

/** Writes the headers of an empty set: the ways were used in the order of their numbers, the first last. */
export function makeWays(set: usize, ways: u32): void {
  const headers = Ways.headerBytes(ways);
  for (let at: u32 = 0; at < headers; at += WAYS_HEADER_BYTES) {
    const first = (at / WAYS_HEADER_BYTES) * WAYS_PER_HEADER;
    const numbers = i16x8.add(LANES, i16x8.splat(<i16>first));
    const missing = i16x8.ge_u(numbers, i16x8.splat(<i16>ways));
    v128.store(set + at, v128.and(missing, i16x8.splat(<i16>NO_WAY)));
    v128.store(set + at, numbers, WAYS_AGES);
  }
}
