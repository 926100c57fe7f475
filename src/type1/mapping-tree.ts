import type { Mapping } from './mapping.ts';

const TOP = 1n << 64n;

/**
 * The mappings of a container in ascending order. With `lostTop` a mapping that ends at 2^64 is found by no look-up, and one up to 2^64
 * finds nothing, as in Linux 6.12, where ends are exclusive and wrap to 0 there.
 */
export class MappingTree {
  readonly #list: Mapping[] = [];
  readonly #lostTop: boolean;

  constructor(lostTop: boolean) {
    this.#lostTop = lostTop;
  }

  /** Ascending. */
  get all(): readonly Mapping[] {
    return this.#list;
  }

  insert(mapping: Mapping): void {
    this.#list.splice(this.#firstFrom(mapping.iova), 0, mapping);
  }

  remove(mapping: Mapping): void {
    this.#list.splice(this.#list.indexOf(mapping, this.#firstFrom(mapping.iova)), 1);
  }

  /** A mapping that holds a byte of [start, start + size), the first one. */
  find(start: bigint, size: bigint): Mapping | undefined {
    return this.from(start, size)[0];
  }

  /** The first mapping that a look-up of [start, start + size) finds, and all behind it that begin in there. */
  from(start: bigint, size: bigint): readonly Mapping[] {
    if (this.#lostTop && start + size >= TOP) return [];
    let at = this.#firstFrom(start);
    if (at > 0 && this.#finds(this.#list[at - 1]) && this.#list[at - 1].end > start) at--;
    const end = this.#firstFrom(start + size);
    while (at < end && !this.#finds(this.#list[at])) at++;
    return this.#list.slice(at, end);
  }

  /** All mappings that begin in [start, start + size), ascending, whether look-ups find them or not. */
  beginningIn(start: bigint, size: bigint): readonly Mapping[] {
    return this.#list.slice(this.#firstFrom(start), this.#firstFrom(start + size));
  }

  /** The mapping behind `mapping`, if it begins below `bound`. */
  after(mapping: Mapping, bound: bigint): Mapping | undefined {
    const next = this.#list.at(this.#list.indexOf(mapping, this.#firstFrom(mapping.iova)) + 1);
    return next && next.iova < bound ? next : undefined;
  }

  #finds(mapping: Mapping): boolean {
    return !this.#lostTop || mapping.end < TOP;
  }

  /** How many mappings begin below `iova`: the index of the first one that does not. */
  #firstFrom(iova: bigint): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#list[middle].iova < iova) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
