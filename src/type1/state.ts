import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { mayFail, type FailPoint } from '../errno/fail-point.ts';
import type { BackingDomain } from './backing-domain.ts';
import type { Type1Group } from './group.ts';
import { MappingTree } from './mapping-tree.ts';
import { hasQuirk, type Type1QuirkName } from './quirks.ts';
import type { Type1Device } from './type1-device.ts';
import type { Type1Options } from './type1-options.ts';
import type { IovaSpan } from './valid-ranges.ts';

/** All sizes from 4 KiB on: what a container without an IOMMU offers. */
const ALL_PAGE_SIZES = 2n ** 64n - 4096n;

const DMA_ENTRY_LIMIT = 65535;

/** What a container keeps once an IOMMU type is set, until its last group leaves (vfio_iommu, drivers/vfio/vfio_iommu_type1.c). */
export class Type1State {
  readonly space: AddressSpace;
  /** Version 2 of the interface: no mapping is ever cut. */
  readonly v2: boolean;
  readonly next: boolean;
  readonly mappings: MappingTree;
  /** Domains with their groups, in the order of their attachment. */
  readonly domains: BackingDomain[] = [];
  readonly emulatedGroups = new Set<Type1Group>();
  /** Devices that want to hear of unmaps, in the order in which they were opened. */
  readonly devices = new Set<Type1Device>();
  /** IOMMU-backed groups that have not pinned a page yet, so may write anywhere. */
  nonPinnedGroups = 0;
  tracking = false;
  /** How many more mappings may be made. */
  available: number;
  /** Bit n = pages of 2^n bytes in every domain, none below 4 KiB. */
  pageSizes = ALL_PAGE_SIZES;
  /** What may be mapped; empty: anything. */
  validRanges: readonly IovaSpan[] = [];
  /** Mappings whose user address is invalid. */
  invalidVaddrs = 0;
  #lockedPages = 0;
  readonly #options: Type1Options;

  constructor(options: Type1Options, v2: boolean) {
    this.#options = options;
    this.space = options.addressSpace;
    this.v2 = v2;
    this.next = options.uapi === 'next';
    this.available = options.dmaEntryLimit ?? DMA_ENTRY_LIMIT;
    this.mappings = new MappingTree(this.quirk('top of the address space'));
  }

  /** Whether the profile has this quirk. */
  quirk(name: Type1QuirkName): boolean {
    return hasQuirk(name, this.#options.quirks ?? 'strict', this.next);
  }

  /** A place at which the operation may be made to fail. */
  mayFail(op: string, what: FailPoint, of: string): void {
    mayFail(this.#options.fail, op, what, of);
  }

  /** log2 of the smallest page: the unit of alignment and of dirty bitmaps. */
  get pageShift(): number {
    return (this.pageSizes & -this.pageSizes).toString(2).length - 1;
  }

  /** Bytes of the smallest page. */
  get pageSize(): bigint {
    return this.pageSizes & -this.pageSizes;
  }

  /** Pages accounted as locked. */
  get lockedPages(): number {
    return this.#lockedPages;
  }

  /** How many more pages may be locked. */
  get lockable(): number {
    return (this.#options.lockedPagesLimit ?? Infinity) - this.#lockedPages;
  }

  /** Accounts for `pages` more; ENOMEM: beyond the limit. */
  lock(op: string, pages: number): void {
    if (pages > 0 && pages > this.lockable) {
      const limit = this.#options.lockedPagesLimit;
      throw new IommuError(
        'ENOMEM',
        op,
        `${this.#lockedPages} pages are locked; ${pages} more exceed the limit of ${limit}`,
      );
    }
    this.#lockedPages += pages;
  }

  unlock(pages: number): void {
    this.#lockedPages -= pages;
  }
}
