import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import type { Quirks } from '../iommu/quirks.ts';
import { readStruct } from '../uapi/envelope.ts';
import type { StructOf } from '../uapi/struct.ts';
import {
  VfioDeviceFeatureDmaLoggingRange,
  type VfioDeviceFeatureDmaLoggingControl,
  type VfioDeviceFeatureDmaLoggingReport,
} from '../uapi/vfio.ts';
import { hex } from '../wasm/address.ts';
import type { IovaRange } from './combine-ranges.ts';

/** Most ranges that one DMA_LOGGING_START takes: a page of 4 KiB of them. */
export const MOST_LOG_RANGES = 4096 / VfioDeviceFeatureDmaLoggingRange.size;

const MAX = (1n << 64n) - 1n;
const START = 'DMA_LOGGING_START';
const REPORT = 'DMA_LOGGING_REPORT';

function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && (value & (value - 1n)) === 0n;
}

/**
 * The ranges of a DMA_LOGGING_START, in their order. Errors, the first that holds: EINVAL none; E2BIG more than 256;
 * EINVAL `pageSize` is no power of two; then range by range EFAULT it cannot be read; EINVAL it is not whole pages;
 * EOVERFLOW it ends at 2^64 or beyond; EINVAL it overlaps one before.
 */
export function readLogRanges(
  space: AddressSpace,
  control: StructOf<typeof VfioDeviceFeatureDmaLoggingControl>,
  quirks: Quirks,
): IovaRange<bigint>[] {
  const { numRanges, pageSize } = control;
  if (numRanges === 0) throw new IommuError('EINVAL', START, 'num_ranges is 0; it must be at least 1');
  if (numRanges > MOST_LOG_RANGES) {
    throw new IommuError('E2BIG', START, `num_ranges is ${numRanges}; there may be ${MOST_LOG_RANGES}`);
  }
  if (quirks === 'strict' && !isPowerOfTwo(pageSize)) {
    throw new IommuError('EINVAL', START, `page_size is ${pageSize}; it must be a power of two`);
  }
  const ranges: IovaRange<bigint>[] = [];
  for (let i = 0; i < numRanges; i++) {
    const at = VfioDeviceFeatureDmaLoggingRange.size * i;
    const { iova, length } = readStruct(space, VfioDeviceFeatureDmaLoggingRange, control.ranges, START, at);
    const range = checkRange(`ranges[${i}]`, iova, length, pageSize, quirks);
    const other = ranges.find((each) => each.iova <= range.last && range.iova <= each.last);
    if (other) {
      throw new IommuError(
        'EINVAL',
        START,
        `ranges[${i}], from ${hex(iova)} on, overlaps that from ${hex(other.iova)} on`,
      );
    }
    ranges.push(range);
  }
  // An empty range logs nothing.
  return ranges.filter(({ iova, last }) => iova <= last);
}

function checkRange(name: string, iova: bigint, length: bigint, pageSize: bigint, quirks: Quirks): IovaRange<bigint> {
  // A page size of 0 gives a mask of ones.
  const mask = (pageSize - 1n) & MAX;
  if (((iova | length) & mask) !== 0n) {
    throw new IommuError(
      'EINVAL',
      START,
      `${name} is ${hex(iova)} + ${hex(length)}; both must be multiples of ${pageSize}`,
    );
  }
  if (quirks === 'strict' && length === 0n) {
    throw new IommuError('EINVAL', START, `${name} has length 0; it must be at least one page`);
  }
  if (iova + length > MAX) {
    throw new IommuError('EOVERFLOW', START, `${name} is ${hex(iova)} + ${hex(length)}; it must end below 2^64`);
  }
  return { iova, last: (iova + length - 1n) & MAX };
}

/** EINVAL: `pageSize` is below 4096 or no power of two; EOVERFLOW: the range ends at 2^64 or beyond. */
export function checkReport({ iova, length, pageSize }: StructOf<typeof VfioDeviceFeatureDmaLoggingReport>): void {
  if (pageSize < 4096n || !isPowerOfTwo(pageSize)) {
    throw new IommuError('EINVAL', REPORT, `page_size is ${pageSize}; it must be a power of two from 4096 on`);
  }
  if (iova + length > MAX) {
    throw new IommuError('EOVERFLOW', REPORT, `${hex(iova)} + ${hex(length)}; the range must end below 2^64`);
  }
}
