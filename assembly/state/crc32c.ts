// CRC32C (Castagnoli; RFC 3720, appendix B.4) in two ways.
// - Sixteen bytes a step by tables: table k of 16 holds what a byte does that is followed by k others.
// - A page of 4 KiB is folded first. The polynomial divides x^2320 + x^1088 + x^904 + x^856 + x^256 + 1: the checksum stays
//   as it is where a byte is taken out and added (XOR) to those 154, 177, 183, 258 and 290 places further on. That goes 16
//   bytes at a time, and none waits for what was made less than nine before. What is left is 320 bytes for the tables.

import { CRC32C_POLYNOMIAL, CRC32C_TABLES_BYTES, STATE_PAGE_BYTES } from '../layout';
import { check } from '../memory/check';

/** How far behind a byte those lie that it is added to. */
const A: usize = 154;
const B: usize = 177;
const C: usize = 183;
const D: usize = 258;
const E: usize = 290;
/** What of a page is not folded away, at least E. */
const REST: usize = 320;
const FOLDED: usize = <usize>STATE_PAGE_BYTES - REST;

// Behind the tables: zeros for what lies before the page, its folded bytes, zeros for the rest, which is added to nothing,
// and the rest. Addresses count from where a byte of the page is, less REST.
const TABLES: usize = 16384;
const ROOM: usize = REST + FOLDED + REST + REST;

/** Writes the tables (CRC32C_TABLES_BYTES with the room behind them) to address `tables`. */
export function writeTables(tables: usize): void {
  check(TABLES + ROOM == CRC32C_TABLES_BYTES);
  for (let byte: u32 = 0; byte < 256; ++byte) {
    let crc = byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? <u32>CRC32C_POLYNOMIAL : 0);
    store<u32>(tables + (byte << 2), crc);
  }
  for (let at = tables + 1024; at < tables + TABLES; at += 4) {
    const crc = load<u32>(at - 1024);
    store<u32>(at, (crc >> 8) ^ load<u32>(tables + ((crc & 0xff) << 2)));
  }
  memory.fill(tables + TABLES, 0, ROOM);
}

/** What the four bytes of `word` do, the last of which the table at `tables` is for. */
function fold(tables: usize, word: u32): u32 {
  return (
    load<u32>(tables + ((word & 0xff) << 2), 3072) ^
    load<u32>(tables + (((word >> 8) & 0xff) << 2), 2048) ^
    load<u32>(tables + (((word >> 16) & 0xff) << 2), 1024) ^
    load<u32>(tables + ((word >> 24) << 2))
  );
}

/** Goes on from `crc` over the bytes from address `at` to `end` by the tables alone. */
function extendByTables(tables: usize, crc: u32, at: usize, end: usize): u32 {
  // Only the first of the four words waits for the one before.
  for (; at + 16 <= end; at += 16) {
    const rest =
      fold(tables + 8192, load<u32>(at, 4)) ^ fold(tables + 4096, load<u32>(at, 8)) ^ fold(tables, load<u32>(at, 12));
    crc = fold(tables + 12288, load<u32>(at) ^ crc) ^ rest;
  }
  for (; at < end; ++at) crc = (crc >> 8) ^ load<u32>(tables + (((crc ^ load<u8>(at)) & 0xff) << 2));
  return crc;
}

/** What is written into a loop as it stands. */
abstract class Folded {
  /** The 16 bytes at `at`, and what is added to them; `room` goes along with `at`. */
  @inline static vector(at: usize, room: usize): v128 {
    const a = v128.xor(v128.load(at), v128.load(room, REST - A));
    const b = v128.xor(v128.load(room, REST - B), v128.load(room, REST - C));
    const c = v128.xor(v128.load(room, REST - D), v128.load(room, REST - E));
    return v128.xor(v128.xor(a, b), c);
  }
}

/** Folds the page at address `at`, which `crc` precedes; where what is left of it lies (REST bytes, preceded by 0). */
function foldPage(room: usize, crc: u32, at: usize): usize {
  // Nothing is added to the first 154 bytes but, to the first four, what came before the page.
  v128.store(room, v128.xor(v128.load(at), i32x4(crc, 0, 0, 0)), REST);
  v128.store(room, v128.load(at, 16), REST + 16);
  v128.store(room, v128.load(at, 32), REST + 32);
  v128.store(room, v128.load(at, 48), REST + 48);
  at += 64;
  const endOfFolded = room + FOLDED;
  for (room += 64; room < endOfFolded; room += 64, at += 64) {
    v128.store(room, Folded.vector(at, room), REST);
    v128.store(room, Folded.vector(at + 16, room + 16), REST + 16);
    v128.store(room, Folded.vector(at + 32, room + 32), REST + 32);
    v128.store(room, Folded.vector(at + 48, room + 48), REST + 48);
  }
  for (const end = room + REST; room < end; room += 32, at += 32) {
    v128.store(room, Folded.vector(at, room), 2 * REST);
    v128.store(room, Folded.vector(at + 16, room + 16), 2 * REST + 16);
  }
  return room + REST;
}

/** Goes on from `crc` (all ones at first, inverted at the end) over the bytes from address `at` to `end`. */
export function extend(tables: usize, crc: u32, at: usize, end: usize): u32 {
  for (; end - at >= <usize>STATE_PAGE_BYTES; at += STATE_PAGE_BYTES) {
    const rest = foldPage(tables + TABLES, crc, at);
    crc = extendByTables(tables, 0, rest, rest + REST);
  }
  return extendByTables(tables, crc, at, end);
}

/** CRC32C of the bytes from address `at` to `end`. */
export function crc32c(tables: usize, at: usize, end: usize): u32 {
  return ~extend(tables, u32.MAX_VALUE, at, end);
}
