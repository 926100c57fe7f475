import type { Address } from '../wasm/address.ts';
import { combineIovaRanges, type IovaRange } from './combine-ranges.ts';
import { checkSpace, type DeviceProfile } from './device-profile.ts';

/**
 * What a device is given to log where a user asks for `ranges`: combined to as many as it takes, rounded out to its log
 * pages, ascending. EINVAL: ranges that overlap; EOPNOTSUPP: more or less address space than the device takes.
 *
 * @param pageSize Log page in use, bytes.
 */
export function rangesToLog(
  profile: DeviceProfile,
  ranges: readonly IovaRange<Address>[],
  pageSize: number,
): IovaRange<bigint>[] {
  const limit = Math.max(1, Math.min(profile.maxRanges, ranges.length));
  const rounded = roundToPages(combineIovaRanges(ranges, limit), BigInt(pageSize));
  checkSpace(
    profile,
    rounded.reduce((sum, { iova, last }) => sum + (last - iova + 1n), 0n),
  );
  return rounded;
}

function roundToPages(ranges: readonly IovaRange<Address>[], pageSize: bigint): IovaRange<bigint>[] {
  const rounded: { iova: bigint; last: bigint }[] = [];
  for (const range of ranges) {
    const iova = BigInt(range.iova) & -pageSize;
    const last = BigInt(range.last) | (pageSize - 1n);
    const before = rounded.at(-1);
    // Ranges that meet inside one log page share it.
    if (before && iova <= before.last) before.last = last > before.last ? last : before.last;
    else rounded.push({ iova, last });
  }
  return rounded;
}
