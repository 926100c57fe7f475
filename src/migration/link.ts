import { exact, exactPositive } from './exact.ts';

/** Nanoseconds that a link of 1 bit/s takes for a byte. */
const BIT_NS_PER_BYTE = 8_000_000_000n;

/**
 * How long a link is busy with `bytes`: ceil(bytes * 8e9 / bitsPerSecond) ns, exact.
 * @throws RangeError unless bytes (0 or more), bitsPerSecond (1 or more) and the result are whole numbers below 2^53.
 */
export function transferNs(bytes: number, bitsPerSecond: number): number {
  const work = BigInt(exact('bytes', bytes)) * BIT_NS_PER_BYTE;
  const rate = BigInt(exactPositive('bitsPerSecond', bitsPerSecond));
  return exact('durationNs', Number((work + rate - 1n) / rate));
}

/**
 * How many whole bytes a link sends within `ns`: floor(ns * bitsPerSecond / 8e9), exact, so that
 * `bytes <= bytesWithin(ns)` exactly when `transferNs(bytes) <= ns`.
 * @throws RangeError as `transferNs`.
 */
export function bytesWithin(ns: number, bitsPerSecond: number): number {
  const bits = BigInt(exact('ns', ns)) * BigInt(exactPositive('bitsPerSecond', bitsPerSecond));
  return exact('bytes', Number(bits / BIT_NS_PER_BYTE));
}
