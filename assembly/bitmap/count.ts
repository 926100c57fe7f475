import { BITMAP_DATA, BITMAP_WORDS, DONE, EBADF, KIND_BITMAP, MAIL0 } from '../layout';
import { slotOf } from '../memory/handles';
import { fail, post } from '../memory/mailbox';

/** How many bits are set in the `words` u64 words at `data`. */
export function countBits(data: usize, words: u32): u64 {
  const end = data + (words << 3);
  const quads = data + ((words & ~3) << 3);
  let at = data;
  // Four accumulators: one would wait for its own sum.
  let a: u64 = 0;
  let b: u64 = 0;
  let c: u64 = 0;
  let d: u64 = 0;
  for (; at < quads; at += 32) {
    a += popcnt(load<u64>(at));
    b += popcnt(load<u64>(at, 8));
    c += popcnt(load<u64>(at, 16));
    d += popcnt(load<u64>(at, 24));
  }
  for (; at < end; at += 8) a += popcnt(load<u64>(at));
  return a + b + c + d;
}

/** Posts to MAIL0 how many pages are marked. EBADF. */
export function bitmapCount(core: usize, bitmap: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  post(core, MAIL0, countBits(core + load<u32>(slot, BITMAP_DATA), load<u32>(slot, BITMAP_WORDS)));
  return DONE;
}
