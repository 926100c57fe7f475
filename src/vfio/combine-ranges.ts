import { IommuError } from '../errno/error.ts';
import type { Address } from '../wasm/address.ts';

/**
 * A range of IOVA space in bytes; `last` is its last byte. Both are numbers from 0 to 2^53 - 1, or bigints below 2^64;
 * iova <= last.
 */
export interface IovaRange<A extends Address = number> {
  readonly iova: A;
  readonly last: A;
}

/**
 * Fits ranges into the number that a device can log, as `vfio_combine_iova_ranges` of Linux does: while there are too
 * many, the two neighbours with the smallest gap become one, those at the lowest address on ties. The result covers
 * every input range and may cover gaps between them; it is sorted by address. Touching ranges are merged only as far as
 * the limit asks.
 *
 * @param ranges In any order, without overlap.
 * @param limit The most ranges that may remain, at least 1.
 * @throws IommuError EINVAL for a limit or a range outside these bounds, and for ranges that overlap.
 */
export function combineIovaRanges<A extends Address>(ranges: readonly IovaRange<A>[], limit: number): IovaRange<A>[] {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw invalid(`limit is ${limit}; it must be a whole number of ranges, at least 1`);
  }
  ranges.forEach(checkRange);
  const sorted = ranges.map(({ iova, last }) => ({ iova, last })).sort((a, b) => compare(a.iova, b.iova));
  sorted.forEach((range, i) => checkOverlap(sorted[i - 1], range));

  // A merge closes its own gap and leaves all others as they are, so the merges are the smallest gaps of the start.
  const gaps = sorted.slice(1).map((range, i) => ({ index: i + 1, size: BigInt(range.iova) - BigInt(sorted[i].last) }));
  gaps.sort((a, b) => compare(a.size, b.size) || a.index - b.index);
  const closed = new Set(gaps.slice(0, Math.max(0, sorted.length - limit)).map((gap) => gap.index));

  const combined: { iova: A; last: A }[] = [];
  sorted.forEach((range, i) => {
    if (closed.has(i)) combined[combined.length - 1].last = range.last;
    else combined.push(range);
  });
  return combined;
}

function compare(a: Address, b: Address): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isAddress(value: Address): boolean {
  return typeof value === 'bigint' ? value < 2n ** 64n : Number.isSafeInteger(value);
}

function checkRange({ iova, last }: IovaRange<Address>, index: number): void {
  if (isAddress(iova) && isAddress(last) && iova >= 0 && last >= iova) return;
  const right = '0 <= iova <= last < 2^53 in whole bytes, or bigints below 2^64';
  throw invalid(`ranges[${index}] is ${iova} to ${last}; it must be ${right}`);
}

function checkOverlap(before: IovaRange<Address> | undefined, range: IovaRange<Address>): void {
  if (before !== undefined && range.iova <= before.last) {
    throw invalid(
      `ranges ${before.iova} to ${before.last} and ${range.iova} to ${range.last} overlap; ranges must be apart`,
    );
  }
}

function invalid(message: string): IommuError {
  return new IommuError('EINVAL', 'combineIovaRanges', message);
}
