import { PlainAddressSpace } from '../address-space/plain-address-space.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import type { Domain } from '../iommu/domain.ts';
import type { DomainOptions } from '../iommu/domain-options.ts';
import type { FormatInfo } from '../iommu/formats.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Requester } from '../iommu/requester.ts';
import type { BindOptions } from '../iommufd/bind-options.ts';
import type { Device } from '../iommufd/device.ts';
import { Iommufd } from '../iommufd/iommufd.ts';
import type { Steps } from '../schedule/step.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
} from '../uapi/iommufd.ts';

const PAGE_SIZE = 4096;

export interface TrackedHwptOptions {
  readonly core: Core;
  readonly iommu: Iommu;
  readonly format: FormatInfo;
  /** Leaf sizes of the page table, bytes; what is mapped takes the largest. */
  readonly leafSizes: readonly number[];
  readonly update?: DomainOptions['update'];
  /** [0, mappedBytes) is mapped read-write, IOVA = virtual = physical address. */
  readonly mappedBytes: number;
  /** Reads split dirty leaves down to this many bytes. Default: they don't. */
  readonly splitTo?: number;
}

/** Memory that a VMM has given to its devices by iommufd, and the dirty state that an HWPT keeps of it. */
export class TrackedHwpt {
  readonly #fd: Iommufd;
  readonly #device: BindOptions;
  readonly #devices: Device[] = [];
  readonly #mappedBytes: number;
  readonly #hwptId: number;

  constructor(options: TrackedHwptOptions) {
    const { core, iommu, format, leafSizes, update, mappedBytes, splitTo } = options;
    const addressSpace = new PlainAddressSpace();
    addressSpace.mmap({ va: 0, length: mappedBytes });
    const granule = format.granule ? { granule: format.granule } : {};
    this.#device = {
      iommu,
      requesterId: 0,
      domain: { format: format.name, ...granule, leafSizes, ...(update && { update }) },
      ...(splitTo === undefined ? {} : { splitTo }),
    };
    this.#mappedBytes = mappedBytes;
    // The host's page is that of the granule: an IOMMU can't take smaller pieces than it has leaves.
    const pageSize = Math.max(PAGE_SIZE, leafSizes[0]) as 4096;
    this.#fd = new Iommufd(core, { addressSpace, pageSize });
    const { outIoasId: ioasId } = this.#fd.ioasAlloc();
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
    this.#fd.ioasMap({ flags, ioasId, userVa: 0, iova: 0, length: mappedBytes });
    const { devId } = this.#bind(0);
    const alloc = { flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING, devId, ptId: ioasId };
    this.#hwptId = this.#fd.hwptAlloc(alloc).outHwptId;
    this.#devices[0].attach(this.#hwptId);
  }

  /** What is behind the HWPT: a driver's view, for what iommufd has no command for. */
  get domain(): Domain {
    return this.#fd.domainOf(this.#hwptId);
  }

  /** The device of the workload with this index. */
  requester(index: number): Requester {
    const device = this.#devices[index];
    if (device) return device.requester;
    const added = this.#bind(index);
    added.attach(this.#hwptId);
    return added.requester;
  }

  /** HWPT_SET_DIRTY_TRACKING: from now on, and clean. */
  enable(): void {
    this.#fd.hwptSetDirtyTracking({ hwptId: this.#hwptId, flags: IOMMU_HWPT_DIRTY_TRACKING_ENABLE });
  }

  /** HWPT_GET_DIRTY_BITMAP of the first `length` bytes into a bitmap of 4 KiB pages from 0 on. */
  read(into: Bitmap, length: number): void {
    this.#fd.hwptGetDirtyBitmap(this.#query(into, length));
  }

  /** `read`, step by step. */
  readSteps(into: Bitmap, length: number): Steps<void> {
    return this.#fd.hwptGetDirtyBitmapSteps(this.#query(into, length));
  }

  get mappedBytes(): number {
    return this.#mappedBytes;
  }

  close(): void {
    for (const device of this.#devices) {
      device?.detach();
      device?.unbind();
    }
    this.#fd.close();
  }

  #bind(index: number): Device {
    // Requester ids are of 16 bits; devices that share one are told apart by their streams all the same.
    return (this.#devices[index] = this.#fd.bind({ ...this.#device, requesterId: index & 0xffff }));
  }

  #query(into: Bitmap, length: number) {
    const words = into.words();
    // The bitmap's own words are the user's buffer: bit for bit they mean the same.
    const data = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    return { hwptId: this.#hwptId, flags: 0, iova: 0, length, pageSize: PAGE_SIZE, data };
  }
}
