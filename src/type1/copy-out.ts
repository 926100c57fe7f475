import type { AddressSpace } from '../address-space/address-space.ts';
import { readUser, writeUser, type UserPointer } from '../uapi/user-pointer.ts';
import { setBits, wordBytes, type DirtyBits } from './dirty-bits.ts';

const CHUNK = 65536;

/**
 * Sets the bits of `from` (`pages` ones for 'all') in a user's bitmap from bit `at` on; other bits stay. Whole words of 64 are read and
 * written. False is a fault: then some of the bits may be set, and `from` is as it was.
 */
export function orInto(
  space: AddressSpace,
  bitmap: UserPointer,
  at: number,
  from: DirtyBits | 'all',
  pages: number,
): boolean {
  const start = Math.floor(at / 64) * 8;
  const end = wordBytes(at + pages);
  const buffer = new Uint8Array(Math.min(CHUNK, end - start));
  for (let byte = start; byte < end; byte += CHUNK) {
    const words = buffer.subarray(0, Math.min(CHUNK, end - byte));
    if (!readUser(space, bitmap, byte, words)) return false;
    const first = at - byte * 8;
    if (from === 'all') orOnes(words, first, pages);
    else orShifted(words, first, from.bytes, wordBytes(pages));
    if (!writeUser(space, bitmap, byte, words)) return false;
  }
  return true;
}

/** Ones from bit `first` (which may lie before `words`) on, as far as `words` reach. */
function orOnes(words: Uint8Array, first: number, pages: number): void {
  const from = Math.max(first, 0);
  const end = Math.min(first + pages, words.length * 8);
  setBits(words, from, end - from);
}

/** Bit 0 of `source`, which has `length` bytes, goes to bit `first` of `words`, which may lie before them. */
function orShifted(words: Uint8Array, first: number, source: Uint8Array, length: number): void {
  const rem = ((first % 8) + 8) % 8;
  const skip = (first - rem) / 8;
  const from = Math.max(skip, 0);
  const end = Math.min(words.length, skip + length + 1);
  if (isZero(source, from - skip - 1, end - skip)) return;
  let below = from > skip ? source[from - skip - 1] : 0;
  for (let i = from; i < end; i++) {
    const here = i - skip < length ? source[i - skip] : 0;
    words[i] |= (here << rem) | (below >> (8 - rem));
    below = here;
  }
}

/** Whether the words that hold bytes [from, to) are all 0, which in most of a large bitmap they are. */
function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const end = Math.min(words.length, Math.ceil(to / 4));
  for (let i = Math.max(0, from >> 2); i < end; i++) if (words[i] !== 0) return false;
  return true;
}

/**
 * The same as Linux 6.12 does it (update_user_bitmap): a mapping that begins inside a word is shifted in place and takes the user's
 * whole first word in; then its words overwrite the user's. False is a fault, and leaves `from` as far as it had come.
 */
export function overwrite(
  space: AddressSpace,
  bitmap: UserPointer,
  at: number,
  from: DirtyBits,
  pages: number,
): boolean {
  const start = Math.floor(at / 64) * 8;
  const shift = at % 64;
  if (shift > 0) {
    from.shiftLeft(shift, pages + shift);
    const leftover = new Uint8Array(8);
    if (!readUser(space, bitmap, start, leftover)) return false;
    leftover.forEach((byte, i) => (from.bytes[i] |= byte));
  }
  return writeUser(space, bitmap, start, from.bytes.subarray(0, wordBytes(pages + shift)));
}
