import { IommuError } from '../errno/error.ts';

/**
 * What a device does when its log is full: `stall`, it waits until there is room, and loses nothing; `report-all`, it
 * goes on, and the next report marks everything that it logs; `error`, every report fails with EIO until the log is
 * stopped and started again.
 */
export type LogOverflow = 'stall' | 'report-all' | 'error';

/** What a device's dirty logging can do. */
export interface DeviceProfile {
  readonly name: string;
  /** Most ranges that the device takes; more are combined by smallest gap. */
  readonly maxRanges: number;
  /** Log page sizes, bytes: the hint is clamped into this range. */
  readonly minPageSize: number;
  readonly maxPageSize: number;
  /** The sum of the ranges, rounded up to a power of two, lies in this range, bytes; else EOPNOTSUPP. */
  readonly minSpace: number;
  readonly maxSpace: number;
  /**
   * Dirty records that fit. With `stall` it is the host's report queue: where a REPORT has more, the device stalls
   * until it is drained. Otherwise it is a ring that fills while the device runs, one record for each page that was
   * clean.
   */
  readonly queueRecords: number;
  /** Default `stall`. */
  readonly overflow?: LogOverflow | undefined;
}

/** A device without limits. */
export const IDEAL_DEVICE: DeviceProfile = {
  name: 'device',
  maxRanges: Infinity,
  minPageSize: 4096,
  maxPageSize: 2 ** 52,
  minSpace: 0,
  maxSpace: Infinity,
  queueRecords: Infinity,
};

/**
 * NVIDIA mlx5, after Linux drivers/vfio/pci/mlx5/cmd.c: the rules are the driver's. So is the report queue of 2 MiB
 * with records of 8 bytes, which stalls the reporter instead of dropping. Numbers of ranges, page sizes and address
 * space are capabilities that the firmware reports; no published values were found, so those here are assumed, and
 * wide.
 */
export const MLX5_DEVICE: DeviceProfile = {
  name: 'device:mlx5',
  maxRanges: 16,
  minPageSize: 4096,
  maxPageSize: 2 ** 21,
  minSpace: 4096,
  maxSpace: 2 ** 52,
  queueRecords: 2 ** 21 / 8,
};

/**
 * The log page size that START answers with: the hint, rounded down to a power of two, clamped into what the device can
 * do.
 */
export function logPageSize(profile: DeviceProfile, hint: number | bigint): number {
  const rounded = hint >= 1 ? 2 ** (BigInt(hint).toString(2).length - 1) : 0;
  return Math.min(Math.max(rounded, profile.minPageSize), profile.maxPageSize);
}

/** EOPNOTSUPP where `bytes` of logged ranges are more or less than the device takes. */
export function checkSpace(profile: DeviceProfile, bytes: number | bigint): void {
  let space = 1;
  while (space < bytes) space *= 2;
  if (space >= profile.minSpace && space <= profile.maxSpace) return;
  throw new IommuError(
    'EOPNOTSUPP',
    profile.name,
    `${bytes} bytes to log; the device takes ${profile.minSpace} to ${profile.maxSpace} (rounded up to a power of two)`,
  );
}

/** How often a device stalls on the way of `records` through a report queue that is empty when the REPORT begins. */
export function stallsOf(profile: DeviceProfile, records: number): number {
  return Math.max(0, Math.ceil(records / profile.queueRecords) - 1);
}
