import { logPageSize, type DeviceProfile } from '../vfio/device-profile.ts';
import { rangesToLog } from '../vfio/log-ranges.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';

/** The most ranges that a log of the core has. */
const MOST_RANGES = 2048;

/** What a device logs that has mappings in `spans`: whole log pages, and as many ranges as it takes, gaps between them included. */
export function spansToLog(profile: DeviceProfile, pageSizeHint: number, spans: readonly MappedSpan[]): MappedSpan[] {
  const limited = { ...profile, maxRanges: Math.min(profile.maxRanges, MOST_RANGES) };
  const ranges = spans.map(({ iova, length }) => ({ iova, last: iova + length - 1 }));
  if (ranges.length === 0) return [];
  return rangesToLog(limited, ranges, logPageSize(profile, pageSizeHint)).map(({ iova, last }) => ({
    iova: Number(iova),
    length: Number(last - iova + 1n),
  }));
}

/** Bytes of a core that the logs of such devices need, and a REPORT of the largest. */
export function logBytesFor(
  profile: DeviceProfile,
  pageSizeHint: number,
  spaces: readonly (readonly MappedSpan[])[],
): number {
  const logged = spaces.map((spans) => spansToLog(profile, pageSizeHint, spans));
  const bits = logged
    .flat()
    .reduce((sum, { length }) => sum + 4096 + length / 8 / logPageSize(profile, pageSizeHint), 0);
  const widest = Math.max(0, ...logged.flat().map(({ length }) => length / 8 / 4096));
  return Math.ceil(2 * (bits + widest)) + 4096 * spaces.length;
}
