import { Format } from './format';

/** Entries that a group has: one bit each in a word. */
export const GROUP: u32 = 64;

/** The sign bit of each lane says whether the entry there is dirty. */
function dirtySigns<F extends Format>(f: F, entries: v128): v128 {
  const flipped = f.dirtyFlip() ? v128.xor(entries, i64x2.splat(f.dirtyFlip())) : entries;
  const dirty = i64x2.shl(flipped, <i32>(63 - f.dirtyBit()));
  if (f.armedBit() == f.dirtyBit()) return dirty;
  return v128.and(dirty, i64x2.shl(flipped, <i32>(63 - f.armedBit())));
}

/** Cleans the lanes of `entries` whose sign in `signs` is set: a dirty entry differs from a clean one in one bit. */
function cleanLanes<F extends Format>(f: F, entries: v128, signs: v128): v128 {
  return v128.xor(entries, v128.and(i64x2.shr_s(signs, 63), i64x2.splat((<u64>1) << f.dirtyBit())));
}

/**
 * Which of the 64 entries at `at`, leaves of their table's natural size or absent, are dirty: bit i for entry i. Cleans them
 * where `clean`. Eight entries at a time; groups of eight without a dirty one are only read.
 */
export function dirtyGroup<F extends Format>(f: F, at: usize, clean: bool): u64 {
  let word: u64 = 0;
  for (let i: u32 = 0; i < GROUP; i += 8, at += 64) {
    const a = v128.load(at);
    const b = v128.load(at, 16);
    const c = v128.load(at, 32);
    const d = v128.load(at, 48);
    const sa = dirtySigns<F>(f, a);
    const sb = dirtySigns<F>(f, b);
    const sc = dirtySigns<F>(f, c);
    const sd = dirtySigns<F>(f, d);
    if (!i64x2.bitmask(v128.or(v128.or(sa, sb), v128.or(sc, sd)))) continue;
    const low = i64x2.bitmask(sa) | (i64x2.bitmask(sb) << 2);
    const high = i64x2.bitmask(sc) | (i64x2.bitmask(sd) << 2);
    word |= (<u64>(low | (high << 4))) << i;
    if (!clean) continue;
    v128.store(at, cleanLanes<F>(f, a, sa));
    v128.store(at, cleanLanes<F>(f, b, sb), 16);
    v128.store(at, cleanLanes<F>(f, c, sc), 32);
    v128.store(at, cleanLanes<F>(f, d, sd), 48);
  }
  return word;
}
