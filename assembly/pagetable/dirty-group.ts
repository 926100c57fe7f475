import { Format } from './format';

/** Entries that a group has: one bit each in a word. */
export const GROUP: u32 = 64;

/** Groups that `dirtyGroups` looks at most. */
export const MOST_GROUPS: u32 = 8;

/** In each lane the dirty bit is set where the entry is dirty; what the other bits are does not matter. */
function dirtySide<F extends Format>(f: F, entries: v128): v128 {
  if (f.armedBit() == f.dirtyBit()) return f.dirtyFlip() ? v128.not(entries) : entries;
  const armed = i64x2.shr_u(entries, <i32>(f.armedBit() - f.dirtyBit()));
  return f.dirtyFlip() ? v128.andnot(armed, entries) : v128.and(armed, entries);
}

/** In each lane the dirty bit alone, where the entry is dirty: a dirty entry differs from a clean one in that bit. */
function dirtyBits<F extends Format>(f: F, entries: v128): v128 {
  return v128.and(dirtySide<F>(f, entries), i64x2.splat((<u64>1) << f.dirtyBit()));
}

/** What the eight entries at `at` say together, as dirtySide. */
function sumOf<F extends Format>(f: F, at: usize): v128 {
  const low = v128.or(dirtySide<F>(f, v128.load(at)), dirtySide<F>(f, v128.load(at, 16)));
  const high = v128.or(dirtySide<F>(f, v128.load(at, 32)), dirtySide<F>(f, v128.load(at, 48)));
  return v128.or(low, high);
}

/** Whether any of the 64 entries at `at` is dirty. */
function anyDirty<F extends Format>(f: F, at: usize): bool {
  const first = v128.or(sumOf<F>(f, at), sumOf<F>(f, at + 64));
  const second = v128.or(sumOf<F>(f, at + 128), sumOf<F>(f, at + 192));
  const third = v128.or(sumOf<F>(f, at + 256), sumOf<F>(f, at + 320));
  const fourth = v128.or(sumOf<F>(f, at + 384), sumOf<F>(f, at + 448));
  const any = v128.or(v128.or(first, second), v128.or(third, fourth));
  return v128.any_true(v128.and(any, i64x2.splat((<u64>1) << f.dirtyBit())));
}

/**
 * Which of `groups` groups from `at` on have a dirty entry: bit i for group i. A look ahead of the work, because reads alone keep
 * more of memory busy than reads and writes in turn, and a group without a dirty one stays unwritten.
 */
export function dirtyGroups<F extends Format>(f: F, at: usize, groups: u32): u32 {
  let found: u32 = 0;
  for (let i: u32 = 0; i < groups; ++i, at += GROUP << 3) found |= u32(anyDirty<F>(f, at)) << i;
  return found;
}

/** Bits 0 .. 31 of each lane moved to the even bits of it. */
function spread(lanes: v128): v128 {
  lanes = v128.and(v128.or(lanes, i64x2.shl(lanes, 16)), i64x2.splat(0x0000_ffff_0000_ffff));
  lanes = v128.and(v128.or(lanes, i64x2.shl(lanes, 8)), i64x2.splat(0x00ff_00ff_00ff_00ff));
  lanes = v128.and(v128.or(lanes, i64x2.shl(lanes, 4)), i64x2.splat(0x0f0f_0f0f_0f0f_0f0f));
  lanes = v128.and(v128.or(lanes, i64x2.shl(lanes, 2)), i64x2.splat(0x3333_3333_3333_3333));
  return v128.and(v128.or(lanes, i64x2.shl(lanes, 1)), i64x2.splat(0x5555_5555_5555_5555));
}

/**
 * Which of the 64 entries at `at`, leaves of their table's natural size or absent, are dirty: bit i for entry i. Cleans them
 * where `clean`, without a branch on any of them. Each lane gathers every other entry; last they are put between each other.
 */
export function dirtyGroup<F extends Format>(f: F, at: usize, clean: bool): u64 {
  let lanes = i64x2.splat(0);
  let p = at + (GROUP << 3);
  do {
    p -= 64;
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    const d = v128.load(p, 48);
    const da = dirtyBits<F>(f, a);
    const db = dirtyBits<F>(f, b);
    const dc = dirtyBits<F>(f, c);
    const dd = dirtyBits<F>(f, d);
    const low = v128.or(da, i64x2.shl(db, 1));
    const high = v128.or(i64x2.shl(dc, 2), i64x2.shl(dd, 3));
    lanes = v128.or(i64x2.shl(lanes, 4), v128.or(low, high));
    if (!clean) continue;
    v128.store(p, v128.xor(a, da));
    v128.store(p, v128.xor(b, db), 16);
    v128.store(p, v128.xor(c, dc), 32);
    v128.store(p, v128.xor(d, dd), 48);
  } while (p != at);
  lanes = spread(i64x2.shr_u(lanes, <i32>f.dirtyBit()));
  return (<u64>i64x2.extract_lane(lanes, 0)) | ((<u64>i64x2.extract_lane(lanes, 1)) << 1);
}
