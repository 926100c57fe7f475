import type { Domain } from '../iommu/domain.ts';
import { lengthOf, type Area } from './area.ts';
import type { Context } from './context.ts';
import { ADDRESS_MAX, gaps, type Interval } from './interval.ts';

/** A translation domain in which an IOAS keeps all of its areas mapped. */
export class IoasDomain {
  readonly domain: Domain;
  /** Bytes: what every IOVA, length and offset must be a multiple of. */
  readonly smallestLeaf: bigint;
  /** Bytes, ascending. */
  readonly leafSizes: readonly number[];
  /** IOVAs that it cannot translate. */
  readonly unreachable: readonly Interval[];
  readonly #context: Context;
  /** The largest leaves of at most a page, for an IOAS without huge pages. */
  readonly #pageLeaves: readonly number[];

  /** @param leafSizes Bytes, ascending: those that the domain may use. */
  constructor(context: Context, domain: Domain, leafSizes: readonly number[]) {
    this.#context = context;
    this.domain = domain;
    this.leafSizes = leafSizes;
    this.smallestLeaf = BigInt(leafSizes[0]);
    this.#pageLeaves = leafSizes.filter((size) => size <= Number(context.pageSize)).slice(-1);
    const reach = domain.inputRanges.map(({ first, last }) => ({ first: BigInt(first), last: BigInt(last) }));
    this.unreachable = [...gaps(reach, { first: 0n, last: ADDRESS_MAX })];
  }

  /**
   * Maps an area whose pages are pinned, frames that follow each other with the largest leaves that fit. Nothing is
   * changed where it throws.
   */
  map(op: string, area: Area, hugePages: boolean): void {
    // Without any access there is nothing that a table could say: a DMA faults either way.
    if (area.access === 0) return;
    let iova = area.first;
    try {
      for (const { pa, length } of area.pages.frames(area.start, lengthOf(area))) {
        this.#context.mayFail(op, 'driver', 'mapping into the domain');
        const leafSizes = hugePages ? {} : { leafSizes: this.#pageLeaves };
        this.domain.map({ iova, pa, length, access: area.access, ...leafSizes });
        iova += length;
      }
    } catch (error) {
      if (iova > area.first) this.domain.unmap(area.first, iova - area.first);
      throw error;
    }
  }

  unmap(area: Area): void {
    if (area.access !== 0) this.domain.unmap(area.first, lengthOf(area));
  }
}
