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

/** Below this many words a loop beats memory.fill, which leaves the module. */
const FILL_WORDS: u32 = 64;

/** Sets bits `first` .. `last` (inclusive) of the words at address `data`. */
export function setBits(data: usize, first: u32, last: u32): void {
  check(first <= last);
  let at = data + ((first >> 6) << 3);
  const end = data + ((last >> 6) << 3);
  const head = u64.MAX_VALUE << first;
  const tail = u64.MAX_VALUE >> (63 - (last & 63));
  if (at == end) {
    store<u64>(at, load<u64>(at) | (head & tail));
    return;
  }
  store<u64>(at, load<u64>(at) | head);
  at += 8;
  if (end - at >= FILL_WORDS << 3) {
    memory.fill(at, 0xff, end - at);
  } else {
    for (; at < end; at += 8) store<u64>(at, u64.MAX_VALUE);
  }
  store<u64>(end, load<u64>(end) | tail);
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

/** Marks pages `first` .. `first + count - 1`. EBADF; ERANGE: a page that the bitmap does not have; EINVAL: no page. */
export function bitmapMark(core: usize, bitmap: u32, first: u32, count: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (!count) return fail(EINVAL);
  if (<u64>first + count > load<u32>(slot, BITMAP_PAGES)) return fail(ERANGE);
  setBits(core + load<u32>(slot, BITMAP_DATA), first, first + count - 1);
  return DONE;
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
  let highest: u32 = 0;
  for (let at = list; at < end; at += 4) highest = max(highest, load<u32>(at));
  if (count && highest >= pages) return fail(ERANGE);
  const data = core + load<u32>(slot, BITMAP_DATA);
  for (let at = list; at < end; at += 4) {
    const page = load<u32>(at);
    const word = data + ((page >> 6) << 3);
    const bits = load<u64>(word);
    const bit = (<u64>1) << page;
    // A page that is dirty already is the common case in a hot set: the test saves the store.
    if (!(bits & bit)) store<u64>(word, bits | bit);
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
