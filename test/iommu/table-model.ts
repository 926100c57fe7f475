import type { TableShape } from './table-shape.ts';

export const READ = 1;
export const WRITE = 2;

/** A leaf as the model keeps it. */
export interface Leaf {
  readonly iova: number;
  readonly pa: number;
  readonly size: number;
  readonly access: number;
  dirty: boolean;
}

/**
 * Page tables as a plain list of leaves; which tables those need is counted from the leaves' addresses. Addresses are numbers
 * below 2^48. Shares nothing with the code under test but the sizes of a format.
 */
export class TableModel {
  readonly shape: TableShape;
  readonly tracked: boolean;
  readonly last: number;
  readonly rootLevel: number;
  readonly rootBytes: number;
  /** Ascending. */
  leaves: Leaf[] = [];

  constructor(shape: TableShape, inputBits: number, tracked: boolean) {
    this.shape = shape;
    this.tracked = tracked;
    this.last = 2 ** inputBits - 1;
    let level = 0;
    while (this.#span(level + 1) < 2 ** inputBits) level++;
    this.rootLevel = level;
    this.rootBytes = Math.max(2048, (8 * 2 ** inputBits) / this.#span(level));
  }

  /** Bytes that an entry of `level` covers. */
  #span(level: number): number {
    return this.shape.granule * this.shape.entries ** level;
  }

  at(iova: number): Leaf | undefined {
    let low = 0;
    let high = this.leaves.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const leaf = this.leaves[middle];
      if (leaf.iova + leaf.size <= iova) low = middle + 1;
      else high = middle;
    }
    const leaf = this.leaves[low];
    return leaf && leaf.iova <= iova ? leaf : undefined;
  }

  /** Maps as `domain.map` does; the errno's name, or 'none'. */
  map(iova: number, pa: number, length: number, access: number, sizes: readonly number[]): string {
    const smallest = Math.min(...sizes);
    if (iova % smallest || pa % smallest || length % smallest) return 'EINVAL';
    if (iova + length - 1 > this.last) return 'ERANGE';
    if (this.leaves.some((leaf) => leaf.iova < iova + length && leaf.iova + leaf.size > iova)) return 'EADDRINUSE';
    const rights = this.shape.writeMeansRead && access & WRITE ? READ | WRITE : access;
    const dirty = this.tracked && this.shape.startsDirty && (access & WRITE) !== 0;
    const descending = [...sizes].sort((a, b) => b - a);
    for (let done = 0; done < length;) {
      const fits = (size: number) => (iova + done) % size === 0 && (pa + done) % size === 0 && done + size <= length;
      const size = descending.find(fits)!;
      this.leaves.push({ iova: iova + done, pa: pa + done, size, access: rights, dirty });
      done += size;
    }
    this.leaves.sort((a, b) => a.iova - b.iova);
    return 'none';
  }

  /** Unmaps as `domain.unmap` does; bytes, or the errno's name. */
  unmap(iova: number, length: number): number | string {
    if (iova + length - 1 > this.last) return 'ERANGE';
    const start = this.at(iova);
    if (start && start.iova !== iova) return 'EINVAL';
    let end = iova;
    for (let leaf = start; leaf && end < iova + length; leaf = this.at(end)) end += leaf.size;
    this.leaves = this.leaves.filter((leaf) => leaf.iova < iova || leaf.iova >= end);
    return end - iova;
  }

  /** One access by DMA: the extents of output addresses, and the fault that ended it. */
  access(iova: number, length: number, access: number): { extents: [number, number][]; fault?: [string, number] } {
    const extents: [number, number][] = [];
    for (let at = iova; at < iova + length;) {
      const end = Math.min(at - (at % 4096) + 4096, iova + length);
      if (at > this.last) return { extents, fault: ['address-size', at] };
      const leaf = this.at(at);
      if (!leaf) return { extents, fault: ['translation', at] };
      if ((leaf.access & access) !== access) return { extents, fault: ['permission', at] };
      if (access & WRITE && this.tracked) leaf.dirty = true;
      const pa = leaf.pa + (at - leaf.iova);
      const before = extents[extents.length - 1];
      if (before && before[0] + before[1] === pa) before[1] += end - at;
      else extents.push([pa, end - at]);
      at = end;
    }
    return { extents };
  }

  /** Reads (and clears) the dirty state of a range: runs of pages of `pageSize`, counted from 0. */
  readDirty(iova: number, length: number, pageSize: number, clear: boolean): { page: number; pages: number }[] {
    const runs: { page: number; pages: number }[] = [];
    for (const leaf of this.leaves) {
      const from = Math.max(leaf.iova, iova);
      const to = Math.min(leaf.iova + leaf.size, iova + length);
      if (!leaf.dirty || from >= to) continue;
      const page = Math.floor(from / pageSize);
      const end = Math.ceil(to / pageSize);
      const before = runs[runs.length - 1];
      if (before && before.page + before.pages >= page) before.pages = end - before.page;
      else runs.push({ page, pages: end - page });
      if (clear && leaf.iova >= iova && leaf.iova + leaf.size <= iova + length) leaf.dirty = false;
    }
    return runs;
  }

  /** What `domain.usage` says. */
  get usage(): { tables: number; tableBytes: number; mappedBytes: number } {
    const tables = new Set<string>();
    for (const { iova, size } of this.leaves) {
      let level = 0;
      while (this.#span(level + 1) <= size) level++;
      for (; level < this.rootLevel; level++) tables.add(`${level} ${Math.floor(iova / this.#span(level + 1))}`);
    }
    return {
      tables: tables.size + 1,
      tableBytes: tables.size * this.shape.entries * 8 + this.rootBytes,
      mappedBytes: this.leaves.reduce((sum, leaf) => sum + leaf.size, 0),
    };
  }
}
