import { WRITE } from '../../src/iommu/access.ts';
import type { BindOptions } from '../../src/iommufd/bind-options.ts';
import type { Device } from '../../src/iommufd/device.ts';
import { FIXED, RW, behind, type Rig } from './rig.ts';

export interface Tracked extends Rig {
  readonly ioasId: number;
  readonly hwptId: number;
  readonly device: Device;
  /** One byte is written by DMA. */
  readonly write: (iova: bigint) => void;
  /** What GET_DIRTY_BITMAP says, as the numbers of the pages. */
  readonly dirty: (query: { iova: bigint; length: bigint; pageSize?: bigint; flags?: number }) => number[];
}

/** A device attached to an HWPT that could track, with areas at their IOVAs. */
export function tracked(
  rig: Rig,
  areas: readonly (readonly [iova: bigint, userVa: bigint, length: bigint])[],
  more: Partial<BindOptions> = {},
): Tracked {
  const { fd } = rig;
  const { outIoasId: ioasId } = fd.ioasAlloc();
  const device = fd.bind(behind(rig, more));
  const { outHwptId: hwptId } = fd.hwptAlloc({ flags: 2, devId: device.devId, ptId: ioasId });
  device.attach(hwptId);
  for (const [iova, userVa, length] of areas) fd.ioasMap({ flags: RW | FIXED, ioasId, userVa, length, iova });
  return {
    ...rig,
    ioasId,
    hwptId,
    device,
    write: (iova) => {
      if (device.requester.access(iova, 1, WRITE) < 0) throw new Error(`DMA at ${iova} faults`);
    },
    dirty: ({ iova, length, pageSize = 4096n, flags = 0 }) => {
      const data = new Uint8Array(Number(length / pageSize) / 8 + 1);
      fd.hwptGetDirtyBitmap({ hwptId, iova, length, pageSize, flags, data });
      return bitsOf(data);
    },
  };
}

/** Numbers of the bits that are set. */
export function bitsOf(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length * 8 }, (_, k) => k).filter((k) => (bytes[k >> 3] >> (k & 7)) & 1);
}
