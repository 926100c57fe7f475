import { IommuError } from '../errno/error.ts';
import { WRITE } from '../iommu/access.ts';
import { hex } from '../wasm/address.ts';
import { isAligned, lengthOf, startByte, type Area } from './area.ts';
import type { Ioas } from './ioas.ts';
import { ADDRESS_MAX } from './interval.ts';
import { Pages } from './pages.ts';
import { placeIova } from './placement.ts';

/** A slice of pages. */
export interface Slice {
  readonly pages: Pages;
  /** First byte. */
  readonly start: bigint;
  readonly length: bigint;
}

/** What IOAS_MAP and IOAS_COPY have in common. */
export interface MapRequest {
  readonly ioas: Ioas;
  /** READ, WRITE, both, or 0. */
  readonly access: number;
  /** Undefined: to be found. */
  readonly iova: bigint | undefined;
}

/** The pages that hold [va, va + length), as MAP makes them. EINVAL: the length; EOVERFLOW: beyond 2^64. */
export function userPages(op: string, ioas: Ioas, va: bigint, length: bigint, access: number): Slice {
  const { pageSize } = ioas.context;
  if (length === 0n || length > ADDRESS_MAX - pageSize) {
    throw new IommuError('EINVAL', op, `length is ${hex(length)}; it must be from 1 to 2^64 - 1 - ${pageSize}`);
  }
  if (va + length > ADDRESS_MAX) {
    throw new IommuError('EOVERFLOW', op, `user memory [${hex(va)}, + ${hex(length)}) ends beyond 2^64`);
  }
  ioas.context.mayFail(op, 'allocate', 'allocating pages');
  const start = va % pageSize;
  return { pages: new Pages(ioas.context, va - start, (access & WRITE) !== 0), start, length };
}

/** The slices behind `first` .. `last`. ENOENT: not all of it is mapped. */
export function slicesOf(op: string, ioas: Ioas, first: bigint, last: bigint): Slice[] {
  const areas = ioas.areas.contiguousIn(first, last);
  const end = areas.at(-1)?.last;
  if (end === undefined || end < last) {
    const hole = end === undefined ? first : end + 1n;
    throw new IommuError('ENOENT', op, `nothing is mapped at ${hex(hole)} of IOAS ${ioas.id}`);
  }
  ioas.context.mayFail(op, 'allocate', 'listing the source');
  return areas.map((area) => {
    const from = area.first > first ? area.first : first;
    const to = area.last < last ? area.last : last;
    return { pages: area.pages, start: startByte(area, from), length: to - from + 1n };
  });
}

/**
 * Maps slices, one behind the other: returns the IOVA. EINVAL: not aligned, or a reserved IOVA; EOVERFLOW; EEXIST:
 * something is mapped there; ENOSPC; EPERM: pages that were not mapped for writing; EFAULT, ENOMEM. Nothing is changed
 * where it throws.
 */
export function mapSlices(op: string, request: MapRequest, slices: readonly Slice[]): bigint {
  const { ioas, access } = request;
  const length = slices.reduce((sum, slice) => sum + slice.length, 0n);
  ioas.context.mayFail(op, 'allocate', 'allocating areas');
  if (length % ioas.alignment !== 0n) {
    throw new IommuError('EINVAL', op, `length is ${hex(length)}; it must be a multiple of ${ioas.alignment}`);
  }
  const iova = request.iova === undefined ? place(op, ioas, slices[0], length) : fixed(op, ioas, request.iova, length);
  let next = iova;
  const areas = slices.map(({ pages, start, length }) => {
    const area = { first: next, last: next + length - 1n, pages, start, access };
    next += length;
    return checkSlice(op, ioas, { ...area, pinned: false, accesses: 0, leaving: false });
  });
  ioas.insert(op, areas);
  return iova;
}

function place(op: string, ioas: Ioas, { pages, start }: Slice, length: bigint): bigint {
  const { alignment, allowed, searched, context } = ioas;
  ioas.searched = placeIova(op, {
    address: pages.va + start,
    length,
    alignment,
    allowed,
    usedFrom: (iova) => ioas.usedFrom(iova),
    searched,
    pageSize: context.pageSize,
  });
  return ioas.searched.from;
}

function fixed(op: string, ioas: Ioas, iova: bigint, length: bigint): bigint {
  if (iova % ioas.alignment !== 0n) {
    throw new IommuError('EINVAL', op, `iova is ${hex(iova)}; it must be a multiple of ${ioas.alignment}`);
  }
  const last = iova + length - 1n;
  const range = `[${hex(iova)}, + ${hex(length)})`;
  if (last > ADDRESS_MAX) throw new IommuError('EOVERFLOW', op, `iova ${range} ends beyond 2^64`);
  if (ioas.reservedIn(iova, last)) {
    throw new IommuError('EINVAL', op, `iova ${range} holds reserved IOVAs; see ioasIovaRanges`);
  }
  const area = ioas.areas.firstIn(iova, last);
  if (area)
    throw new IommuError('EEXIST', op, `iova ${range}: ${hex(area.first)} .. ${hex(area.last)} is mapped already`);
  return iova;
}

function checkSlice(op: string, { alignment, context }: Ioas, area: Area): Area {
  if (area.access & WRITE && !area.pages.writable) {
    throw new IommuError('EPERM', op, `the memory at ${hex(area.pages.va)} was mapped without WRITEABLE`);
  }
  const offset = area.start % context.pageSize;
  if (offset % alignment !== 0n) {
    const what = `the memory begins ${hex(offset)} bytes into a page`;
    throw new IommuError('EINVAL', op, `${what}; that must be a multiple of ${alignment}`);
  }
  return area;
}

/** Rounds of asking accesses to unpin, before UNMAP gives up. */
const UNPIN_ROUNDS = 100;

/** Has all accesses unpin an area. EDEADLOCK: one does not. */
function evict(op: string, ioas: Ioas, area: Area): void {
  area.leaving = true;
  for (let round = 0; area.accesses > 0; round++) {
    if (round > UNPIN_ROUNDS) {
      const what = `${area.accesses} pins of ${hex(area.first)} .. ${hex(area.last)}`;
      throw new IommuError('EDEADLOCK', op, `${what} are left by accesses whose unmap callback must unpin them`);
    }
    for (const access of [...ioas.accesses]) access.unmapped(area.first, lengthOf(area));
  }
}

function refuseCut(op: string, { first, last }: Area): never {
  const message = `the area ${hex(first)} .. ${hex(last)} reaches beyond the range; areas are unmapped whole`;
  throw new IommuError('ENOENT', op, message);
}

/** What an unmap has removed, also where it throws. */
export interface Removed {
  bytes: bigint;
}

/**
 * Unmaps the areas within `first` .. `last`, holes allowed; returns their bytes. ENOENT: an area reaches beyond;
 * EDEADLOCK: an access does not unpin. Strict: nothing is changed then; linux-6.12: what comes before is gone.
 */
export function unmapRange(
  op: string,
  ioas: Ioas,
  first: bigint,
  last: bigint,
  removed: Removed = { bytes: 0n },
): bigint {
  const sticksOut = (area: Area) => area.first < first || area.last > last;
  const areas = ioas.areas.allIn(first, last);
  const drop = (area: Area) => {
    ioas.remove(area);
    removed.bytes += lengthOf(area);
  };
  if (!ioas.context.strict) {
    for (const area of areas) {
      if (sticksOut(area)) refuseCut(op, area);
      evict(op, ioas, area);
      drop(area);
    }
    return removed.bytes;
  }
  const outside = areas.find(sticksOut);
  if (outside) refuseCut(op, outside);
  try {
    for (const area of areas) evict(op, ioas, area);
  } catch (error) {
    for (const area of areas) area.leaving = false;
    throw error;
  }
  areas.forEach(drop);
  return removed.bytes;
}

/** Why an area cannot be cut before `next`; undefined: it can. */
function uncuttable(ioas: Ioas, area: Area, next: bigint): string | undefined {
  const right = { ...area, first: next, start: startByte(area, next) };
  if (!isAligned(right, ioas.alignment, ioas.context.pageSize)) return `not aligned to ${ioas.alignment}`;
  if (area.accesses > 0) return 'pinned by an access';
  return ioas.domains.size > 0 && ioas.hugePages ? 'mapped in a domain, perhaps with huge pages' : undefined;
}

function cut(op: string, ioas: Ioas, area: Area, next: bigint): void {
  ioas.areas.remove(area);
  const halves = [
    { ...area, last: next - 1n },
    { ...area, first: next, start: startByte(area, next) },
  ];
  for (const half of halves) {
    // Pinned once more before the whole is unpinned: a page that both halves share keeps a pin for each.
    if (area.pinned) half.pages.pin(op, half.start, lengthOf(half));
    ioas.areas.insert(half);
  }
  if (area.pinned) area.pages.unpin(area.start, lengthOf(area));
}

/**
 * Splits the areas that hold both `iova` and `iova + 1` between the two, for each of `iovas`, as type1 version 1 does
 * to unmap a part. EBUSY: it is being unmapped; EINVAL: not aligned, pinned by an access, or mapped with huge pages.
 * Nothing is changed where it throws.
 */
export function cutBehind(op: string, ioas: Ioas, iovas: readonly bigint[]): void {
  const found = (iova: bigint) => {
    const area = ioas.areas.firstIn(iova, iova);
    return area && iova !== area.last ? area : undefined;
  };
  for (const iova of iovas) {
    const area = found(iova);
    if (!area) continue;
    if (area.leaving) throw new IommuError('EBUSY', op, `the area at ${hex(area.first)} is being unmapped`);
    const reason = uncuttable(ioas, area, iova + 1n);
    if (reason) throw new IommuError('EINVAL', op, `the area cannot be cut at ${hex(iova + 1n)}: it is ${reason}`);
    ioas.context.mayFail(op, 'allocate', 'allocating areas');
  }
  for (const iova of iovas) {
    const area = found(iova);
    if (area) cut(op, ioas, area, iova + 1n);
  }
}
