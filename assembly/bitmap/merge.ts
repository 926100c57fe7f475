import {
  BITMAP_DATA,
  BITMAP_PAGES,
  BITMAP_SHIFT,
  BITMAP_START,
  BITMAP_WORDS,
  DONE,
  EBADF,
  EINVAL,
  KIND_BITMAP,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

/** ORs `words` u64 words at `from` into those at `into`. */
export function orWords(into: usize, from: usize, words: u32): void {
  const end = into + (words << 3);
  const pairs = into + ((words & ~1) << 3);
  for (; into < pairs; into += 16, from += 16) v128.store(into, v128.or(v128.load(into), v128.load(from)));
  if (into < end) store<u64>(into, load<u64>(into) | load<u64>(from));
}

/** Marks in `into` every page that is marked in `from`. EBADF; EINVAL: start, page size or pages differ. */
export function bitmapOr(core: usize, into: u32, from: u32): i32 {
  const a = slotOf(core, into, KIND_BITMAP);
  const b = slotOf(core, from, KIND_BITMAP);
  if (!a || !b) return fail(EBADF);
  if (
    load<u32>(a, BITMAP_PAGES) != load<u32>(b, BITMAP_PAGES) ||
    load<u32>(a, BITMAP_SHIFT) != load<u32>(b, BITMAP_SHIFT) ||
    load<u64>(a, BITMAP_START) != load<u64>(b, BITMAP_START)
  ) {
    return fail(EINVAL);
  }
  orWords(core + load<u32>(a, BITMAP_DATA), core + load<u32>(b, BITMAP_DATA), load<u32>(a, BITMAP_WORDS));
  return DONE;
}
