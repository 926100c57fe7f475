import type { Address } from '../wasm/address.ts';
import type { DomainShape } from './domain-options.ts';

/** Input addresses, both inclusive. */
export interface InputRange {
  readonly first: Address;
  readonly last: Address;
}

/** A number where that is exact. */
export function addressOf(value: bigint): Address {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** The input addresses of a domain: one range, or for sign-extended addresses a lower and an upper one. */
export function inputRanges({ inputBits, signed, first, last }: DomainShape): InputRange[] {
  const end = 1n << BigInt(inputBits);
  const half = end >> 1n;
  const whole = signed
    ? [[0n, half - 1n] as const, [2n ** 64n - half, 2n ** 64n - 1n] as const]
    : [[0n, end - 1n] as const];
  return whole
    .map(([from, to]) => [from > BigInt(first) ? from : BigInt(first), to < BigInt(last) ? to : BigInt(last)] as const)
    .filter(([from, to]) => from <= to)
    .map(([from, to]) => ({ first: addressOf(from), last: addressOf(to) }));
}
