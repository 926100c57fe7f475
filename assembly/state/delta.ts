// The difference of two pages as runs of changed words (drawn in layout.ts). Words are written as they are, not as an
// XOR: a run can then be copied, and costs the same.

import { DONE, EINVAL, RUN_BYTES, RUN_MOST, STATE_PAGE_BYTES, STATE_PAGE_WORDS } from '../layout';
import { fail } from '../memory/mailbox';
import { extend } from './crc32c';

function differs(page: usize, last: usize, word: u32): bool {
  return load<u64>(page + (word << 3)) != load<u64>(last + (word << 3));
}

/** The first word from `word` on in which the pages differ, or STATE_PAGE_WORDS. */
function changedFrom(page: usize, last: usize, word: u32): u32 {
  while (word < <u32>STATE_PAGE_WORDS) {
    // Most of a page that has a delta is unchanged: 32 bytes at a time.
    if ((word & 3) == 0) {
      const at = word << 3;
      const low = v128.xor(v128.load(page + at), v128.load(last + at));
      const high = v128.xor(v128.load(page + at, 16), v128.load(last + at, 16));
      if (!v128.any_true(v128.or(low, high))) {
        word += 4;
        continue;
      }
    }
    if (differs(page, last, word)) return word;
    ++word;
  }
  return STATE_PAGE_WORDS;
}

/** Where the run of changed words that starts at `word` ends, after RUN_MOST words at most. */
function endOfRun(page: usize, last: usize, word: u32): u32 {
  const most = min<u32>(word + RUN_MOST, STATE_PAGE_WORDS);
  do ++word;
  while (word < most && differs(page, last, word));
  return word;
}

/** Bytes of the delta from `last` to `page`; STATE_PAGE_BYTES where it would not be shorter than the page. */
export function deltaBytes(page: usize, last: usize): u32 {
  let bytes: u32 = 0;
  let word: u32 = 0;
  while (true) {
    const first = changedFrom(page, last, word);
    if (first == STATE_PAGE_WORDS) return bytes;
    if (first - word > <u32>RUN_MOST) bytes += RUN_BYTES * ((first - word - 1) / RUN_MOST);
    word = endOfRun(page, last, first);
    bytes += RUN_BYTES + ((word - first) << 3);
    if (bytes >= <u32>STATE_PAGE_BYTES) return STATE_PAGE_BYTES;
  }
}

/** Writes the delta from `last` to `page` to address `out`, and brings `last` up to `page`. */
export function writeDelta(out: usize, page: usize, last: usize): void {
  let word: u32 = 0;
  while (true) {
    const first = changedFrom(page, last, word);
    if (first == STATE_PAGE_WORDS) return;
    let skip = first - word;
    for (; skip > <u32>RUN_MOST; skip -= RUN_MOST, out += RUN_BYTES) store<u16>(out, RUN_MOST);
    word = endOfRun(page, last, first);
    const bytes = (word - first) << 3;
    store<u8>(out, skip);
    store<u8>(out, word - first, 1);
    memory.copy(out + RUN_BYTES, page + (first << 3), bytes);
    memory.copy(last + (first << 3), page + (first << 3), bytes);
    out += RUN_BYTES + bytes;
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

/** CRC32C of what `page` is after the delta from address `at` to `end`, which checkDelta has passed. */
export function crcOfDelta(tables: usize, page: usize, at: usize, end: usize): u32 {
  const pageEnd = page + STATE_PAGE_BYTES;
  let crc = u32.MAX_VALUE;
  while (at < end) {
    const stays = page + ((<u32>load<u8>(at)) << 3);
    const bytes = (<u32>load<u8>(at, 1)) << 3;
    crc = extend(tables, crc, page, stays);
    crc = extend(tables, crc, at + RUN_BYTES, at + RUN_BYTES + bytes);
    page = stays + bytes;
    at += RUN_BYTES + bytes;
  }
  return ~extend(tables, crc, page, pageEnd);
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
