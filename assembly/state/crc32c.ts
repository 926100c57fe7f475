// CRC32C (Castagnoli; RFC 3720, appendix B.4), sixteen bytes a step: table k of 16 holds what a byte does that
// is followed by k others.

import { CRC32C_POLYNOMIAL, CRC32C_TABLES_BYTES } from '../layout';

/** Writes the tables (CRC32C_TABLES_BYTES) to address `tables`. */
export function writeTables(tables: usize): void {
  for (let byte: u32 = 0; byte < 256; ++byte) {
    let crc = byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? <u32>CRC32C_POLYNOMIAL : 0);
    store<u32>(tables + (byte << 2), crc);
  }
  for (let at = tables + 1024; at < tables + CRC32C_TABLES_BYTES; at += 4) {
    const crc = load<u32>(at - 1024);
    store<u32>(at, (crc >> 8) ^ load<u32>(tables + ((crc & 0xff) << 2)));
  }
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

/** Goes on from `crc` (all ones at first, inverted at the end) over the bytes from address `at` to `end`. */
export function extend(tables: usize, crc: u32, at: usize, end: usize): u32 {
  // Only the first of the four words waits for the one before.
  for (; at + 16 <= end; at += 16) {
    const rest =
      fold(tables + 8192, load<u32>(at, 4)) ^ fold(tables + 4096, load<u32>(at, 8)) ^ fold(tables, load<u32>(at, 12));
    crc = fold(tables + 12288, load<u32>(at) ^ crc) ^ rest;
  }
  for (; at < end; ++at) crc = (crc >> 8) ^ load<u32>(tables + (((crc ^ load<u8>(at)) & 0xff) << 2));
  return crc;
}

/** CRC32C of the bytes from address `at` to `end`. */
export function crc32c(tables: usize, at: usize, end: usize): u32 {
  return ~extend(tables, u32.MAX_VALUE, at, end);
}
