import { PAGE_SIZE } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import { BackingDomain } from './backing-domain.ts';
import type { BackedGroupOptions } from './group-options.ts';
import type { Type1Group } from './group.ts';
import { pinFrames } from './pin-frames.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';
import { removeMapping } from './unmap-dma.ts';
import { validRanges, type IovaSpan } from './valid-ranges.ts';

/**
 * Puts a group into a container whose IOMMU type is set (vfio_iommu_type1_attach_group). EBUSY: user addresses are invalid; EINVAL: an
 * aperture or a reserved region conflicts with what is mapped; and the errnos of mapping everything into a new domain. Nothing is
 * changed where it throws.
 */
export function attachGroup(state: Type1State, group: Type1Group, op: string): void {
  if (state.invalidVaddrs > 0) {
    throw new IommuError(
      'EBUSY',
      op,
      `${state.invalidVaddrs} mappings have an invalid vaddr; give them new ones first`,
    );
  }
  state.mayFail(op, 'allocate', 'the group');
  const { backed } = group;
  if (!backed) {
    state.emulatedGroups.add(group);
    return;
  }
  state.mayFail(op, 'driver', 'allocating a domain');
  const fresh = new BackingDomain(op, backed);
  try {
    enter(state, group, fresh, op, backed);
  } catch (error) {
    group.leaveDomain();
    fresh.domain.close();
    throw error;
  }
  if (group.backing !== fresh) fresh.domain.close();
  state.nonPinnedGroups++;
}

function enter(state: Type1State, group: Type1Group, fresh: BackingDomain, op: string, own: BackedGroupOptions): void {
  state.mayFail(op, 'driver', 'attaching');
  group.enterDomain(own, fresh.domain);
  const ranges = rangesWith([...state.domains, fresh], [...reservedBy(state), ...reservedOf(own)]);
  checkConflicts(state, fresh, own, op);
  state.mayFail(op, 'allocate', 'the list of valid ranges');
  if (ranges.length === 0)
    throw new IommuError('EINVAL', op, 'its aperture and reserved regions leave nothing that could be mapped');
  const shared = state.domains.find((each) => each.isCompatible(fresh));
  if (shared) {
    state.mayFail(op, 'driver', 'attaching');
    group.moveTo(shared.domain);
  } else {
    if (commonSizes([...state.domains, fresh]) === 0n) {
      throw new IommuError('EINVAL', op, 'its domain has no page size in common with the domains that are there');
    }
    replay(state, fresh, op);
    state.domains.push(fresh);
    setPageSizes(state);
  }
  const backing = shared ?? fresh;
  backing.groups.add(group);
  group.backing = backing;
  state.validRanges = ranges;
}

/** Takes a group out (vfio_iommu_type1_detach_group); what only its domain held goes with it. */
export function detachGroup(state: Type1State, group: Type1Group): void {
  if (state.emulatedGroups.delete(group)) {
    if (state.emulatedGroups.size === 0 && state.domains.length === 0) removeAll(state);
    return;
  }
  const { backing } = group;
  if (!backing) return;
  group.leaveDomain();
  backing.groups.delete(group);
  if (backing.groups.size === 0) dropDomain(state, backing);
  state.validRanges = rangesWith(state.domains, reservedBy(state));
  if (group.pinnedScope) return;
  state.nonPinnedGroups--;
  // What it has written since the last report is not known, and it can no longer be asked.
  if (state.tracking) for (const mapping of state.mappings.all) mapping.markAll();
}

function dropDomain(state: Type1State, backing: BackingDomain): void {
  if (state.domains.length === 1 && state.emulatedGroups.size === 0) removeAll(state);
  for (const mapping of state.mappings.all) if (mapping.frames) backing.unmap(mapping);
  state.domains.splice(state.domains.indexOf(backing), 1);
  if (state.domains.length === 0) for (const mapping of state.mappings.all) releaseFrames(state, mapping);
  backing.domain.close();
  setPageSizes(state);
}

/** Without a domain only what drivers have pinned stays pinned. */
function releaseFrames(state: Type1State, mapping: Mapping): void {
  if (!mapping.frames) return;
  state.space.unpin(mapping.frames);
  mapping.frames = undefined;
  state.unlock(mapping.pages - mapping.pins.size);
}

function removeAll(state: Type1State): void {
  for (const mapping of [...state.mappings.all]) removeMapping(state, mapping);
}

/** Maps what is there into a new domain, all or nothing; pins it where no domain has done so yet. */
function replay(state: Type1State, fresh: BackingDomain, op: string): void {
  const mapped: Mapping[] = [];
  const pinned: Mapping[] = [];
  try {
    for (const mapping of state.mappings.all) {
      if (!mapping.frames) {
        mapping.frames = pinFrames(state, mapping, op);
        pinned.push(mapping);
      }
      fresh.map(state, op, mapping, mapping.frames);
      mapped.push(mapping);
    }
  } catch (error) {
    for (const mapping of mapped) fresh.unmap(mapping);
    for (const mapping of pinned) releaseFrames(state, mapping);
    throw error;
  }
}

function checkConflicts(state: Type1State, fresh: BackingDomain, own: BackedGroupOptions, op: string): void {
  const [{ start }] = fresh.aperture;
  const { end } = fresh.aperture[fresh.aperture.length - 1];
  if (state.validRanges.length > 0) {
    const first = state.validRanges[0].start;
    const last = state.validRanges[state.validRanges.length - 1].end;
    const outside =
      (start > first && state.mappings.find(first, start - first)) ||
      (end < last && state.mappings.find(end + 1n, last - end));
    if (outside) {
      throw new IommuError('EINVAL', op, `its aperture, ${hex(start)} .. ${hex(end)}, leaves out what is mapped`);
    }
  }
  for (const region of reservedOf(own)) {
    const mapping = state.mappings.find(region.start, region.end - region.start + 1n);
    if (!mapping) continue;
    const where = `${hex(region.start)} .. ${hex(region.end)}`;
    throw new IommuError('EINVAL', op, `its reserved region ${where} overlaps the mapping at ${hex(mapping.iova)}`);
  }
}

function reservedOf({ reservedRegions = [] }: BackedGroupOptions): IovaSpan[] {
  return reservedRegions.map(({ first, last }) => ({ start: BigInt(first), end: BigInt(last) }));
}

function reservedBy(state: Type1State): IovaSpan[] {
  return state.domains.flatMap(({ groups }) => [...groups].flatMap(({ backed }) => (backed ? reservedOf(backed) : [])));
}

function rangesWith(domains: readonly BackingDomain[], reserved: readonly IovaSpan[]): IovaSpan[] {
  return validRanges(
    domains.map(({ aperture }) => aperture),
    reserved,
  );
}

/** Bit n = pages of 2^n bytes in all of `domains`, those below a page of 4 KiB counted as one. */
function commonSizes(domains: readonly BackingDomain[]): bigint {
  const all = 2n ** 64n - 1n;
  const common = domains.reduce((mask, { pageSizes }) => mask & pageSizes, all);
  const belowPage = PAGE_SIZE - 1n;
  return common & belowPage ? (common & ~belowPage) | PAGE_SIZE : common;
}

/** Takes over what the domains have in common; dirty bitmaps follow the smallest size. */
function setPageSizes(state: Type1State): void {
  const before = state.pageShift;
  state.pageSizes = commonSizes(state.domains);
  const by = state.pageShift - before;
  if (by === 0) return;
  for (const mapping of state.mappings.all) {
    const pages = Number(mapping.size >> BigInt(state.pageShift));
    mapping.bits = mapping.bits?.rescaled(pages, by);
  }
}
