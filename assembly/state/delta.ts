// The difference of two pages as runs of changed words (drawn in layout.ts). Words are written as they are, not as an
// XOR: a run can then be copied, and costs the same.
// Runs are found first, without a branch on a word: where one starts or ends is a bit that differs from the one before it.

import { DONE, EINVAL, RUN_BYTES, RUN_MOST, STATE_PAGE_WORDS } from '../layout';
import { fail } from '../memory/mailbox';

/** From so many bytes on memory.copy is faster, although it leaves the module. */
const COPY_BYTES: u32 = 256;

/** What is written into a loop as it stands. */
abstract class Same {
  /** All ones in each lane whose words at `a` and `b` are equal. */
  @inline static pair(a: usize, b: usize): v128 {
    return i64x2.eq(v128.load(a), v128.load(b));
  }

  /** The same of eight words, in lanes of 16 bits. */
  @inline static eight(a: usize, b: usize): v128 {
    const low = v128.shuffle<i32>(Same.pair(a, b), Same.pair(a + 16, b + 16), 0, 2, 4, 6);
    const high = v128.shuffle<i32>(Same.pair(a + 32, b + 32), Same.pair(a + 48, b + 48), 0, 2, 4, 6);
    return i16x8.narrow_i32x4_s(low, high);
  }

  /** The same of sixteen, a bit each. */
  @inline static sixteen(a: usize, b: usize): u64 {
    return i8x16.bitmask(i8x16.narrow_i16x8_s(Same.eight(a, b), Same.eight(a + 64, b + 64)));
  }

  /** Which of 64 words differ. */
  @inline static changed(a: usize, b: usize): u64 {
    const low = Same.sixteen(a, b) | (Same.sixteen(a + 128, b + 128) << 16);
    const high = Same.sixteen(a + 256, b + 256) | (Same.sixteen(a + 384, b + 384) << 16);
    return ~(low | (high << 32));
  }
}

/**
 * Writes the runs of words in which the pages differ to address `runs` (CHANGED_RUNS_BYTES) as pairs (first word, word
 * behind the last), u32 each, ascending; returns where they end.
 */
export function changedRuns(runs: usize, page: usize, last: usize): usize {
  const start = runs;
  let before: u64 = 0;
  for (let word: u32 = 0; word < <u32>STATE_PAGE_WORDS; word += 64, page += 512, last += 512) {
    const changed = Same.changed(page, last);
    let edges = changed ^ ((changed << 1) | (before >> 63));
    before = changed;
    let at = runs;
    runs += (<usize>popcnt(edges)) << 2;
    // Four without a look: what is too much is overwritten.
    while (edges) {
      store<u32>(at, word + <u32>ctz(edges));
      edges &= edges - 1;
      store<u32>(at, word + <u32>ctz(edges), 4);
      edges &= edges - 1;
      store<u32>(at, word + <u32>ctz(edges), 8);
      edges &= edges - 1;
      store<u32>(at, word + <u32>ctz(edges), 12);
      edges &= edges - 1;
      at += 16;
    }
  }
  // The end of the page ends a run.
  store<u32>(runs, STATE_PAGE_WORDS);
  return runs + ((runs - start) & 4);
}

/** Bytes of the delta that consists of the runs from address `runs` to `end`. */
export function deltaBytes(runs: usize, end: usize): u32 {
  let bytes: u32 = 0;
  let word: u32 = 0;
  for (; runs < end; runs += 8) {
    const first = load<u32>(runs);
    const skip = first - word;
    word = load<u32>(runs, 4);
    const count = word - first;
    const heads = (count + (RUN_MOST - 1)) / RUN_MOST + (max<u32>(skip, 1) - 1) / RUN_MOST;
    bytes += RUN_BYTES * heads + (count << 3);
  }
  return bytes;
}

/** Copies `bytes` of whole words, at least one, from `from` to both `a` and `b`. */
function copyTwice(a: usize, b: usize, from: usize, bytes: u32): void {
  if (bytes >= COPY_BYTES) {
    memory.copy(a, from, bytes);
    memory.copy(b, from, bytes);
    return;
  }
  const end = from + bytes;
  do {
    const word = load<u64>(from);
    store<u64>(a, word);
    store<u64>(b, word);
    from += 8;
    a += 8;
    b += 8;
  } while (from < end);
}

/**
 * Writes the delta of `page` that consists of the runs at address `runs` from address `out` to `end`, and brings `last` up
 * to `page`.
 */
export function writeDelta(out: usize, end: usize, page: usize, last: usize, runs: usize): void {
  let word: u32 = 0;
  for (; out < end; runs += 8) {
    let first = load<u32>(runs);
    let skip = first - word;
    word = load<u32>(runs, 4);
    for (; skip > <u32>RUN_MOST; skip -= RUN_MOST, out += RUN_BYTES) store<u16>(out, RUN_MOST);
    do {
      const count = min<u32>(word - first, RUN_MOST);
      const at = first << 3;
      store<u8>(out, skip);
      store<u8>(out, count, 1);
      copyTwice(out + RUN_BYTES, last + at, page + at, count << 3);
      out += RUN_BYTES + (count << 3);
      first += count;
      skip = 0;
    } while (first < word);
  }
}

/** DONE where the delta from address `at` to `end` stays inside a page and ends with a run; else -EINVAL. */
export function checkDelta(at: usize, end: usize): i32 {
  let word: u32 = 0;
  let count: u32 = 0;
  while (at < end) {
    if (end - at < <usize>RUN_BYTES) return fail(EINVAL);
    const skip = <u32>load<u8>(at);
    count = load<u8>(at, 1);
    if (!count && skip != RUN_MOST) return fail(EINVAL);
    at += RUN_BYTES + (count << 3);
    word += skip + count;
    if (word > <u32>STATE_PAGE_WORDS) return fail(EINVAL);
  }
  return at == end && count ? DONE : fail(EINVAL);
}

/** Changes `page` by the delta from address `at` to `end`, which checkDelta has passed. */
export function applyDelta(page: usize, at: usize, end: usize): void {
  while (at < end) {
    const bytes = (<u32>load<u8>(at, 1)) << 3;
    page += (<u32>load<u8>(at)) << 3;
    memory.copy(page, at + RUN_BYTES, bytes);
    page += bytes;
    at += RUN_BYTES + bytes;
  }
}
