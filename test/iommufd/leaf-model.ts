import type { FormatName } from '../../src/iommu/formats.ts';

/** Leaf sizes of the formats that the tests use, bytes, descending. */
const SIZES: Partial<Record<FormatName, readonly bigint[]>> = {
  vtdss: [2n ** 30n, 2n ** 21n, 2n ** 12n],
  amdv1: Array.from({ length: 40 }, (_, i) => 2n ** BigInt(51 - i)),
  mock2k: [2n ** 20n, 2n ** 11n],
};

interface Leaf {
  /** Which run it is of. */
  readonly run: number;
  readonly first: bigint;
  readonly last: bigint;
  dirty: boolean;
}

/** A run of frames: one area, or a part of it. */
export interface MappedRun {
  readonly iova: bigint;
  readonly pa: bigint;
  readonly length: bigint;
}

/** The leaves of an HWPT and which are dirty, one object per leaf: what GET_DIRTY_BITMAP must agree with. */
export class LeafModel {
  readonly leaves: Leaf[] = [];

  constructor(format: FormatName, runs: readonly MappedRun[]) {
    for (const [run, { iova, pa, length }] of runs.entries()) {
      for (let at = 0n; at < length;) {
        const size = SIZES[format]!.find(
          (each) => (iova + at) % each === 0n && (pa + at) % each === 0n && at + each <= length,
        )!;
        this.leaves.push({ run, first: iova + at, last: iova + at + size - 1n, dirty: false });
        at += size;
      }
    }
  }

  write(first: bigint, last: bigint): void {
    for (const leaf of this.leaves) if (leaf.first <= last && leaf.last >= first) leaf.dirty = true;
  }

  /** Sets bits in `into` from byte `offset` on, as the strict profile does. */
  query(first: bigint, last: bigint, shift: bigint, into: Uint8Array, offset: number, clear: boolean): void {
    for (const leaf of this.leaves) {
      if (!leaf.dirty || leaf.first > last || leaf.last < first) continue;
      const from = leaf.first > first ? leaf.first : first;
      const to = leaf.last < last ? leaf.last : last;
      const end = Number((to - first) >> shift);
      for (let bit = Number((from - first) >> shift); bit <= end; bit++) into[offset + (bit >> 3)] |= 1 << (bit & 7);
      if (clear && leaf.first >= first && leaf.last <= last) leaf.dirty = false;
    }
  }

  /**
   * The same as Linux drivers do it: in each area the cursor starts where the query does, and goes on by whole leaves.
   * `into` is user memory from a page's start on: records end with the pages that are pinned for the bitmap at the
   * first of them.
   */
  linuxQuery(first: bigint, last: bigint, shift: bigint, into: Uint8Array, offset: number, clear: boolean): void {
    const bytes = Number(((last - first) >> shift) / 8n) + 1;
    let limit: number | undefined;
    const at = (iova: bigint) => this.leaves.find((leaf) => leaf.first <= iova && iova <= leaf.last);
    const areas = [...new Set(this.leaves.map(({ run }) => run))].map((run) =>
      this.leaves.filter((leaf) => leaf.run === run),
    );
    for (const area of areas) {
      const [from, to] = [area[0].first, area.at(-1)!.last];
      const end = to < last ? to : last;
      for (let cursor = from > first ? from : first; cursor <= end;) {
        const leaf = at(cursor)!;
        const size = leaf.last - leaf.first + 1n;
        if (leaf.dirty) {
          let bit = Number((cursor - first) >> shift);
          const base = bit >> 3;
          limit ??=
            base -
            ((offset + base) % 4096) +
            4096 * (Math.ceil((bytes - base) / 4096) + ((offset + base) % 4096 ? 1 : 0));
          for (; bit <= Number((cursor + size - 1n - first) >> shift); bit++) {
            if (bit >> 3 < limit && offset + (bit >> 3) < into.length) into[offset + (bit >> 3)] |= 1 << (bit & 7);
          }
          if (clear) leaf.dirty = false;
        }
        cursor += size;
      }
    }
  }
}
