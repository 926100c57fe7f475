import { PlainAddressSpace } from '../address-space/plain-address-space.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import type { Iommu } from '../iommu/iommu.ts';
import { Type1Container } from '../type1/container.ts';
import type { Type1Group } from '../type1/group.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_TYPE1v2_IOMMU,
} from '../uapi/type1.ts';
import { NO_IOTLB, NO_WORK, type Tracker, type TrackerWork } from './tracker.ts';

const PAGE_SIZE = 4096;

export interface Type1TrackerOptions {
  readonly core: Core;
  readonly ramBytes: number;
}

/**
 * VFIO type1 for plain devices: a container with one group that may write anywhere, and no dirty information in the kernel, so that
 * everything mapped (and pinned) is reported dirty, every time (Linux drivers/vfio/vfio_iommu_type1.c).
 */
export class Type1Tracker implements Tracker {
  readonly name = 'type1';
  readonly claims = 'sound';
  readonly leaf = 'none';
  readonly mappedBytes: number;
  readonly iotlb = NO_IOTLB;
  readonly #iommu: Iommu;
  readonly #container: Type1Container;
  readonly #group: Type1Group;
  /** The user's bitmap, in words of 64 bits as the interface has it. */
  readonly #bits: Uint32Array;
  #queries = 0;
  #words = 0;

  constructor({ core, ramBytes }: Type1TrackerOptions) {
    this.mappedBytes = Math.ceil(ramBytes / PAGE_SIZE) * PAGE_SIZE;
    this.#bits = new Uint32Array(2 * Math.ceil(this.mappedBytes / PAGE_SIZE / 64));
    const addressSpace = new PlainAddressSpace();
    addressSpace.mmap({ va: 0, length: this.mappedBytes });
    this.#iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1 });
    this.#container = new Type1Container(core, { addressSpace });
    this.#group = this.#container.attach({ iommu: this.#iommu, requesterIds: [0], domain: { format: 'amdv1' } });
    this.#container.setIommu(VFIO_TYPE1v2_IOMMU);
    const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    this.#container.mapDma({ flags, vaddr: 0, iova: 0, size: this.mappedBytes });
  }

  start(): void {
    this.#container.dirtyPages({ flags: VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP });
    this.#container.dirtyPages({ flags: VFIO_IOMMU_DIRTY_PAGES_FLAG_START });
    this.#queries = this.#words = 0;
  }

  feed(): void {
    // What devices write plays no part: that is the point of this row.
  }

  report(into: Bitmap): void {
    this.#queries++;
    this.#words += Math.ceil(into.pages / 64);
    const bits = this.#bits.fill(0);
    const data = new Uint8Array(bits.buffer);
    const flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
    const bitmap = { pgsize: PAGE_SIZE, size: data.length, data };
    this.#container.dirtyPages({ flags, iova: 0, size: this.mappedBytes, bitmap });
    const words = into.words();
    for (let i = 0; i < words.length; i++) words[i] |= bits[i];
  }

  get work(): TrackerWork {
    return {
      ...NO_WORK,
      queries: this.#queries,
      bitmapWordsRead: this.#words,
    };
  }

  close(): void {
    this.#group.detach();
    this.#container.close();
    this.#iommu.close();
  }
}
