import { IommuError } from '../errno/error.ts';

/** An address or a length in bytes: a number where that is exact (up to 2^53), else a bigint up to 2^64 - 1. */
export type Address = number | bigint;

const LIMIT = 1n << 64n;

/** `value` if it is an address; else EINVAL that names `name`. */
export function checkAddress(op: string, name: string, value: Address): Address {
  const ok = typeof value === 'bigint' ? value >= 0n && value < LIMIT : Number.isSafeInteger(value) && value >= 0;
  if (ok) return value;
  const shown = typeof value === 'bigint' ? `${value}n` : String(value);
  throw new IommuError(
    'EINVAL',
    op,
    `${name} is ${shown}; it must be an integer from 0 to 2^53 - 1, or a bigint below 2^64`,
  );
}

/** Whether `value` goes into the core as it is, as a u32: other numbers would become one that nobody gave. */
export function isWord(value: number): boolean {
  return typeof value === 'number' && value >>> 0 === value;
}

/** Last byte of [start, start + length), inclusive. EINVAL for length 0; EOVERFLOW beyond 2^64. */
export function lastOf(op: string, start: Address, length: Address): Address {
  if (typeof start === 'number' && typeof length === 'number') {
    if (length === 0) throw new IommuError('EINVAL', op, 'length is 0; it must be at least 1');
    const last = start + (length - 1);
    if (Number.isSafeInteger(last)) return last;
  }
  if (BigInt(length) === 0n) throw new IommuError('EINVAL', op, 'length is 0; it must be at least 1');
  const last = BigInt(start) + BigInt(length) - 1n;
  if (last < LIMIT) return last;
  throw new IommuError('EOVERFLOW', op, `[${hex(start)}, + ${hex(length)}) ends beyond 2^64`);
}

/** `0x…`, as addresses are printed everywhere. */
export function hex(value: Address): string {
  return `0x${value.toString(16)}`;
}

/** log2 of `value` if it is a power of two between 2^min and 2^63; else EINVAL that names `name`. */
export function checkPowerOfTwo(op: string, name: string, value: Address, min: number): number {
  const size = BigInt(checkAddress(op, name, value));
  const shift = size.toString(2).length - 1;
  if (size === 0n || size !== 1n << BigInt(shift) || shift < min) {
    throw new IommuError('EINVAL', op, `${name} is ${value}; it must be a power of two from ${2 ** min} bytes on`);
  }
  return shift;
}
