import {
  DIRTY_BITMAP_SIZE_MAX,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VfioIommuType1Info,
  VfioIommuType1InfoCapIovaRange,
  VfioIommuType1InfoCapMigration,
  VfioIommuType1InfoDmaAvail,
  VfioIovaRange,
} from '../uapi/type1.ts';
import type { Type1State } from './state.ts';
import type { IovaSpan } from './valid-ranges.ts';

/** What VFIO_IOMMU_GET_INFO says, its capabilities by name. */
export interface Type1Info {
  readonly flags: number;
  /** Bit n = pages of 2^n bytes. */
  readonly iovaPgsizes: bigint;
  /** Dirty tracking: page sizes (the smallest only), most bytes of a bitmap. */
  readonly migration: { readonly flags: number; readonly pgsizeBitmap: bigint; readonly maxDirtyBitmapSize: bigint };
  /** How many more mappings may be made. */
  readonly dmaAvail: number;
  /** What may be mapped, both ends inclusive; absent where only emulated groups are there. */
  readonly iovaRanges?: readonly IovaSpan[];
}

/** VFIO_IOMMU_GET_INFO. ENOMEM. */
export function infoOf(state: Type1State, op: string): Type1Info {
  state.mayFail(op, 'allocate', 'the migration capability');
  state.mayFail(op, 'allocate', 'the DMA available capability');
  const ranges = state.validRanges;
  if (ranges.length > 0) state.mayFail(op, 'allocate', 'the IOVA range capability');
  return {
    flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iovaPgsizes: state.pageSizes,
    migration: { flags: 0, pgsizeBitmap: state.pageSize, maxDirtyBitmapSize: DIRTY_BITMAP_SIZE_MAX },
    dmaAvail: state.available,
    ...(ranges.length > 0 && { iovaRanges: ranges }),
  };
}

/** The capabilities as they follow the info struct: each at a multiple of 8, headed by where the next one lies. */
export function capabilityChain({ migration, dmaAvail, iovaRanges }: Type1Info): Uint8Array {
  const parts = [
    capability(VfioIommuType1InfoCapMigration.size, (bytes) =>
      VfioIommuType1InfoCapMigration.encode(
        { header: { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1 }, ...migration },
        bytes,
      ),
    ),
    capability(VfioIommuType1InfoDmaAvail.size, (bytes) =>
      VfioIommuType1InfoDmaAvail.encode(
        { header: { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1 }, avail: dmaAvail },
        bytes,
      ),
    ),
    ...(iovaRanges ? [rangeCapability(iovaRanges)] : []),
  ];
  const chain = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  parts.forEach((part, i) => {
    chain.set(part, at);
    const next = at + part.length;
    const isLast = i === parts.length - 1;
    // From the info struct's start on; the header's third field.
    new DataView(chain.buffer).setUint32(at + 4, isLast ? 0 : VfioIommuType1Info.size + next, true);
    at = next;
  });
  return chain;
}

function capability(size: number, fill: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(size / 8) * 8);
  fill(bytes);
  return bytes;
}

function rangeCapability(ranges: readonly IovaSpan[]): Uint8Array {
  const head = VfioIommuType1InfoCapIovaRange;
  return capability(head.size + ranges.length * VfioIovaRange.size, (bytes) => {
    head.encode({ header: { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1 }, nrIovas: ranges.length }, bytes);
    ranges.forEach((range, i) => VfioIovaRange.encode(range, bytes, head.size + i * VfioIovaRange.size));
  });
}
