import type { AddressSpace } from '../address-space/address-space.ts';

/**
 * What stands where the kernel takes a pointer: a user address, or the bytes themselves, which need no address space.
 */
export type UserPointer = bigint | Uint8Array;

const LIMIT = 1n << 64n;

/**
 * copy_from_user: copies `into.length` bytes from `offset` bytes behind `pointer` on. False, with `into` in any state,
 * is a fault: a missing page, an end beyond 2^64, or bytes that are too few.
 */
export function readUser(space: AddressSpace, pointer: UserPointer, offset: number, into: Uint8Array): boolean {
  if (into.length === 0) return true;
  if (typeof pointer === 'bigint') return fits(pointer, offset, into) && space.read(pointer + BigInt(offset), into);
  if (offset + into.length > pointer.length) return false;
  into.set(pointer.subarray(offset, offset + into.length));
  return true;
}

/**
 * copy_to_user: copies `from` to `offset` bytes behind `pointer`. False, with nothing written, is a fault: as in
 * readUser, or a read-only page.
 */
export function writeUser(space: AddressSpace, pointer: UserPointer, offset: number, from: Uint8Array): boolean {
  if (from.length === 0) return true;
  if (typeof pointer === 'bigint') return fits(pointer, offset, from) && space.write(pointer + BigInt(offset), from);
  if (offset + from.length > pointer.length) return false;
  pointer.set(from, offset);
  return true;
}

function fits(pointer: bigint, offset: number, bytes: Uint8Array): boolean {
  return pointer + BigInt(offset) + BigInt(bytes.length) <= LIMIT;
}
