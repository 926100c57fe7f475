import { PAGE_SIZE } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import { requireVersion2 } from './dirty-pages.ts';
import type { Type1Group } from './group.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';

/** Pages to pin or unpin. */
export interface PinRange {
  /** A multiple of 4096. */
  readonly iova: bigint;
  /** Pages of 4 KiB, 1 to 512. */
  readonly pages: number;
}

/** Most pages of one call (VFIO_PIN_PAGES_MAX_ENTRIES). */
const PAGES_MAX = 512;
const WRITE = 2;

/**
 * Pins pages for a device's driver (vfio_iommu_type1_pin_pages) and returns their frames' physical addresses. They are dirty from then on,
 * and in every report until they are unpinned. All or nothing; errnos as Type1Device.pinPages says.
 */
export function pinPages(state: Type1State, group: Type1Group, op: string, range: PinRange, access: number): bigint[] {
  checkRange(op, range);
  requireVersion2(state, op);
  if (state.invalidVaddrs > 0) {
    throw new IommuError(
      'EBUSY',
      op,
      `${state.invalidVaddrs} mappings have an invalid vaddr; give them new ones first`,
    );
  }
  const pinned: PinnedHere[] = [];
  try {
    for (let i = 0; i < range.pages; i++) pinned.push(pinPage(state, op, range.iova + BigInt(i) * PAGE_SIZE, access));
  } catch (error) {
    for (const { mapping, page } of pinned) unpinPage(state, mapping, page);
    throw error;
  }
  if (!state.quirk('bits of a failed pin')) for (const page of pinned) if (page.fresh) mark(state, page);
  promote(state, group);
  return pinned.map(({ mapping, page }) => mapping.pins.get(page)!.frame.pa);
}

/**
 * Undoes one pin of each page (vfio_iommu_type1_unpin_pages). EINVAL: one is not pinned, and then none is unpinned.
 */
export function unpinPages(state: Type1State, op: string, range: PinRange): void {
  checkRange(op, range);
  requireVersion2(state, op);
  const lax = state.quirk('unpinning what is not pinned');
  const pinned: [Mapping, number][] = [];
  for (let i = 0; i < range.pages; i++) {
    const iova = range.iova + BigInt(i) * PAGE_SIZE;
    const mapping = state.mappings.find(iova, PAGE_SIZE);
    if (!mapping && lax) break;
    const page = mapping ? pageOf(mapping, iova) : 0;
    if (mapping?.pins.has(page)) pinned.push([mapping, page]);
    else if (!lax) throw new IommuError('EINVAL', op, `the page at ${hex(iova)} is not pinned`);
  }
  for (const [mapping, page] of pinned) unpinPage(state, mapping, page);
}

/** A page that a call has pinned; `fresh`: it was not pinned before. */
interface PinnedHere {
  readonly mapping: Mapping;
  readonly page: number;
  readonly fresh: boolean;
}

function checkRange(op: string, { iova, pages }: PinRange): void {
  if (!Number.isInteger(pages) || pages < 1) {
    throw new IommuError('EINVAL', op, `pages is ${pages}; it must be an integer from 1 to ${PAGES_MAX}`);
  }
  if (iova % PAGE_SIZE !== 0n)
    throw new IommuError('EINVAL', op, `iova is ${hex(iova)}; it must be a multiple of 4096`);
  if (pages > PAGES_MAX) throw new IommuError('E2BIG', op, `pages is ${pages}; at most ${PAGES_MAX} go in one call`);
}

function pageOf(mapping: Mapping, iova: bigint): number {
  return Number((iova - mapping.iova) / PAGE_SIZE);
}

function pinPage(state: Type1State, op: string, iova: bigint, access: number): PinnedHere {
  const mapping = state.mappings.find(iova, PAGE_SIZE);
  if (!mapping) throw new IommuError('EINVAL', op, `nothing is mapped at ${hex(iova)}`);
  if (access & ~mapping.access) {
    throw new IommuError('EPERM', op, `access is ${access}; the mapping at ${hex(mapping.iova)} has ${mapping.access}`);
  }
  const page = pageOf(mapping, iova);
  const known = mapping.pins.get(page);
  if (known) {
    known.count++;
    return { mapping, page, fresh: false };
  }
  state.mayFail(op, 'pin', `pinning ${hex(iova)}`);
  const frames = state.space.pin(mapping.vaddr + (iova - mapping.iova), PAGE_SIZE, (mapping.access & WRITE) !== 0);
  if (!frames) throw new IommuError('EFAULT', op, `the user page behind ${hex(iova)} is missing or read-only`);
  try {
    // What is mapped into a domain is locked, and accounted for, already.
    if (!mapping.frames) state.lock(op, 1);
  } catch (error) {
    state.space.unpin(frames);
    throw error;
  }
  mapping.pins.set(page, { frame: frames[0], count: 1 });
  const here = { mapping, page, fresh: true };
  try {
    state.mayFail(op, 'allocate', `the record of ${hex(iova)}`);
  } catch (error) {
    unpinPage(state, mapping, page);
    throw error;
  }
  if (state.quirk('bits of a failed pin')) mark(state, here);
  return here;
}

function mark(state: Type1State, { mapping, page }: PinnedHere): void {
  mapping.bits?.mark(Math.floor((page * Number(PAGE_SIZE)) / 2 ** state.pageShift), 1);
}

function unpinPage(state: Type1State, mapping: Mapping, page: number): void {
  const pinned = mapping.pins.get(page)!;
  if (--pinned.count > 0) return;
  mapping.pins.delete(page);
  state.space.unpin([pinned.frame]);
  if (!mapping.frames) state.unlock(1);
}

/** A group that pins what it writes has told where its DMA goes, for good. */
function promote(state: Type1State, group: Type1Group): void {
  if (group.pinnedScope) return;
  group.pinnedScope = true;
  state.nonPinnedGroups--;
  if (!state.tracking || state.quirk('DMA before the first pin')) return;
  for (const mapping of state.mappings.all) if (mapping.frames) mapping.markAll();
}
