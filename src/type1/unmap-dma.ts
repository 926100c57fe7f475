import { IommuError } from '../errno/error.ts';
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
} from '../uapi/type1.ts';
import { hex } from '../wasm/address.ts';
import { checkBitmapPageSize, checkBitmapRequest, type BitmapRequest } from './bitmap-request.ts';
import { checkWhole, report } from './dirty-pages.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';

/** What UNMAP_DMA asks for. */
export interface UnmapRequest {
  readonly flags: number;
  readonly iova: bigint;
  readonly size: bigint;
}

/** What the caller's door does for an unmap. */
export interface UnmapDoor {
  /** Reads what follows the size, where the flags ask for it. */
  bitmap(): BitmapRequest;
  /** Throws where the size cannot be given back. */
  checkReply?(): void;
}

const KNOWN = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
const TOP = 1n << 64n;
/** Repeated notifications of one mapping after which the kernel gives up on its devices. */
const TRIES = 10;

/** Removes a mapping from all domains and unpins it (vfio_remove_dma). */
export function removeMapping(state: Type1State, mapping: Mapping): void {
  if (mapping.frames) {
    for (const domain of state.domains) domain.unmap(mapping);
    state.space.unpin(mapping.frames);
    state.unlock(mapping.pages);
  } else state.unlock(mapping.pins.size);
  for (const { frame } of mapping.pins.values()) state.space.unpin([frame]);
  mapping.pins.clear();
  if (mapping.vaddrInvalid) state.invalidVaddrs--;
  state.mappings.remove(mapping);
  state.available++;
}

/** VFIO_IOMMU_UNMAP_DMA. Returns the bytes unmapped, or made invalid. */
export function unmapDma(state: Type1State, op: string, request: UnmapRequest, door: UnmapDoor): bigint {
  const { flags } = request;
  if (flags & ~KNOWN) {
    throw new IommuError('EINVAL', op, `flags is ${hex(flags)}; GET_DIRTY_BITMAP 1, ALL 2 and VADDR 4 are known`);
  }
  const wantsBits = (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0;
  if (wantsBits && flags !== VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
    throw new IommuError('EINVAL', op, `flags is ${hex(flags)}; GET_DIRTY_BITMAP goes with no other flag`);
  }
  const into = wantsBits ? door.bitmap() : undefined;
  if (into) checkBitmapRequest(op, request.size, into);
  const range = checkRange(state, op, request);
  if (into) {
    if (!state.tracking) throw new IommuError('EINVAL', op, 'dirty tracking is off; START it first');
    checkBitmapPageSize(op, into, state.pageSize);
  }
  const checkReply = () => {
    if (!state.quirk('unmap with a read-only request')) door.checkReply?.();
  };
  if (flags & VFIO_DMA_UNMAP_FLAG_VADDR) return invalidate(state, op, select(state, op, range), checkReply);
  if (state.quirk('fault in the middle of an unmap')) return unmapOneByOne(state, op, range, into);
  return unmapWhole(state, op, range, into, checkReply);
}

/** A range to unmap; `all`: whatever there is. */
interface UnmapRange {
  readonly iova: bigint;
  readonly size: bigint;
  readonly all: boolean;
}

function checkRange(state: Type1State, op: string, { flags, iova, size }: UnmapRequest): UnmapRange {
  if (flags & VFIO_DMA_UNMAP_FLAG_VADDR && state.emulatedGroups.size > 0) {
    throw new IommuError('EBUSY', op, 'VADDR does not go with emulated groups: their drivers use the addresses');
  }
  if (iova % state.pageSize !== 0n) {
    throw new IommuError('EINVAL', op, `iova is ${hex(iova)}; it must be a multiple of ${state.pageSize}`);
  }
  if (flags & VFIO_DMA_UNMAP_FLAG_ALL) {
    if (iova === 0n && size === 0n) {
      // The kernel's 2^64 - 1 leaves nothing out that begins at a page, where it finds a mapping at all.
      return { iova, size: state.quirk('top of the address space') ? TOP - 1n : TOP, all: true };
    }
    throw new IommuError('EINVAL', op, `iova is ${hex(iova)} and size ${hex(size)}; with ALL both must be 0`);
  }
  if (size === 0n || size % state.pageSize !== 0n) {
    throw new IommuError('EINVAL', op, `size is ${hex(size)}; it must be a multiple of ${state.pageSize}, and not 0`);
  }
  if (iova + size > TOP) {
    const message = `iova ${hex(iova)} + size ${hex(size)} ends beyond 2^64`;
    throw new IommuError(state.next ? 'EOVERFLOW' : 'EINVAL', op, message);
  }
  return { iova, size, all: false };
}

/** The mappings that a request means. EINVAL where it cuts one: at either end in version 2, at its begin in version 1. */
function select(state: Type1State, op: string, { iova, size, all }: UnmapRange): readonly Mapping[] {
  if (state.v2 && !all) checkWhole(state, op, iova, size);
  const found = state.mappings.from(iova, size);
  if (found.length === 0 || found[0].iova >= iova) return found;
  // Only version 1 comes here: its first mapping begins before the request.
  if (state.quirk('unmap from inside a mapping, version 1')) return [];
  throw new IommuError('EINVAL', op, `iova ${hex(iova)} lies inside the mapping at ${hex(found[0].iova)}`);
}

function invalidate(state: Type1State, op: string, mappings: readonly Mapping[], checkReply: () => void): bigint {
  const already = mappings.find(({ vaddrInvalid }) => vaddrInvalid);
  if (already)
    throw new IommuError('EINVAL', op, `the vaddr of the mapping at ${hex(already.iova)} is invalid already`);
  checkReply();
  for (const mapping of mappings) mapping.vaddrInvalid = true;
  state.invalidVaddrs += mappings.length;
  return mappings.reduce((bytes, { size }) => bytes + size, 0n);
}

/** All or nothing: first nothing is pinned any more, then the bits are out, then the mappings go. */
function unmapWhole(
  state: Type1State,
  op: string,
  range: UnmapRange,
  into: BitmapRequest | undefined,
  checkReply: () => void,
): bigint {
  const tries: Tries = { last: undefined, count: 0 };
  let mappings = select(state, op, range);
  for (let pinned = firstPinned(mappings); pinned; pinned = firstPinned(mappings)) {
    notify(state, op, pinned, tries);
    // Devices may have unmapped on their own.
    mappings = select(state, op, range);
  }
  if (into) for (const mapping of mappings) report(state, op, mapping, range.iova, into);
  checkReply();
  for (const mapping of mappings) removeMapping(state, mapping);
  return mappings.reduce((bytes, { size }) => bytes + size, 0n);
}

/** As Linux 6.12 does it: each mapping on its own, from the beginning again after each notification. */
function unmapOneByOne(state: Type1State, op: string, range: UnmapRange, into: BitmapRequest | undefined): bigint {
  const tries: Tries = { last: undefined, count: 0 };
  let bytes = 0n;
  let mapping: Mapping | undefined = select(state, op, range)[0];
  while (mapping) {
    if (mapping.pins.size > 0) {
      notify(state, op, mapping, tries);
      mapping = select(state, op, range)[0];
      continue;
    }
    if (into) report(state, op, mapping, range.iova, into);
    bytes += mapping.size;
    const gone = mapping;
    mapping = state.mappings.after(gone, range.iova + range.size);
    removeMapping(state, gone);
  }
  return bytes;
}

function firstPinned(mappings: readonly Mapping[]): Mapping | undefined {
  return mappings.find(({ pins }) => pins.size > 0);
}

interface Tries {
  last: Mapping | undefined;
  count: number;
}

/** Tells the devices that a mapping goes (dma_unmap); they must unpin it. EBUSY: they do not. */
function notify(state: Type1State, op: string, mapping: Mapping, tries: Tries): void {
  tries.count = tries.last === mapping ? tries.count + 1 : 0;
  tries.last = mapping;
  if (tries.count > TRIES) {
    const what = `${mapping.pins.size} pages of the mapping at ${hex(mapping.iova)}`;
    throw new IommuError('EBUSY', op, `${what} stay pinned; dmaUnmap must unpin them`);
  }
  for (const device of [...state.devices]) device.dmaUnmap?.(mapping.iova, mapping.size);
}
