import { TRACKERS, type TrackerInfo } from '../tracker/registry.ts';
import { formatBytes } from '../units/quantity.ts';
import { UsageError } from '../units/usage-error.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';

/** What mappings may take of a core of 4 GiB, bytes. */
const MOST = 2 ** 31;

/** Whether a tracker can be compared where the guest maps. */
export function takesMappings({ mappedCoreBytes }: TrackerInfo): boolean {
  return mappedCoreBytes !== undefined;
}

/** Bytes of a core that the guest's mappings take with `tracker`. UsageError: it can't track that, or not so much of it. */
export function mappedBytesOf(
  tracker: TrackerInfo,
  spaces: readonly (readonly MappedSpan[])[],
  pageSize: number,
): number {
  const { name, mappedCoreBytes } = tracker;
  if (!mappedCoreBytes) {
    const names = TRACKERS.filter(takesMappings).map((each) => each.name);
    throw new UsageError(
      `trackers: '${name}' can't be compared on a recording in which the guest maps and unmaps; ${names.join(', ')} can, without suffixes`,
    );
  }
  const bytes = mappedCoreBytes({ spaces, pageSize });
  if (bytes <= MOST) return bytes;
  const what = `tables or logs for all IOVAs that the guest ever maps`;
  throw new UsageError(`trackers: '${name}' needs ${formatBytes(bytes)} of ${what}; at most ${formatBytes(MOST)} fit`);
}
