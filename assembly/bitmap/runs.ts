// Finding runs. An edge is a bit that differs from the one before it: a start or an end, in turn. Words of edges are
// w ^ (w << 1 | bit 63 of the word before). What costs is not memory but branches that can't be foreseen, so neither of
// the ways through a group of 64 words branches on a single word:
// - few edges: vectors say which words have any, and only those are visited, several groups later: then what is read keeps
//   ahead of branches that go wrong;
// - many: each nibble of each word is looked up, and written as four page numbers of which as many are kept as it has edges.
// Page numbers are written as they are found, and turned into (first page, pages) at the end.

import {
  BITMAP_DATA,
  BITMAP_PAGES,
  CORE_TRANSFER,
  DONE,
  EBADF,
  KIND_BITMAP,
  MAIL0,
  MAIL1,
  MORE,
  TRANSFER_BYTES,
} from '../layout';
import { Emit, NIBBLES_BYTES, SLACK, writeNibbles } from './emit';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';

/** The first page from `page` on whose bit equals `set`, or `pages`. */
export function seek(data: usize, page: u32, pages: u32, set: bool): u32 {
  const flip: u64 = set ? 0 : u64.MAX_VALUE;
  const end = data + (((<u64>pages + 63) >> 6) << 3);
  let at = data + ((page >> 6) << 3);
  if (at >= <usize>end) return pages;
  let word = (load<u64>(at) ^ flip) & (u64.MAX_VALUE << page);
  while (!word) {
    at += 8;
    // Long stretches without an edge are the rule in a dirty bitmap: 64 bytes at a time.
    at = skipEven(at, <usize>end, flip);
    if (at >= <usize>end) return pages;
    word = load<u64>(at) ^ flip;
  }
  return min<u32>(<u32>((at - data) << 3) + <u32>ctz(word), pages);
}

/** Goes on from `at` by 64 bytes as long as all of them equal `even`, 0 or all ones. */
function skipEven(at: usize, end: usize, even: u64): usize {
  const same = i64x2.splat(even);
  while (at + 64 <= end) {
    const a = v128.or(v128.xor(v128.load(at), same), v128.xor(v128.load(at, 16), same));
    const b = v128.or(v128.xor(v128.load(at, 32), same), v128.xor(v128.load(at, 48), same));
    if (v128.any_true(v128.or(a, b))) break;
    at += 64;
  }
  return at;
}

/** Bytes of a group of 64 words. */
const GROUP_BYTES: usize = 512;
/** So many groups are looked at before the first of their words is visited, at most. */
const GROUPS: usize = 32;
/** Edges of a group from which on the next one is taken to have many. */
const MANY: usize = 128;
/** Below so many bytes for runs it isn't worth it: one by one. */
const LEAST_ROOM: usize = 4 * SLACK;
/** Which words of each group have edges, and that table, at the transfer buffer's end. */
const TABLES_BYTES: usize = NIBBLES_BYTES + (GROUPS << 3);

/** The edges of the word at `at`, before which there is another. */
function edgesOf(at: usize): u64 {
  const word = load<u64>(at);
  return word ^ ((word << 1) | (load<u64>(at - 8) >> 63));
}

/** Words without an edge. Calls would cost as much as the work. */
abstract class Even {
  /** All ones in each lane whose word has no edge: all its bits are as the last one of the word before. */
  @inline static pair(at: usize): v128 {
    return i64x2.eq(v128.load(at), i64x2.lt_s(v128.load(at - 8), i64x2.splat(0)));
  }

  /** The same of eight words, in lanes of 16 bits. */
  @inline static eight(at: usize): v128 {
    const low = v128.shuffle<i32>(Even.pair(at), Even.pair(at + 16), 0, 2, 4, 6);
    const high = v128.shuffle<i32>(Even.pair(at + 32), Even.pair(at + 48), 0, 2, 4, 6);
    return i16x8.narrow_i32x4_s(low, high);
  }

  /** The same of sixteen, a bit each. */
  @inline static sixteen(at: usize): u64 {
    return i8x16.bitmask(i8x16.narrow_i16x8_s(Even.eight(at), Even.eight(at + 64)));
  }
}

/** Which of the 64 words at `at` have an edge. A loop: all at once there would be more vectors than registers. */
function unevenWords(at: usize): u64 {
  let even: u64 = 0;
  for (const end = at + GROUP_BYTES; at < end; at += 128) even = (even >> 16) | (Even.sixteen(at) << 48);
  return ~even;
}

/** Writes which words of `groups` groups from `at` on have an edge, a word of bits each, to `uneven`; all of them, ORed. */
function lookAhead(at: usize, groups: usize, uneven: usize): u64 {
  // A load from each line, and nothing else: from slow memory more of them are under way than beside the work on them.
  for (let line = at, end = at + groups * GROUP_BYTES; line < end; line += 512) {
    load<u64>(line);
    load<u64>(line, 64);
    load<u64>(line, 128);
    load<u64>(line, 192);
    load<u64>(line, 256);
    load<u64>(line, 320);
    load<u64>(line, 384);
    load<u64>(line, 448);
  }
  let any: u64 = 0;
  for (const end = uneven + (groups << 3); uneven < end; uneven += 8, at += GROUP_BYTES) {
    const words = unevenWords(at);
    any |= words;
    store<u64>(uneven, words);
  }
  return any;
}

/**
 * Writes the pages of edges from page `page` on, a run that lies across it being one that starts there, to `out` until
 * `full`, or to the end of the bitmap. Returns where they end; where the bitmap's end ends a run, that is an edge as well.
 */
function writeEdges(data: usize, page: u32, pages: u32, out: usize, full: usize, tables: usize): usize {
  const nibbles = tables + (GROUPS << 3);
  const start = out;
  const end = data + ((pages >> 6) << 3) + (pages & 63 ? 8 : 0);
  let at = data + ((page >> 6) << 3);
  const first = load<u64>(at) & (u64.MAX_VALUE << page);
  if (first) out = Emit.few(out, first ^ (first << 1), page & ~63);
  at += 8;
  let ahead: usize = 1;
  while (at < end && out <= full) {
    const before = out;
    const groups = min<usize>((end - at) / GROUP_BYTES, ahead);
    if (!groups) {
      const groupEnd = min<usize>(at + GROUP_BYTES, end);
      for (; at < groupEnd && out <= full; at += 8) {
        out = Emit.many(out, edgesOf(at), <u32>((at - data) << 3), nibbles);
      }
      ahead = out - before > MANY << 2 ? 0 : 1;
      continue;
    }
    const groupsEnd = at + groups * GROUP_BYTES;
    if (!lookAhead(at, groups, tables)) {
      const even: u64 = 0 - (load<u64>(groupsEnd - 8) >> 63);
      at = skipEven(groupsEnd, end, even);
      continue;
    }
    for (let mask = tables; at < groupsEnd && out <= full; mask += 8, at += GROUP_BYTES) {
      for (let uneven = load<u64>(mask); uneven && out <= full; uneven &= uneven - 1) {
        const word = at + ((<usize>ctz(uneven)) << 3);
        out = Emit.few(out, edgesOf(word), <u32>((word - data) << 3));
      }
    }
    ahead = out - before > groups * (MANY << 2) ? 0 : min<usize>(ahead << 1, GROUPS);
  }
  if (at >= end && out <= full && ((out - start) >> 2) & 1) {
    store<u32>(out, pages);
    out += 4;
  }
  return out;
}

/** Turns the `count` pairs of pages at `at`, a start and an end, into a start and a number of pages. */
function measureRuns(at: usize, count: u32): void {
  const ends = i64x2.splat(0xffff_ffff_0000_0000);
  for (const last = at + ((<usize>count) << 3); at < last; at += 16) {
    const pairs = v128.load(at);
    v128.store(at, i32x4.sub(pairs, v128.and(i64x2.shl(pairs, 32), ends)));
  }
}

/**
 * Finds runs of marked pages from page MAIL0 on and writes them to the transfer buffer as pairs (first page, pages), u32
 * each, ascending, at most `most` of them. Posts the next page to MAIL0 and the number of runs to MAIL1; MORE where the
 * bitmap is not at its end. EBADF.
 */
export function bitmapRuns(core: usize, bitmap: u32, most: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  const pages = load<u32>(slot, BITMAP_PAGES);
  const data = core + load<u32>(slot, BITMAP_DATA);
  const out = core + load<u32>(core, CORE_TRANSFER);
  const tables = out + (<usize>TRANSFER_BYTES - TABLES_BYTES);
  const room = min<usize>((<usize>max<u32>(most, 1)) << 3, <usize>TRANSFER_BYTES - TABLES_BYTES);
  let page = <u32>min(mail(core, MAIL0), <u64>pages);
  let found: u32 = 0;
  if (room >= LEAST_ROOM && page < pages) {
    writeNibbles(tables + (GROUPS << 3));
    const full = out + (room - SLACK);
    const end = writeEdges(data, page, pages, out, full, tables);
    found = <u32>((end - out) >> 3);
    // The last edge, be it the end of a run or a start whose end was not looked for any more: that run is found next time.
    page = end <= full ? pages : load<u32>(end - 4);
    measureRuns(out, found);
  } else {
    for (; page < pages && found < max<u32>(most, 1); ++found) {
      const first = seek(data, page, pages, true);
      page = first < pages ? seek(data, first, pages, false) : pages;
      if (first == pages) break;
      store<u32>(out + ((<usize>found) << 3), first);
      store<u32>(out + ((<usize>found) << 3), page - first, 4);
    }
  }
  post(core, MAIL0, page);
  post(core, MAIL1, found);
  return page < pages ? MORE : DONE;
}
