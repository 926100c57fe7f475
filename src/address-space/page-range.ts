import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import { PAGE_SIZE } from './address-space.ts';

/** Whole pages; both ends inclusive. */
export interface PageRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** [start, start + length) as whole pages. EINVAL: not a multiple of PAGE_SIZE, or no byte; EOVERFLOW: beyond 2^64. */
export function pageRange(op: string, name: string, start: Address, length: Address): PageRange {
  const first = BigInt(checkAddress(op, name, start));
  const last = BigInt(lastOf(op, first, checkAddress(op, 'length', length)));
  if (first % PAGE_SIZE === 0n && (last + 1n) % PAGE_SIZE === 0n) return { first, last };
  throw new IommuError(
    'EINVAL',
    op,
    `${name} ${hex(first)}, length ${hex(length)}: both must be multiples of ${PAGE_SIZE}`,
  );
}
