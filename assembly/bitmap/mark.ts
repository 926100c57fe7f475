import {
  BITMAP_DATA,
  BITMAP_PAGES,
  BITMAP_SHIFT,
  BITMAP_START,
  BITMAP_WORDS,
  CORE_TRANSFER,
  DONE,
  EBADF,
  EINVAL,
  ERANGE,
  KIND_BITMAP,
  TRANSFER_BYTES,
} from '../layout';
import { check } from '../memory/check';
import { slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

/** Ranges of so many pages seldom reach into a second word. */
const SHORT: u32 = 4;
/** From so many bytes on memory.fill is faster, although it leaves the module. */
const FILL_BYTES: usize = 512;

/** What is written into a loop as it stands: a call per page or range would cost as much as its work. */
abstract class Bits {
  /** Sets bit `page`. */
  @inline static set(data: usize, page: u32): void {
    const at = data + ((page >> 6) << 3);
    store<u64>(at, load<u64>(at) | ((<u64>1) << page));
  }

  /**
   * Sets bits `first` .. `last` (inclusive). Lengths differ from range to range, and a branch on each would cost more than the
   * stores: what is written twice, or as it was, saves one.
   */
  @inline static setRange(data: usize, first: u32, last: u32): void {
    const at = data + ((first >> 6) << 3);
    const end = data + ((last >> 6) << 3);
    const head = u64.MAX_VALUE << first;
    const tail = u64.MAX_VALUE >> ~(<u64>last);
    const bytes = end - at;
    // Both before either is stored: the second may be the same word, and would wait for it.
    const headWord = load<u64>(at);
    const tailWord = load<u64>(end);
    if (bytes <= 8) {
      // Two words, or one twice.
      const both = head & tail;
      store<u64>(at, headWord | (bytes ? head : both));
      store<u64>(end, tailWord | (bytes ? tail : both));
    } else {
      Bits.fill(at, end - 8);
      store<u64>(at, headWord | head);
      store<u64>(end, tailWord | tail);
    }
  }

  /** Sets the bits that the four u32 at `at` name. */
  @inline static setFour(data: usize, at: usize): void {
    Bits.set(data, load<u32>(at));
    Bits.set(data, load<u32>(at, 4));
    Bits.set(data, load<u32>(at, 8));
    Bits.set(data, load<u32>(at, 12));
  }

  /** Sets `count` bits from `first` on, fewer than 64, which are seldom in two words: that is looked at. */
  @inline static setShort(data: usize, first: u32, count: u32): void {
    const at = data + ((first >> 6) << 3);
    const bits = ((<u64>1) << count) - 1;
    store<u64>(at, load<u64>(at) | (bits << first));
    const over = (bits >> 1) >> (~first & 63);
    if (over) store<u64>(at, load<u64>(at, 8) | over, 8);
  }

  /** Sets all bits from address `at` to 16 bytes after `last`, a multiple of 8 from `at` + 8 on. */
  @inline static fill(at: usize, last: usize): void {
    const ones = i64x2.splat(-1);
    if (last - at <= 48) {
      v128.store(at, ones);
      v128.store(min(at + 16, last), ones);
      v128.store(min(at + 32, last), ones);
      v128.store(last, ones);
    } else if (last - at < FILL_BYTES) {
      do {
        v128.store(at, ones);
        v128.store(at, ones, 16);
        v128.store(at, ones, 32);
        v128.store(at, ones, 48);
        at += 64;
      } while (at < last - 48);
      v128.store(last - 48, ones);
      v128.store(last - 32, ones);
      v128.store(last - 16, ones);
      v128.store(last, ones);
    } else {
      memory.fill(at, 0xff, last + 16 - at);
    }
  }
}

/** Sets bits `first` .. `last` (inclusive) of the words at address `data`. */
export function setBits(data: usize, first: u32, last: u32): void {
  check(first <= last);
  Bits.setRange(data, first, last);
}

/** Whether the bitmap at `slot` has pages for all of [first, last]. */
export function holdsAddresses(slot: usize, first: u64, last: u64): bool {
  const shift = load<u32>(slot, BITMAP_SHIFT);
  const origin = load<u64>(slot, BITMAP_START) >> shift;
  return first >> shift >= origin && (last >> shift) - origin < <u64>load<u32>(slot, BITMAP_PAGES);
}

/**
 * Sets the bits of the bitmap at `slot` whose pages hold any byte of [first, last], addresses; what lies outside the
 * bitmap is left out.
 */
export function markAddresses(core: usize, slot: usize, first: u64, last: u64): void {
  const shift = <u64>load<u32>(slot, BITMAP_SHIFT);
  const origin = load<u64>(slot, BITMAP_START) >> shift;
  const end = origin + load<u32>(slot, BITMAP_PAGES) - 1;
  const from = max(first >> shift, origin);
  const to = min(last >> shift, end);
  if (from > to) return;
  setBits(core + load<u32>(slot, BITMAP_DATA), <u32>(from - origin), <u32>(to - origin));
}

/**
 * Marks in the bitmap at `slot`, which has them all, the units of 2^shift bytes from `address` on whose bits are set in
 * `word`: bit i for unit i. `address` is a multiple of 64 units.
 */
export function markWord(core: usize, slot: usize, address: u64, word: u64, shift: u64): void {
  if (load<u32>(slot, BITMAP_SHIFT) == <u32>shift) {
    const page = <u32>((address - load<u64>(slot, BITMAP_START)) >> shift);
    const at = core + load<u32>(slot, BITMAP_DATA) + ((page >> 6) << 3);
    store<u64>(at, load<u64>(at) | (word << page));
    if (page & 63) {
      const high = word >> (64 - (page & 63));
      if (high) store<u64>(at, load<u64>(at, 8) | high, 8);
    }
    return;
  }
  for (; word; word &= word - 1) {
    const first = address + (ctz(word) << shift);
    markAddresses(core, slot, first, first + (((<u64>1) << shift) - 1));
  }
}

/**
 * The address of the word for the 64 units of 2^shift bytes from `address` on, whose neighbours follow it; 0 where the bitmap at
 * `slot` has other pages, or they do not lie in one word.
 */
export function wordsOf(core: usize, slot: usize, address: u64, shift: u64): usize {
  const page = (address - load<u64>(slot, BITMAP_START)) >> shift;
  if (load<u32>(slot, BITMAP_SHIFT) != <u32>shift || page & 63) return 0;
  return core + load<u32>(slot, BITMAP_DATA) + (((<u32>page) >> 6) << 3);
}

/** Marks pages `first` .. `first + count - 1`. EBADF; ERANGE: a page that the bitmap does not have; EINVAL: no page. */
export function bitmapMark(core: usize, bitmap: u32, first: u32, count: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (!count) return fail(EINVAL);
  if (<u64>first + count > load<u32>(slot, BITMAP_PAGES)) return fail(ERANGE);
  setBits(core + load<u32>(slot, BITMAP_DATA), first, first + count - 1);
  return DONE;
}

/** The highest of the u32 from address `at` to `end`. */
function highestOf(at: usize, end: usize): u32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  for (; at + 32 <= end; at += 32) {
    a = i32x4.max_u(a, v128.load(at));
    b = i32x4.max_u(b, v128.load(at, 16));
  }
  a = i32x4.max_u(a, b);
  a = i32x4.max_u(a, v128.shuffle<i64>(a, a, 1, 0));
  let highest = max(<u32>i32x4.extract_lane(a, 0), <u32>i32x4.extract_lane(a, 1));
  for (; at < end; at += 4) highest = max(highest, load<u32>(at));
  return highest;
}

/** Whether the 16 page numbers (u32) at `at` follow each other, as those of a guest's buffers do. */
function isRun(at: usize): bool {
  const first = load<u32>(at);
  if (load<u32>(at, 60) - first != 15) return false;
  const a = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  const four = i32x4.splat(4);
  const b = i32x4.add(a, four);
  const c = i32x4.add(b, four);
  const d = i32x4.add(c, four);
  const low = v128.or(v128.xor(a, v128.load(at)), v128.xor(b, v128.load(at, 16)));
  const high = v128.or(v128.xor(c, v128.load(at, 32)), v128.xor(d, v128.load(at, 48)));
  return !v128.any_true(v128.or(low, high));
}

/**
 * Marks the `count` page numbers (u32) that lie at the transfer buffer's start. EBADF; EINVAL: more than the buffer
 * holds; ERANGE: a page that the bitmap does not have, and then none is marked.
 */
export function bitmapMarkList(core: usize, bitmap: u32, count: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (count > (<u32>TRANSFER_BYTES) >> 2) return fail(EINVAL);
  const pages = load<u32>(slot, BITMAP_PAGES);
  const list = core + load<u32>(core, CORE_TRANSFER);
  const end = list + (count << 2);
  if (count && highestOf(list, end) >= pages) return fail(ERANGE);
  const data = core + load<u32>(slot, BITMAP_DATA);
  let at = list;
  for (const sixteens = list + ((count & ~15) << 2); at < sixteens; at += 64) {
    if (isRun(at)) {
      Bits.setShort(data, load<u32>(at), 16);
      continue;
    }
    Bits.setFour(data, at);
    Bits.setFour(data, at + 16);
    Bits.setFour(data, at + 32);
    Bits.setFour(data, at + 48);
  }
  for (; at < end; at += 4) Bits.set(data, load<u32>(at));
  return DONE;
}

/**
 * 1 where none of the ranges from address `at` to `end` has more than SHORT pages, else 0; or what is wrong with one, as an
 * export returns it: EINVAL, it has no page; ERANGE, it ends behind `pages`.
 */
function checkRanges(at: usize, end: usize, pages: u32): i32 {
  let furthest: u64 = 0;
  let shortest = u32.MAX_VALUE;
  let ends = i32x4.splat(0);
  let beyond = ends;
  let counts = i32x4.splat(-1);
  let most = ends;
  let longest: u32 = 0;
  for (; at + 32 <= end; at += 32) {
    const a = v128.load(at);
    const b = v128.load(at, 16);
    const firsts = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
    const count = v128.shuffle<i32>(a, b, 1, 3, 5, 7);
    const sums = i32x4.add(firsts, count);
    ends = i32x4.max_u(ends, sums);
    // A sum beyond 32 bits is less than what was added to.
    beyond = v128.or(beyond, v128.xor(sums, i32x4.max_u(sums, firsts)));
    counts = i32x4.min_u(counts, count);
    most = i32x4.max_u(most, count);
  }
  for (; at < end; at += 8) {
    furthest = max(furthest, <u64>load<u32>(at) + load<u32>(at, 4));
    shortest = min<u32>(shortest, load<u32>(at, 4));
    longest = max<u32>(longest, load<u32>(at, 4));
  }
  if (!shortest || !i32x4.all_true(counts)) return fail(EINVAL);
  if (furthest > pages || v128.any_true(beyond)) return fail(ERANGE);
  const limit = i32x4.splat(pages);
  if (!i32x4.all_true(i32x4.eq(i32x4.max_u(ends, limit), limit))) return fail(ERANGE);
  const short = i32x4.splat(SHORT);
  return longest <= SHORT && i32x4.all_true(i32x4.eq(i32x4.max_u(most, short), short)) ? 1 : 0;
}

/** Marks the ranges from address `at` to `end`, none of more than SHORT pages. */
function markShort(data: usize, at: usize, end: usize): void {
  for (; at + 32 <= end; at += 32) {
    Bits.setShort(data, load<u32>(at), load<u32>(at, 4));
    Bits.setShort(data, load<u32>(at, 8), load<u32>(at, 12));
    Bits.setShort(data, load<u32>(at, 16), load<u32>(at, 20));
    Bits.setShort(data, load<u32>(at, 24), load<u32>(at, 28));
  }
  for (; at < end; at += 8) Bits.setShort(data, load<u32>(at), load<u32>(at, 4));
}

/**
 * Marks the `count` ranges that lie at the transfer buffer's start as pairs (first page, pages), u32 each, as bitmapRuns
 * writes them. EBADF; EINVAL: more than the buffer holds, or a range without a page; ERANGE: a page that the bitmap does not
 * have. With an error none is marked.
 */
export function bitmapMarkRanges(core: usize, bitmap: u32, count: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (count > (<u32>TRANSFER_BYTES) >> 3) return fail(EINVAL);
  const pages = load<u32>(slot, BITMAP_PAGES);
  const list = core + load<u32>(core, CORE_TRANSFER);
  const end = list + (count << 3);
  const short = checkRanges(list, end, pages);
  if (short < 0) return short;
  const data = core + load<u32>(slot, BITMAP_DATA);
  if (short) {
    markShort(data, list, end);
    return DONE;
  }
  for (let at = list; at < end; at += 8) {
    const first = load<u32>(at);
    Bits.setRange(data, first, first + load<u32>(at, 4) - 1);
  }
  return DONE;
}

/** 1 where `page` is marked, 0 where not. EBADF, ERANGE. */
export function bitmapTest(core: usize, bitmap: u32, page: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (page >= load<u32>(slot, BITMAP_PAGES)) return fail(ERANGE);
  return <i32>((load<u64>(core + load<u32>(slot, BITMAP_DATA) + ((page >> 6) << 3)) >> page) & 1);
}

/** Cleans every page. EBADF. */
export function bitmapClear(core: usize, bitmap: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  memory.fill(core + load<u32>(slot, BITMAP_DATA), 0, load<u32>(slot, BITMAP_WORDS) << 3);
  return DONE;
}
