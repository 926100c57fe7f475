// Which pages are marked, one by one. As with runs, branches that can't be foreseen are what costs: vectors say which words
// of a group of 64 have a mark, and only those are visited, or all where most have one; then a word's numbers are written
// without a look at each.

import {
  BITMAP_DATA,
  BITMAP_PAGES,
  CORE_TRANSFER,
  DONE,
  EBADF,
  KIND_BITMAP,
  MAIL0,
  MAIL1,
  MORE,
  TRANSFER_BYTES,
} from '../layout';
import { Emit, NIBBLES_BYTES, SLACK, writeNibbles } from './emit';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';

/** Bytes of a group of 64 words. */
const GROUP_BYTES: usize = 512;
/** Words with a mark from which on a group is gone through word by word. */
const DENSE: u64 = 32;
/** Marks of a word above which all its nibbles are looked up. */
const MANY: u64 = 8;

/** Words without a mark. Calls would cost as much as the work. */
abstract class Clean {
  /** All ones in each lane of 16 bits whose word, of the eight at `at`, is 0. */
  @inline static eight(at: usize): v128 {
    const zero = i64x2.splat(0);
    const a = i64x2.eq(v128.load(at), zero);
    const b = i64x2.eq(v128.load(at, 16), zero);
    const c = i64x2.eq(v128.load(at, 32), zero);
    const d = i64x2.eq(v128.load(at, 48), zero);
    const low = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
    const high = v128.shuffle<i32>(c, d, 0, 2, 4, 6);
    return i16x8.narrow_i32x4_s(low, high);
  }

  /** The same of sixteen, a bit each. */
  @inline static sixteen(at: usize): u64 {
    return i8x16.bitmask(i8x16.narrow_i16x8_s(Clean.eight(at), Clean.eight(at + 64)));
  }
}

/** Which of the 64 words at `at` have a mark. */
function markedWords(at: usize): u64 {
  let clean: u64 = 0;
  for (const end = at + GROUP_BYTES; at < end; at += 128) clean = (clean >> 16) | (Clean.sixteen(at) << 48);
  return ~clean;
}

/** Goes on from `at` by 64 bytes as long as all of them are 0. */
function skipClean(at: usize, end: usize): usize {
  while (at + 64 <= end) {
    const a = v128.or(v128.load(at), v128.load(at, 16));
    const b = v128.or(v128.load(at, 32), v128.load(at, 48));
    if (v128.any_true(v128.or(a, b))) break;
    at += 64;
  }
  return at;
}

/**
 * Writes the marked pages from page `page` on to `out` until `full`, or to the end of the bitmap, by whole words. Returns
 * where they end.
 */
function writePages(data: usize, page: u32, pages: u32, out: usize, full: usize, nibbles: usize): usize {
  const end = data + ((pages >> 6) << 3) + (pages & 63 ? 8 : 0);
  let at = data + ((page >> 6) << 3);
  out = Emit.many(out, load<u64>(at) & (u64.MAX_VALUE << page), page & ~63, nibbles);
  at += 8;
  while (at < end && out < full) {
    const groupEnd = min(at + GROUP_BYTES, end);
    const marked = groupEnd - at < GROUP_BYTES ? u64.MAX_VALUE : markedWords(at);
    if (!marked) {
      at = skipClean(groupEnd, end);
      continue;
    }
    if (popcnt(marked) >= DENSE) {
      for (; at < groupEnd && out < full; at += 8) {
        const bits = load<u64>(at);
        const first = <u32>((at - data) << 3);
        out = popcnt(bits) > MANY ? Emit.many(out, bits, first, nibbles) : Emit.eight(out, bits, first);
      }
      continue;
    }
    for (let left = marked; left && out < full; left &= left - 1) {
      const word = at + ((<usize>ctz(left)) << 3);
      const bits = load<u64>(word);
      const first = <u32>((word - data) << 3);
      out = popcnt(bits) > MANY ? Emit.many(out, bits, first, nibbles) : Emit.few(out, bits, first);
    }
    at = groupEnd;
  }
  return out;
}

/**
 * Writes the numbers of the marked pages from page MAIL0 on to the transfer buffer, u32 each, ascending, at most `most` of
 * them. Posts the next page to MAIL0 and how many there are to MAIL1; MORE where the bitmap is not at its end. EBADF.
 */
export function bitmapPages(core: usize, bitmap: u32, most: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  const pages = load<u32>(slot, BITMAP_PAGES);
  const out = core + load<u32>(core, CORE_TRANSFER);
  const nibbles = out + (<usize>TRANSFER_BYTES - NIBBLES_BYTES);
  const room = min<usize>((<usize>max<u32>(most, 1)) << 2, <usize>TRANSFER_BYTES - NIBBLES_BYTES - SLACK);
  let page = <u32>min(mail(core, MAIL0), <u64>pages);
  let end = out;
  if (page < pages) {
    writeNibbles(nibbles);
    const full = out + room;
    end = writePages(core + load<u32>(slot, BITMAP_DATA), page, pages, out, full, nibbles);
    page = end < full ? pages : load<u32>(full - 4) + 1;
    end = min(end, full);
  }
  post(core, MAIL0, page);
  post(core, MAIL1, (end - out) >> 2);
  return page < pages ? MORE : DONE;
}
