import type { Core } from '../core/core.ts';
import { IommuError } from '../errno/error.ts';
import {
  VFIO_API_VERSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
  VfioBitmap,
  VfioIommuType1DirtyBitmap,
  VfioIommuType1DirtyBitmapGet,
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
} from '../uapi/type1.ts';
import type { StructInput } from '../uapi/struct.ts';
import type { UserPointer } from '../uapi/user-pointer.ts';
import { checkAddress, hex } from '../wasm/address.ts';
import { attachGroup, detachGroup } from './attach.ts';
import { dirtyPages } from './dirty-pages.ts';
import { Type1Door } from './door.ts';
import type { BackedGroupOptions, GroupOptions } from './group-options.ts';
import { Type1Group, type GroupHome } from './group.ts';
import { infoOf, type Type1Info } from './info.ts';
import { mapDma } from './map-dma.ts';
import { Type1State } from './state.ts';
import type { Type1Options } from './type1-options.ts';
import { removeMapping, unmapDma } from './unmap-dma.ts';

/** What MAP_DMA takes; a field that is missing is 0. */
export type MapDmaOptions = Omit<StructInput<typeof VfioIommuType1DmaMap>, 'argsz'>;

/** What UNMAP_DMA takes; `bitmap` goes with GET_DIRTY_BITMAP. */
export type UnmapDmaOptions = Omit<StructInput<typeof VfioIommuType1DmaUnmap>, 'argsz'> & {
  readonly bitmap?: StructInput<typeof VfioBitmap>;
};

/** What DIRTY_PAGES takes; all but `flags` goes with GET_BITMAP. */
export type DirtyPagesOptions = Omit<StructInput<typeof VfioIommuType1DirtyBitmap>, 'argsz'> &
  StructInput<typeof VfioIommuType1DirtyBitmapGet>;

/**
 * An open /dev/vfio/vfio with the type1 IOMMU driver (drivers/vfio/vfio_iommu_type1.c, Linux 6.12): groups of devices, one set of mappings for
 * all of them, and dirty tracking by what is pinned. Methods bear the names of the ioctls, take the fields of their structs, and check in
 * the kernel's order; `ioctl` takes the structs themselves.
 */
export class Type1Container {
  readonly #options: Type1Options;
  readonly #door: Type1Door;
  readonly #groups = new Set<Type1Group>();
  #state: Type1State | undefined;

  /** EINVAL: a limit that is no count. `core` is the one in which the IOMMUs of the groups lie. */
  constructor(core: Core, options: Type1Options) {
    for (const name of ['dmaEntryLimit', 'lockedPagesLimit'] as const) {
      const limit = options[name];
      if (limit === undefined || (Number.isSafeInteger(limit) && limit >= 0)) continue;
      throw new IommuError('EINVAL', 'type1', `${name} is ${limit}; it must be an integer, 0 or more`);
    }
    // A closed core says so here, not at the first mapping.
    void core.usage;
    this.#options = options;
    this.#door = new Type1Door(this, options.addressSpace, (op) => this.#live(op));
  }

  /** VFIO_GET_API_VERSION: 0. */
  getApiVersion(): number {
    return VFIO_API_VERSION;
  }

  /** VFIO_CHECK_EXTENSION: 1 where there is such an extension (or IOMMU type), else 0. */
  checkExtension(extension: number): number {
    switch (extension) {
      case VFIO_TYPE1_IOMMU:
      case VFIO_TYPE1v2_IOMMU:
      case VFIO_TYPE1_NESTING_IOMMU:
      case VFIO_UNMAP_ALL:
        return 1;
      case VFIO_UPDATE_VADDR:
        return this.#state && this.#state.emulatedGroups.size > 0 ? 0 : 1;
      case VFIO_DMA_CC_IOMMU:
        return this.#state?.domains.every(({ cacheCoherent }) => cacheCoherent) ? 1 : 0;
      default:
        return 0;
    }
  }

  /**
   * VFIO_SET_IOMMU, with groups attached. TYPE1 is version 1, TYPE1v2 and TYPE1_NESTING are version 2. EINVAL: no group, or set before;
   * ENODEV: unknown; and the errnos of attaching the groups, none of which is then attached.
   */
  setIommu(type: number): void {
    const op = 'type1.setIommu';
    if (this.#groups.size === 0) throw new IommuError('EINVAL', op, 'no group is attached; attach one first');
    if (this.#state) throw new IommuError('EINVAL', op, 'an IOMMU type is set already');
    if (this.checkExtension(type) === 0) {
      throw new IommuError('ENODEV', op, `type is ${type}; it must be TYPE1 1, TYPE1v2 3 or TYPE1_NESTING 6`);
    }
    if (type === VFIO_UNMAP_ALL || type === VFIO_UPDATE_VADDR) {
      throw new IommuError(
        'EINVAL',
        op,
        `type is ${type}, an extension; it must be TYPE1 1, TYPE1v2 3 or TYPE1_NESTING 6`,
      );
    }
    const state = new Type1State(this.#options, type !== VFIO_TYPE1_IOMMU);
    state.mayFail(op, 'allocate', 'the IOMMU');
    const attached: Type1Group[] = [];
    try {
      for (const group of this.#groups) {
        attachGroup(state, group, op);
        attached.push(group);
      }
    } catch (error) {
      for (const group of attached.reverse()) detachGroup(state, group);
      throw error;
    }
    this.#state = state;
  }

  /**
   * Puts a group into the container (VFIO_GROUP_SET_CONTAINER); where an IOMMU type is set, everything mapped is mapped for it too. EBUSY,
   * EINVAL (apertures and reserved regions that conflict with mappings), EFAULT, ENOMEM, and what Domain.map throws: nothing is changed.
   */
  attach(options: GroupOptions): Type1Group {
    const op = 'type1.attach';
    if (!('emulated' in options)) checkBacked(op, options);
    const { quirks = 'strict' } = this.#options;
    const group = new Type1Group(
      this.#home,
      'emulated' in options ? options : { ...options, domain: { quirks, ...options.domain } },
    );
    if (this.#state) attachGroup(this.#state, group, op);
    this.#groups.add(group);
    return group;
  }

  /** VFIO_IOMMU_GET_INFO. EINVAL: no IOMMU type is set; ENOMEM. */
  getInfo(): Type1Info {
    const op = 'type1.getInfo';
    return infoOf(this.#live(op), op);
  }

  /**
   * VFIO_IOMMU_MAP_DMA: maps user memory [vaddr, vaddr + size) at `iova`, or with VADDR gives a mapping whose address is invalid a new one. In
   * this order: EINVAL (flags, alignment, a wrap, which is EOVERFLOW in later kernels and first), ENOENT or EINVAL with VADDR, EEXIST, ENOSPC,
   * EINVAL (no valid range), then ENOMEM, EFAULT and what Domain.map throws. Nothing is changed where it throws.
   */
  mapDma(options: MapDmaOptions): void {
    const op = 'type1.mapDma';
    mapDma(this.#live(op), op, VfioIommuType1DmaMap.of(options, op));
  }

  /**
   * VFIO_IOMMU_UNMAP_DMA: unmaps whole mappings and returns how many bytes; with GET_DIRTY_BITMAP their dirty pages come out first, with VADDR
   * they stay mapped and only lose their user address. EINVAL, EBUSY, EFAULT, in the kernel's order; TYPE1_QUIRKS says what is left then.
   */
  unmapDma(options: UnmapDmaOptions): { readonly size: bigint } {
    const op = 'type1.unmapDma';
    const state = this.#live(op);
    const request = VfioIommuType1DmaUnmap.of(options, op);
    return { size: unmapDma(state, op, request, { bitmap: () => VfioBitmap.of(options.bitmap ?? {}, op) }) };
  }

  /**
   * VFIO_IOMMU_DIRTY_PAGES: START, STOP, or GET_BITMAP, which sets bit k of `bitmap.data` for dirty page k from `iova` on. What is pinned
   * stays dirty; where a group with an IOMMU has never pinned, everything is. EACCES (version 1), EINVAL, EFAULT, ENOMEM.
   */
  dirtyPages(options: DirtyPagesOptions): void {
    const op = 'type1.dirtyPages';
    const { flags } = VfioIommuType1DirtyBitmap.of(options, op);
    dirtyPages(this.#live(op), op, flags, () => VfioIommuType1DirtyBitmapGet.of(options, op));
  }

  /** ioctl(2): its result, or -errno. `arg` is the struct's bytes, the user address of it, or for CHECK_EXTENSION and SET_IOMMU the value. */
  ioctl(request: number, arg: UserPointer | number): number {
    return this.#door.ioctl(request, arg);
  }

  /** Pages accounted as locked. */
  get lockedPages(): number {
    return this.#state?.lockedPages ?? 0;
  }

  /** Closes it, with all that is open in it: devices, mappings, groups. */
  close(): void {
    const groups = [...this.#groups];
    for (const group of groups) for (const device of [...group.devices]) device.close();
    for (const group of groups) group.detach();
  }

  #live(op: string): Type1State {
    if (this.#state) return this.#state;
    throw new IommuError('EINVAL', op, 'no IOMMU type is set; attach a group, then setIommu');
  }

  readonly #home: GroupHome = {
    stateOf: (group) => (this.#groups.has(group) ? this.#state : undefined),
    remove: (group) => this.#remove(group),
  };

  #remove(group: Type1Group): void {
    if (!this.#groups.delete(group))
      throw new IommuError('EINVAL', 'type1.detach', 'the group left its container before');
    const state = this.#state;
    if (!state) return;
    detachGroup(state, group);
    if (this.#groups.size > 0) return;
    for (const mapping of [...state.mappings.all]) removeMapping(state, mapping);
    this.#state = undefined;
  }
}

function checkBacked(op: string, { requesterIds, reservedRegions = [] }: BackedGroupOptions): void {
  if (requesterIds.length === 0) {
    throw new IommuError('EINVAL', op, 'requesterIds is empty; a group has at least one device');
  }
  for (const region of reservedRegions) {
    const first = BigInt(checkAddress(op, 'reservedRegions.first', region.first));
    const last = BigInt(checkAddress(op, 'reservedRegions.last', region.last));
    if (first <= last) continue;
    throw new IommuError('EINVAL', op, `a reserved region is ${hex(first)} .. ${hex(last)}: it ends before it begins`);
  }
}
