import { PAGE_SIZE, type FrameRun } from '../address-space/address-space.ts';
import type { DirtyBits } from './dirty-bits.ts';

/** A page that a device's driver has pinned. */
export interface PinnedPage {
  readonly frame: FrameRun;
  /** How often, at least once. */
  count: number;
}

/** One mapping of user memory into a container (vfio_dma, drivers/vfio/vfio_iommu_type1.c). */
export class Mapping {
  readonly iova: bigint;
  /** Bytes; a multiple of the smallest page. */
  readonly size: bigint;
  /** READ, WRITE or both. */
  readonly access: number;
  /** User address of the first byte; changes with MAP_DMA's VADDR flag. */
  vaddr: bigint;
  vaddrInvalid = false;
  /** Its frames while it is mapped into domains, pinned once for all of them. */
  frames: readonly FrameRun[] | undefined;
  /** What devices' drivers have pinned, by page from the mapping's start on. */
  readonly pins = new Map<number, PinnedPage>();
  /** Which pages are dirty, while tracking is on. */
  bits: DirtyBits | undefined;

  constructor(iova: bigint, size: bigint, access: number, vaddr: bigint) {
    this.iova = iova;
    this.size = size;
    this.access = access;
    this.vaddr = vaddr;
  }

  /** First address behind it; 2^64 at the top. */
  get end(): bigint {
    return this.iova + this.size;
  }

  /** Pages of 4 KiB, which is what is accounted. */
  get pages(): number {
    return Number(this.size / PAGE_SIZE);
  }

  /** Marks the pinned pages, in pages of 2^shift bytes. */
  markPinned(shift: number): void {
    for (const page of this.pins.keys()) this.bits?.mark(Math.floor((page * Number(PAGE_SIZE)) / 2 ** shift), 1);
  }

  /** Marks all of it. */
  markAll(): void {
    this.bits?.mark(0, this.bits.pages);
  }
}
