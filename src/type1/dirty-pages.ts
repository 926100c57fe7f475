import { IommuError } from '../errno/error.ts';
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  type VfioIommuType1DirtyBitmapGet,
} from '../uapi/type1.ts';
import type { StructOf } from '../uapi/struct.ts';
import { hex } from '../wasm/address.ts';
import { checkBitmapPageSize, checkBitmapRequest, type BitmapRequest } from './bitmap-request.ts';
import { orInto, overwrite } from './copy-out.ts';
import { DirtyBits } from './dirty-bits.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';

/** What GET_BITMAP asks for. */
export type DirtyRange = StructOf<typeof VfioIommuType1DirtyBitmapGet>;

/** Most pages of one mapping that can be tracked (INT_MAX): 8 TiB at 4 KiB. */
const TRACKED_PAGES_MAX = 2 ** 31 - 1;
const TOP = 1n << 64n;

/** Version 1 has no dirty pages and no pins. EACCES. */
export function requireVersion2(state: Type1State, op: string): void {
  if (state.v2) return;
  throw new IommuError('EACCES', op, 'the container is of version 1 (VFIO_TYPE1_IOMMU); set VFIO_TYPE1v2_IOMMU');
}

/** VFIO_IOMMU_DIRTY_PAGES; `range` reads what follows the flags, where they ask for it. */
export function dirtyPages(state: Type1State, op: string, flags: number, range: () => DirtyRange): void {
  requireVersion2(state, op);
  switch (flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      start(state, op);
      break;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      for (const mapping of state.mappings.all) mapping.bits = undefined;
      state.tracking = false;
      break;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
      getBitmap(state, op, range());
      break;
    default:
      throw new IommuError('EINVAL', op, `flags is ${hex(flags)}; it must be one of START 1, STOP 2, GET_BITMAP 4`);
  }
}

function start(state: Type1State, op: string): void {
  if (state.tracking) return;
  // All or nothing: nothing is kept before the last allocation has succeeded.
  const bits = state.mappings.all.map((mapping) => allocateBits(state, op, mapping));
  state.mappings.all.forEach((mapping, i) => {
    mapping.bits = bits[i];
    mapping.markPinned(state.pageShift);
  });
  state.tracking = true;
}

/** A clean bitmap for a mapping. EINVAL: it has too many pages; ENOMEM. */
export function allocateBits(state: Type1State, op: string, mapping: Mapping): DirtyBits {
  const pages = mapping.size / state.pageSize;
  if (pages > TRACKED_PAGES_MAX) {
    const where = `the mapping at ${hex(mapping.iova)}`;
    throw new IommuError('EINVAL', op, `${where} has ${pages} pages; at most ${TRACKED_PAGES_MAX} can be tracked`);
  }
  state.mayFail(op, 'allocate', 'the dirty bitmap');
  return new DirtyBits(Number(pages));
}

function getBitmap(state: Type1State, op: string, { iova, size, bitmap }: DirtyRange): void {
  checkWrap(state, op, iova, size);
  checkBitmapRequest(op, size, bitmap);
  checkBitmapPageSize(op, bitmap, state.pageSize);
  for (const [name, value] of Object.entries({ iova, size })) {
    if (value % state.pageSize === 0n) continue;
    throw new IommuError('EINVAL', op, `${name} is ${hex(value)}; it must be a multiple of ${state.pageSize}`);
  }
  if (!state.tracking) throw new IommuError('EINVAL', op, 'dirty tracking is off; START it first');
  checkWhole(state, op, iova, size);
  const mappings = state.mappings.beginningIn(iova, size);
  if (state.quirk('fault while a bitmap is copied out')) {
    for (const mapping of mappings) {
      report(state, op, mapping, iova, bitmap);
      reseed(state, mapping);
    }
    return;
  }
  for (const mapping of mappings) report(state, op, mapping, iova, bitmap);
  for (const mapping of mappings) reseed(state, mapping);
}

function checkWrap(state: Type1State, op: string, iova: bigint, size: bigint): void {
  if (state.next && size === 0n) throw new IommuError('EINVAL', op, 'size is 0; it must be at least one page');
  const exact = state.quirk('top of the address space') ? TOP - 1n : TOP;
  if (iova + size <= exact) return;
  const message = `iova ${hex(iova)} + size ${hex(size)} ends beyond ${exact === TOP ? '2^64' : '2^64 - 1'}`;
  throw new IommuError(state.next ? 'EOVERFLOW' : 'EINVAL', op, message);
}

/** A mapping that begins before [iova, iova + size), or ends behind it, is in the way. EINVAL. */
export function checkWhole(state: Type1State, op: string, iova: bigint, size: bigint): void {
  const first = state.mappings.find(iova, 1n);
  const last = state.mappings.find(iova + size - 1n, 1n);
  const cut = first && first.iova !== iova ? first : last && last.end !== iova + size ? last : undefined;
  if (!cut) return;
  const where = `${hex(cut.iova)} .. ${hex(cut.end - 1n)}`;
  throw new IommuError('EINVAL', op, `iova ${hex(iova)} + ${hex(size)} cuts the mapping ${where}; take all of it`);
}

/**
 * Writes the dirty pages of a mapping to a user's bitmap that begins at `base` (update_user_bitmap). All of it is dirty where a group may
 * write anywhere and the mapping is in a domain. EFAULT.
 */
export function report(state: Type1State, op: string, mapping: Mapping, base: bigint, bitmap: BitmapRequest): void {
  const { bits } = mapping;
  if (!bits) return;
  const at = Number((mapping.iova - base) >> BigInt(state.pageShift));
  const all = state.nonPinnedGroups > 0 && mapping.frames !== undefined;
  let ok: boolean;
  if (state.quirk('words of the user bitmap')) {
    if (all) mapping.markAll();
    ok = overwrite(state.space, bitmap.data, at, bits, bits.pages);
  } else ok = orInto(state.space, bitmap.data, at, all ? 'all' : bits, bits.pages);
  if (ok) return;
  const where = `the bits of ${hex(mapping.iova)} .. ${hex(mapping.end - 1n)}`;
  throw new IommuError('EFAULT', op, `bitmap.data cannot be read and written for ${where}`);
}

/** What is pinned now may be written at any time, so it is in the next report again. */
function reseed(state: Type1State, mapping: Mapping): void {
  mapping.bits?.clear();
  mapping.markPinned(state.pageShift);
}
