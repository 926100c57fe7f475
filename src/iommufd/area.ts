import type { Interval } from './interval.ts';
import type { Pages } from './pages.ts';

/**
 * IOVAs `first` .. `last` that lead to a slice of user memory (struct iopt_area, drivers/iommu/iommufd/io_pagetable.h).
 */
export interface Area extends Interval {
  first: bigint;
  last: bigint;
  readonly pages: Pages;
  /** Byte of `pages` that `first` leads to. */
  readonly start: bigint;
  /** READ, WRITE, both, or 0. */
  readonly access: number;
  /** Whether its pages are pinned for the domains. */
  pinned: boolean;
  /** Pins by accesses. */
  accesses: number;
  /** Set while it is being unmapped: no access may pin it any more. */
  leaving: boolean;
}

export function lengthOf({ first, last }: Interval): bigint {
  return last - first + 1n;
}

/** Byte of the area's pages that `iova` leads to. */
export function startByte(area: Area, iova: bigint): bigint {
  return area.start + (iova - area.first);
}

/** Whether the area's IOVA, length and offset in its first page are multiples of `alignment`. */
export function isAligned(area: Area, alignment: bigint, pageSize: bigint): boolean {
  return (area.first | lengthOf(area) | (area.start % pageSize)) % alignment === 0n;
}

/** The areas of an IOAS: disjoint, ascending. */
export class AreaMap {
  readonly #areas: Area[] = [];

  /** Index of the first area that ends at `iova` or behind. */
  #indexFrom(iova: bigint): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#areas[middle].last < iova) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The first area that has an IOVA of `first` .. `last`. */
  firstIn(first: bigint, last: bigint): Area | undefined {
    const area = this.#areas[this.#indexFrom(first)];
    return area && area.first <= last ? area : undefined;
  }

  /** All areas that have an IOVA of `first` .. `last`, as they are at the time of the call. */
  allIn(first: bigint, last: bigint): Area[] {
    const found: Area[] = [];
    for (let i = this.#indexFrom(first); i < this.#areas.length && this.#areas[i].first <= last; i++) {
      found.push(this.#areas[i]);
    }
    return found;
  }

  /** Areas from the one at `first` on that follow each other without a hole, up to `last`. */
  contiguousIn(first: bigint, last: bigint): Area[] {
    const found: Area[] = [];
    for (const area of this.allIn(first, last)) {
      const next = found.length ? found.at(-1)!.last + 1n : first;
      if (area.first > next) break;
      found.push(area);
    }
    return found;
  }

  /** The areas that end at `iova` or behind, ascending. */
  *from(iova: bigint): Generator<Area, void, undefined> {
    for (let i = this.#indexFrom(iova); i < this.#areas.length; i++) yield this.#areas[i];
  }

  insert(area: Area): void {
    this.#areas.splice(this.#indexFrom(area.first), 0, area);
  }

  /** Takes an area out; one that is not in stays out. */
  remove(area: Area): void {
    const at = this.#indexFrom(area.first);
    if (this.#areas[at] === area) this.#areas.splice(at, 1);
  }

  get size(): number {
    return this.#areas.length;
  }

  [Symbol.iterator](): Iterator<Area> {
    return this.#areas.values();
  }
}
