// Read-and-clear: what is dirty in one run of bits is marked in a caller's bitmap, at the caller's page size.

import {
  BITMAP_DATA,
  BITMAP_PAGES,
  BITMAP_SHIFT,
  BITMAP_START,
  DONE,
  EBADF,
  EINVAL,
  ERANGE,
  KIND_BITMAP,
  MAIL0,
  MAIL1,
  MAIL2,
  READ_DIRTY_NO_CLEAR,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { markAddresses } from './mark';
import { moveWords } from './merge';

/**
 * Whether the bitmap at `slot` can take a report on [first, last]: DONE, -EINVAL where that is not a whole number of its
 * pages, -ERANGE where it reaches beyond the bitmap (what can't be stored must not be cleared).
 */
export function checkTarget(slot: usize, first: u64, last: u64): i32 {
  const shift = load<u32>(slot, BITMAP_SHIFT);
  const mask = ((<u64>1) << shift) - 1;
  if (first > last || first & mask || (last + 1) & mask) return fail(EINVAL);
  const origin = load<u64>(slot, BITMAP_START) >> shift;
  const end = origin + load<u32>(slot, BITMAP_PAGES) - 1;
  return first >> shift < origin || last >> shift > end ? fail(ERANGE) : DONE;
}

/** Marks in the bitmap at `into` the pages of `word` one by one, clipped to [from, to]; the bits that lie wholly inside. */
function drainWord(core: usize, into: usize, word: u64, page: u64, shift: u64, from: u64, to: u64): u64 {
  let inside: u64 = 0;
  for (let rest = word; rest; rest &= rest - 1) {
    const bit = ctz(rest);
    const start = (page + bit) << shift;
    const end = start + (((<u64>1) << shift) - 1);
    markAddresses(core, into, max(start, from), min(end, to));
    if (start >= from && end <= to) inside |= (<u64>1) << bit;
  }
  return inside;
}

/**
 * Reports to the bitmap at `into` each marked page of the `pages` bits at `data` that overlaps [from, to] (addresses,
 * which checkTarget has passed), clipped to it, and clears those that lie wholly inside, unless READ_DIRTY_NO_CLEAR. Bit
 * 0 stands for page number `origin`, pages have 2^`shift` bytes. Returns how many marked pages it met.
 */
export function drainBits(
  core: usize,
  into: usize,
  data: usize,
  origin: u64,
  pages: u32,
  shift: u64,
  from: u64,
  to: u64,
  flags: u32,
): u64 {
  const low = max(from >> shift, origin);
  const high = min(to >> shift, origin + pages - 1);
  if (low > high) return 0;
  const first = <u32>(low - origin);
  const last = <u32>(high - origin);
  const clear = !(flags & READ_DIRTY_NO_CLEAR);

  // Same page size and the same bit of a word for the same page: then words move whole, and no page is cut.
  const offset = origin - (load<u64>(into, BITMAP_START) >> shift);
  const whole = load<u32>(into, BITMAP_SHIFT) == <u32>shift && (offset & 63) == 0;
  const target = core + load<u32>(into, BITMAP_DATA) + ((<usize>(offset >> 6)) << 3);

  let met: u64 = 0;
  const lastIndex = last >> 6;
  for (let index = first >> 6; index <= lastIndex; ++index) {
    // The words in between lie whole in the query.
    if (whole && index > first >> 6 && index < lastIndex) {
      const words = lastIndex - index;
      met += moveWords(target + (index << 3), data + (index << 3), words, clear);
      index = lastIndex;
    }
    const at = data + (index << 3);
    let word = load<u64>(at);
    if (index == first >> 6) word &= u64.MAX_VALUE << first;
    if (index == lastIndex) word &= u64.MAX_VALUE >> (63 - (last & 63));
    if (!word) continue;
    met += popcnt(word);
    let inside = word;
    if (whole) {
      const out = target + (index << 3);
      store<u64>(out, load<u64>(out) | word);
    } else {
      inside = drainWord(core, into, word, origin + ((<u64>index) << 6), shift, from, to);
    }
    if (clear) store<u64>(at, load<u64>(at) & ~inside);
  }
  return met;
}

/**
 * Read-and-clear of the addresses MAIL0 .. MAIL1 (inclusive) of `from` into `into`, which may have larger or smaller
 * pages. A page of `from` that lies only partly inside is reported clipped and stays marked. Posts to MAIL2 how many
 * marked pages of `from` it met. EBADF; EINVAL: the two are one, or the range is not whole pages of `into`; ERANGE: it
 * reaches beyond `into`.
 */
export function bitmapDrain(core: usize, from: u32, into: u32, flags: u32): i32 {
  const source = slotOf(core, from, KIND_BITMAP);
  const target = slotOf(core, into, KIND_BITMAP);
  if (!source || !target) return fail(EBADF);
  if (source == target) return fail(EINVAL);
  const status = checkTarget(target, mail(core, MAIL0), mail(core, MAIL1));
  if (status != DONE) return status;
  const shift = <u64>load<u32>(source, BITMAP_SHIFT);
  const met = drainBits(
    core,
    target,
    core + load<u32>(source, BITMAP_DATA),
    load<u64>(source, BITMAP_START) >> shift,
    load<u32>(source, BITMAP_PAGES),
    shift,
    mail(core, MAIL0),
    mail(core, MAIL1),
    flags,
  );
  post(core, MAIL2, met);
  return DONE;
}
