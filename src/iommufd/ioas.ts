import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import { AreaMap, isAligned, lengthOf, type Area } from './area.ts';
import type { Context } from './context.ts';
import { ADDRESS_MAX, gaps, inOrder, merged, overlap, type Interval } from './interval.ts';
import type { IoasDomain } from './ioas-domain.ts';
import type { IommufdObject } from './object-table.ts';
import type { Searched } from './placement.ts';

/** An access as its IOAS knows it. */
export interface AttachedAccess {
  /** Whether it pins pages, and so sees whole ones only. */
  readonly pinsPages: boolean;
  /** [iova, iova + length) is about to go: what it has pinned there must be unpinned on return. */
  unmapped(iova: bigint, length: bigint): void;
}

interface Reservation extends Interval {
  readonly owner: object;
}

/**
 * An I/O address space: areas of user memory, mapped into every domain that is on it, and the IOVAs that may not be
 * used (struct io_pagetable, drivers/iommu/iommufd/io_pagetable.c).
 */
export class Ioas implements IommufdObject {
  readonly kind = 'ioas';
  readonly id: number;
  users = 1;
  readonly context: Context;
  readonly areas = new AreaMap();
  /** Where automatic placement may take IOVAs from; empty: anywhere. */
  allowed: readonly Interval[] = [];
  /** The last search for an IOVA; forgotten whenever IOVAs become free. */
  searched: Searched | undefined;
  readonly #domains = new Set<IoasDomain>();
  readonly #accesses = new Set<AttachedAccess>();
  #reserved: Reservation[] = [];
  #alignment = 1n;
  #hugePages = true;

  constructor(context: Context, id: number) {
    this.context = context;
    this.id = id;
  }

  /** What every IOVA, length and page offset must be a multiple of: a power of two of at most PAGE_SIZE. */
  get alignment(): bigint {
    return this.#alignment;
  }

  get hugePages(): boolean {
    return this.#hugePages;
  }

  get domains(): ReadonlySet<IoasDomain> {
    return this.#domains;
  }

  get accesses(): ReadonlySet<AttachedAccess> {
    return this.#accesses;
  }

  /** Reserved intervals, merged, ascending. */
  get reserved(): Interval[] {
    return merged(this.#reserved);
  }

  /** What is not reserved, ascending. */
  get usable(): Interval[] {
    return [...gaps(this.reserved, { first: 0n, last: ADDRESS_MAX })];
  }

  /** What is reserved or taken by an area at `iova` and behind, ascending; overlaps where it does. */
  usedFrom(iova: bigint): Iterable<Interval> {
    return inOrder(this.areas.from(iova), this.reserved);
  }

  reservedIn(first: bigint, last: bigint): Interval | undefined {
    return this.#reserved.find((each) => overlap(each, { first, last }));
  }

  /** Sets where automatic placement may look. EADDRINUSE: a reserved IOVA; the list is as before then. */
  allow(op: string, allowed: readonly Interval[]): void {
    for (const { first, last } of allowed) {
      if (this.reservedIn(first, last)) {
        throw new IommuError(
          'EADDRINUSE',
          op,
          `${hex(first)} .. ${hex(last)} holds reserved IOVAs; see ioasIovaRanges`,
        );
      }
    }
    this.allowed = allowed;
    this.searched = undefined;
  }

  /** Reserves intervals for `owner`. EADDRINUSE: an area or an allowed range is there; nothing is reserved then. */
  reserve(op: string, owner: object, intervals: readonly Interval[]): void {
    for (const interval of intervals) {
      const area = this.areas.firstIn(interval.first, interval.last);
      const other = area ?? this.allowed.find((each) => overlap(each, interval));
      if (other) {
        const where = `${hex(interval.first)} .. ${hex(interval.last)}`;
        const what = `${area ? 'the area' : 'the allowed range'} at ${hex(other.first)}`;
        throw new IommuError('EADDRINUSE', op, `${where} is to be reserved, and ${what} is there`);
      }
    }
    if (intervals.length) this.context.mayFail(op, 'allocate', 'allocating a reserved range');
    this.#reserved.push(...intervals.map(({ first, last }) => ({ first, last, owner })));
  }

  release(owner: object): void {
    this.#reserved = this.#reserved.filter((each) => each.owner !== owner);
    this.searched = undefined;
  }

  /**
   * Puts a domain on it: all areas are pinned and mapped there. EINVAL: leaves larger than PAGE_SIZE; EADDRINUSE: an
   * area, or an allowed range, that it cannot have; EFAULT, ENOMEM. Nothing is changed where it throws.
   */
  addDomain(op: string, domain: IoasDomain): void {
    const alignment = domain.smallestLeaf > this.#alignment ? domain.smallestLeaf : this.#alignment;
    if (alignment > this.context.pageSize) {
      const leaf = `the domain's smallest leaf has ${alignment} bytes`;
      throw new IommuError(
        'EINVAL',
        op,
        `${leaf}; an IOAS takes domains with leaves of at most ${this.context.pageSize}`,
      );
    }
    this.#checkAlignment(op, alignment);
    this.reserve(op, domain, domain.unreachable);
    try {
      this.context.mayFail(op, 'allocate', 'adding the domain');
      this.#fill(op, [...this.areas], [domain]);
    } catch (error) {
      this.release(domain);
      throw error;
    }
    this.#domains.add(domain);
    this.#alignment = alignment;
  }

  removeDomain(domain: IoasDomain): void {
    this.#domains.delete(domain);
    for (const area of this.areas) {
      domain.unmap(area);
      if (this.#domains.size === 0) this.#unpin(area);
    }
    this.release(domain);
    this.#alignment = this.#alignmentWanted();
  }

  /** EADDRINUSE: an area that an access which pins pages cannot have. */
  addAccess(op: string, access: AttachedAccess): void {
    this.context.mayFail(op, 'allocate', 'adding the access');
    this.#accesses.add(access);
    try {
      this.#raiseAlignment(op);
    } catch (error) {
      this.#accesses.delete(access);
      throw error;
    }
  }

  removeAccess(access: AttachedAccess): void {
    this.#accesses.delete(access);
    this.#alignment = this.#alignmentWanted();
  }

  /**
   * Whether leaves larger than PAGE_SIZE may be used. Off: EINVAL where areas are mapped in domains already;
   * EADDRINUSE: an area that is no whole pages.
   */
  setHugePages(op: string, enable: boolean): void {
    if (enable) {
      this.#hugePages = true;
      this.#alignment = this.#alignmentWanted();
      return;
    }
    if (!this.#hugePages) return;
    if (this.#domains.size > 0 && this.areas.size > 0) {
      throw new IommuError('EINVAL', op, `IOAS ${this.id} has mapped areas, perhaps with huge pages; unmap them first`);
    }
    this.#hugePages = false;
    try {
      this.#raiseAlignment(op);
    } catch (error) {
      this.#hugePages = true;
      throw error;
    }
  }

  /** Takes new areas in: pinned and mapped into every domain. EFAULT, ENOMEM; nothing is changed where it throws. */
  insert(op: string, areas: readonly Area[]): void {
    this.#fill(op, areas, [...this.#domains]);
    for (const area of areas) this.areas.insert(area);
  }

  /** Takes an area out. No access has it pinned any more. */
  remove(area: Area): void {
    for (const domain of this.#domains) domain.unmap(area);
    this.#unpin(area);
    this.areas.remove(area);
    this.searched = undefined;
  }

  destroy(): void {
    for (const area of [...this.areas]) this.remove(area);
    if (this.context.compatIoas === this) this.context.compatIoas = undefined;
  }

  #fill(op: string, areas: readonly Area[], domains: readonly IoasDomain[]): void {
    const undo: (() => void)[] = [];
    try {
      for (const area of domains.length ? areas : []) {
        if (!area.pinned) {
          area.pages.pin(op, area.start, lengthOf(area));
          area.pinned = true;
          undo.push(() => this.#unpin(area));
        }
        for (const domain of domains) {
          domain.map(op, area, this.#hugePages);
          undo.push(() => domain.unmap(area));
        }
      }
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  #unpin(area: Area): void {
    if (!area.pinned) return;
    area.pages.unpin(area.start, lengthOf(area));
    area.pinned = false;
  }

  #alignmentWanted(): bigint {
    const least = [this.#hugePages ? 1n : this.context.pageSize];
    for (const { smallestLeaf } of this.#domains) least.push(smallestLeaf);
    for (const { pinsPages } of this.#accesses) if (pinsPages) least.push(this.context.pageSize);
    return least.reduce((a, b) => (a > b ? a : b));
  }

  #raiseAlignment(op: string): void {
    const wanted = this.#alignmentWanted();
    this.#checkAlignment(op, wanted);
    this.#alignment = wanted;
  }

  #checkAlignment(op: string, alignment: bigint): void {
    if (alignment <= this.#alignment) return;
    const area = [...this.areas].find((each) => !isAligned(each, alignment, this.context.pageSize));
    if (!area) return;
    const what = `the area ${hex(area.first)} .. ${hex(area.last)}`;
    throw new IommuError(
      'EADDRINUSE',
      op,
      `${what}, or its memory, is not aligned to ${alignment} bytes; unmap it first`,
    );
  }
}
