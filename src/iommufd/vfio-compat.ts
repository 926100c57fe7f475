import { ERRNO } from '../errno/errno.ts';
import { IommuError } from '../errno/error.ts';
import { READ, WRITE } from '../iommu/access.ts';
import { handler, readArgsz, resultOf, vfioIoctl, type IoctlArg } from '../uapi/envelope.ts';
import { ReplyError } from '../uapi/reply-error.ts';
import type { StructInput, StructOf } from '../uapi/struct.ts';
import * as uapi from '../uapi/type1.ts';
import { writeUser } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import type { Context } from './context.ts';
import type { Ioas } from './ioas.ts';
import { cutBehind, mapSlices, unmapRange, userPages } from './ioas-map.ts';
import { lastOfRange } from './ioas-commands.ts';
import { ADDRESS_MAX, type Interval } from './interval.ts';
import { compatIoas } from './option-commands.ts';

/** What VFIO_IOMMU_GET_INFO says. */
export interface CompatInfo {
  /** Bit n: pages of 2^n bytes. */
  readonly iovaPgsizes: bigint;
  /** Mappings that may still be made. */
  readonly dmaAvail: number;
  readonly iovaRanges: readonly Interval[];
}

const MOST_MAPPINGS = 0xffffffff;
const EXTENSIONS = [uapi.VFIO_TYPE1_IOMMU, uapi.VFIO_TYPE1v2_IOMMU, uapi.VFIO_UNMAP_ALL];

/**
 * The VFIO container ioctls on an iommufd, over the IOAS that `vfioIoas` sets (drivers/iommu/iommufd/vfio_compat.c).
 */
export class VfioCompat {
  readonly #context: Context;

  /** @internal */
  constructor(context: Context) {
    this.#context = context;
  }

  getApiVersion(): number {
    return uapi.VFIO_API_VERSION;
  }

  /** 1: there is; 0: there is not. ENODEV: cache coherency without an IOAS. */
  checkExtension(extension: number): number {
    if (extension === uapi.VFIO_DMA_CC_IOMMU) {
      compatIoas('checkExtension', this.#context);
      // Devices without coherent DMA cannot be bound.
      return 1;
    }
    return EXTENSIONS.includes(extension) ? 1 : 0;
  }

  /**
   * Version 1 does without huge pages, so that it can unmap parts. EINVAL: another type, or areas are mapped in
   * domains; ENODEV.
   */
  setIommu(type: number): void {
    const op = 'setIommu';
    if (type !== uapi.VFIO_TYPE1_IOMMU && type !== uapi.VFIO_TYPE1v2_IOMMU) {
      throw new IommuError('EINVAL', op, `type is ${type}; there are TYPE1 (1) and TYPE1v2 (3)`);
    }
    const ioas = compatIoas(op, this.#context);
    if (type === uapi.VFIO_TYPE1_IOMMU) ioas.setHugePages(op, false);
  }

  /** ENODEV. */
  getInfo(): CompatInfo {
    const ioas = compatIoas('getInfo', this.#context);
    return { iovaPgsizes: pageSizesOf(ioas), dmaAvail: MOST_MAPPINGS, iovaRanges: ioas.usable };
  }

  /** EINVAL, ENODEV, EEXIST, EOVERFLOW, EPERM, EFAULT, ENOMEM: as `ioasMap` at a fixed IOVA. */
  mapDma(args: Omit<StructInput<typeof uapi.VfioIommuType1DmaMap>, 'argsz'>): void {
    this.#map(uapi.VfioIommuType1DmaMap.of(args, 'mapDma'));
  }

  /**
   * Returns the bytes unmapped, 0 where nothing was mapped. EINVAL: flags, or a part that cannot be cut off; ENODEV;
   * ENOENT: an area reaches beyond the range; EOVERFLOW.
   */
  unmapDma(args: Omit<StructInput<typeof uapi.VfioIommuType1DmaUnmap>, 'argsz'>): { size: bigint } {
    return this.#unmap(uapi.VfioIommuType1DmaUnmap.of(args, 'unmapDma'));
  }

  /** @internal */
  ioctl(request: number, arg: IoctlArg): number {
    const { space } = this.#context;
    // Some take a number where others take a pointer.
    const number = typeof arg === 'bigint' && arg <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(arg) : -1;
    switch (request) {
      case uapi.VFIO_GET_API_VERSION:
        return this.getApiVersion();
      case uapi.VFIO_CHECK_EXTENSION:
        return resultOf(() => this.checkExtension(number));
      case uapi.VFIO_SET_IOMMU:
        return resultOf(() => this.setIommu(number));
      case uapi.VFIO_IOMMU_GET_INFO:
        return resultOf(() => this.#writeInfo(arg));
      case uapi.VFIO_IOMMU_MAP_DMA:
        return vfioIoctl(
          space,
          handler(uapi.VfioIommuType1DmaMap, (cmd) => this.#map(cmd)),
          arg,
          'mapDma',
        );
      case uapi.VFIO_IOMMU_UNMAP_DMA:
        return vfioIoctl(
          space,
          handler(uapi.VfioIommuType1DmaUnmap, (cmd) => this.#unmap(cmd)),
          arg,
          'unmapDma',
        );
      default:
        return -ERRNO.ENOTTY;
    }
  }

  #map({ flags, vaddr, iova, size }: StructOf<typeof uapi.VfioIommuType1DmaMap>): void {
    const op = 'mapDma';
    const known = uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE;
    const access =
      (flags & uapi.VFIO_DMA_MAP_FLAG_READ ? READ : 0) | (flags & uapi.VFIO_DMA_MAP_FLAG_WRITE ? WRITE : 0);
    if (flags & ~known || (access === 0 && this.#context.strict)) {
      throw new IommuError('EINVAL', op, `flags are ${hex(flags)}; they must be READ (1), WRITE (2) or both`);
    }
    const ioas = compatIoas(op, this.#context);
    mapSlices(op, { ioas, access, iova }, [userPages(op, ioas, vaddr, size, access)]);
  }

  #unmap({ flags, iova, size }: StructOf<typeof uapi.VfioIommuType1DmaUnmap>): { size: bigint } {
    const op = 'unmapDma';
    const all = flags === uapi.VFIO_DMA_UNMAP_FLAG_ALL;
    if (flags !== 0 && !all) throw new IommuError('EINVAL', op, `flags are ${hex(flags)}; there is ALL (2)`);
    const ioas = compatIoas(op, this.#context);
    if (all && (iova !== 0n || size !== 0n)) {
      throw new IommuError('EINVAL', op, `iova is ${hex(iova)} and size ${hex(size)}; with ALL both must be 0`);
    }
    if (!all && !ioas.hugePages) {
      const ends = [iova + size - 1n, iova - 1n].map((end) => BigInt.asUintN(64, end));
      cutBehind(op, ioas, iova === 0n ? ends.slice(0, 1) : ends);
    }
    const removed = { bytes: 0n };
    try {
      const last = all ? ADDRESS_MAX : lastOfRange(op, 'iova', iova, size);
      return { size: unmapRange(op, ioas, iova, last, removed) };
    } catch (error) {
      if (!(error instanceof IommuError)) throw error;
      throw new ReplyError(error.code, op, error.message, { size: removed.bytes });
    }
  }

  /** GET_INFO's capability chain: of what fits, and `argsz` says what all of it needs. */
  #writeInfo(arg: IoctlArg): void {
    const op = 'getInfo';
    const { space } = this.#context;
    const Info = uapi.VfioIommuType1Info;
    const { argsz } = Info.decode(readArgsz(space, Info, arg, op, uapi.VFIO_IOMMU_TYPE1_INFO_MINSZ));
    const { iovaPgsizes, iovaRanges } = this.getInfo();
    const caps = [dmaAvailCapability(), iovaRangeCapability(iovaRanges)];
    let end = Info.size;
    const write = (offset: number, bytes: Uint8Array) => {
      if (!writeUser(space, arg, offset, bytes)) throw new IommuError('EFAULT', op, 'the info cannot be written');
    };
    caps.forEach((cap, i) => {
      const next = end + Math.ceil(cap.length / 8) * 8;
      if (i + 1 < caps.length) new DataView(cap.buffer).setUint32(NEXT_OFFSET, argsz >= next ? next : 0, true);
      if (argsz >= end + cap.length) write(end, cap);
      end = next;
    });
    const info = new Uint8Array(Info.size);
    const flags = uapi.VFIO_IOMMU_INFO_PGSIZES | uapi.VFIO_IOMMU_INFO_CAPS;
    Info.encode({ argsz: end, flags, iovaPgsizes, capOffset: argsz >= end ? Info.size : 0 }, info);
    write(0, info.subarray(0, Math.min(argsz, info.length)));
  }
}

const NEXT_OFFSET = uapi.VfioInfoCapHeader.offsetOf('next');

function pageSizesOf(ioas: Ioas): bigint {
  const { pageSize } = ioas.context;
  let sizes = ADDRESS_MAX;
  for (const { leafSizes } of ioas.domains) sizes &= leafSizes.reduce((mask, size) => mask | BigInt(size), 0n);
  if (sizes & (pageSize - 1n)) sizes = (sizes & ~(pageSize - 1n)) | pageSize;
  return sizes > ioas.alignment ? sizes : ioas.alignment;
}

function dmaAvailCapability(): Uint8Array {
  const cap = new Uint8Array(uapi.VfioIommuType1InfoDmaAvail.size);
  const header = { id: uapi.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1 };
  uapi.VfioIommuType1InfoDmaAvail.encode({ header, avail: MOST_MAPPINGS }, cap);
  return cap;
}

function iovaRangeCapability(ranges: readonly Interval[]): Uint8Array {
  const { size } = uapi.VfioIovaRange;
  const head = uapi.VfioIommuType1InfoCapIovaRange;
  const cap = new Uint8Array(head.size + ranges.length * size);
  head.encode({ header: { id: uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1 }, nrIovas: ranges.length }, cap);
  ranges.forEach(({ first, last }, i) => {
    uapi.VfioIovaRange.encode({ start: first, end: last }, cap, head.size + i * size);
  });
  return cap;
}
