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
import { countBits } from './count';
import { slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

/** ORs `words` u64 words at `from` into those at `into`. */
export function orWords(into: usize, from: usize, words: u32): void {
  const end = into + (words << 3);
  const pairs = into + ((words & ~1) << 3);
  for (; into < pairs; into += 16, from += 16) v128.store(into, v128.or(v128.load(into), v128.load(from)));
  if (into < end) store<u64>(into, load<u64>(into) | load<u64>(from));
}

/** Words of a stretch that is looked at before it is moved. */
const STRETCH: u32 = 64;

/** Whether any of the STRETCH words at `at` is not 0. */
function anySet(at: usize): bool {
  let a = v128.load(at);
  let b = v128.load(at, 16);
  for (const end = at + (STRETCH << 3); at < end; at += 64) {
    a = v128.or(a, v128.or(v128.load(at), v128.load(at, 16)));
    b = v128.or(b, v128.or(v128.load(at, 32), v128.load(at, 48)));
  }
  return v128.any_true(v128.or(a, b));
}

/** ORs the `words` u64 words at `from` into those at `into`, and where `clear` sets them to 0; how many bits were set. */
export function moveWords(into: usize, from: usize, words: u32, clear: bool): u64 {
  let met: u64 = 0;
  for (; words >= STRETCH; words -= STRETCH, into += STRETCH << 3, from += STRETCH << 3) {
    if (!anySet(from)) continue;
    met += countBits(from, STRETCH);
    orWords(into, from, STRETCH);
    if (clear) clearStretch(from);
  }
  met += countBits(from, words);
  orWords(into, from, words);
  for (const end = from + (words << 3); clear && from < end; from += 8) store<u64>(from, 0);
  return met;
}

/** Clears the STRETCH words at `at`. */
function clearStretch(at: usize): void {
  const zero = i64x2.splat(0);
  for (const end = at + (STRETCH << 3); at < end; at += 64) {
    v128.store(at, zero);
    v128.store(at, zero, 16);
    v128.store(at, zero, 32);
    v128.store(at, zero, 48);
  }
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
