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

/** A domain of the model. */
export interface ModelOptions {
  readonly shape: TableShape;
  readonly inputBits: number;
  readonly signed: boolean;
  readonly tracked: boolean;
  /** Whether the sizes that are a hint may be used. */
  readonly contiguous: boolean;
}

/**
 * Page tables as a plain list of leaves; which tables those need is counted from the leaves' addresses. Addresses are numbers
 * below 2^48, counted from 0 on where they index the tables: the upper half of sign-extended ones follows the lower half.
 * Shares nothing with the code under test but the sizes of a format.
 */
export class TableModel {
  readonly shape: TableShape;
  readonly tracked: boolean;
  readonly signed: boolean;
  readonly end: number;
  /** Sizes of leaves that fit, ascending. */
  readonly sizes: readonly number[];
  /** Level of the root, or for one that grows the highest that it can have. */
  readonly rootLevel: number;
  /** Ascending. */
  leaves: Leaf[] = [];

  constructor({ shape, inputBits, signed, tracked, contiguous }: ModelOptions) {
    this.shape = shape;
    this.tracked = tracked;
    this.signed = signed;
    this.end = 2 ** inputBits;
    let level = 0;
    while (this.#span(level) * shape.rootEntries < this.end) level++;
    this.rootLevel = level;
    const { leafSizes, contiguousSizes } = shape.format;
    this.sizes = [...leafSizes, ...(contiguous ? contiguousSizes : [])]
      .filter((size) => size <= this.end && this.#levelOf(size) <= level && !this.#isWide(size))
      .sort((a, b) => a - b);
  }

  /** Bytes that an entry of `level` covers. */
  #span(level: number): number {
    return this.shape.granule * this.shape.entries ** level;
  }

  /** Level of the tables that hold leaves of `size` bytes. */
  #levelOf(size: number): number {
    let level = 0;
    while (this.#span(level + 1) <= size) level++;
    return level;
  }

  /** Whether a leaf needs output addresses of more than 48 bits, which the tests give no domain by default. */
  #isWide(size: number): boolean {
    return this.shape.format.granule === '64K' && size === 2 ** 42;
  }

  /** The errno's name for a range that leaves the input addresses, behind 2^64 or before; undefined for one inside. */
  #outOfRange(iova: number, length: number): string | undefined {
    if (iova + length - 1 <= this.lastFrom(iova)) return undefined;
    return this.signed && iova >= this.end / 2 ? 'EOVERFLOW' : 'ERANGE';
  }

  /** The last address that a range from `iova` on can reach. */
  lastFrom(iova: number): number {
    return (this.signed && iova < this.end / 2 ? this.end / 2 : this.end) - 1;
  }

  /** What an address is as the device sees it. */
  outside(iova: number): number | bigint {
    return this.signed && iova >= this.end / 2 ? 2n ** 64n - BigInt(this.end - iova) : iova;
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
    const outside = this.#outOfRange(iova, length);
    if (outside === 'EOVERFLOW') return outside;
    const smallest = Math.min(...sizes);
    if (iova % smallest || pa % smallest || length % smallest) return 'EINVAL';
    if (outside || pa + length > 2 ** this.shape.outputBits) return 'ERANGE';
    if (this.leaves.some((leaf) => leaf.iova < iova + length && leaf.iova + leaf.size > iova)) return 'EADDRINUSE';
    const rights = this.shape.writeMeansRead && access & WRITE ? READ | WRITE : access;
    const born = this.tracked ? this.shape.startsDirty : this.shape.presetsDirty;
    const dirty = born && (access & WRITE) !== 0;
    const descending = [...sizes].sort((a, b) => b - a);
    for (let done = 0; done < length;) {
      const fits = (size: number) => (iova + done) % size === 0 && (pa + done) % size === 0 && done + size <= length;
      const size = descending.find(fits)!;
      this.leaves.push({ iova: iova + done, pa: pa + done, size, access: rights, dirty });
      done += size;
    }
    this.#sort();
    return 'none';
  }

  #sort(): void {
    this.leaves.sort((a, b) => a.iova - b.iova);
  }

  /** Unmaps as `domain.unmap` does; bytes, or the errno's name. */
  unmap(iova: number, length: number): number | string {
    const outside = this.#outOfRange(iova, length);
    if (outside) return outside;
    const start = this.at(iova);
    if (start && start.iova !== iova) return 'EINVAL';
    let end = iova;
    for (let leaf = start; leaf && end < iova + length; leaf = this.at(end)) end += leaf.size;
    this.leaves = this.leaves.filter((leaf) => leaf.iova < iova || leaf.iova >= end);
    return end - iova;
  }

  /** The leaves of a range without a hole in it. */
  #covering(iova: number, length: number): Leaf[] | undefined {
    const found: Leaf[] = [];
    for (let at = iova; at < iova + length; at = found.at(-1)!.iova + found.at(-1)!.size) {
      const leaf = this.at(at);
      if (!leaf) return undefined;
      found.push(leaf);
    }
    return found;
  }

  /** How many leaves a split would make. */
  piecesOf(iova: number, length: number, size: number): number {
    return (this.#covering(iova, length) ?? []).reduce((sum, leaf) => sum + Math.max(1, leaf.size / size), 0);
  }

  /** Splits as `domain.split` does; the errno's name, or 'none'. */
  split(iova: number, length: number, size: number): string {
    const outside = this.#outOfRange(iova, length);
    if (outside) return outside;
    if (!this.sizes.includes(size)) return 'EINVAL';
    const found = this.#covering(iova, length);
    if (!found) return 'ENOENT';
    const large = new Set(found.filter((leaf) => leaf.size > size));
    this.leaves = this.leaves.flatMap((leaf) => {
      if (!large.has(leaf)) return [leaf];
      return Array.from({ length: leaf.size / size }, (_, i) => {
        return { ...leaf, iova: leaf.iova + i * size, pa: leaf.pa + i * size, size };
      });
    });
    return 'none';
  }

  /** Merges as `domain.merge` does; the errno's name, or 'none'. */
  merge(iova: number, length: number, size: number): string {
    const outside = this.#outOfRange(iova, length);
    if (outside) return outside;
    if (!this.sizes.includes(size) || iova % size || length % size) return 'EINVAL';
    const merged: Leaf[] = [];
    for (let at = iova; at < iova + length; at += size) {
      const parts = this.#covering(at, size);
      if (!parts) return 'EINVAL';
      const [{ pa, access, size: now }] = parts;
      if (now >= size) continue;
      const alike = parts.every((leaf) => leaf.access === access && leaf.pa - pa === leaf.iova - at);
      if (!alike || pa % size) return 'EINVAL';
      merged.push({ iova: at, pa, size, access, dirty: parts.some((leaf) => leaf.dirty) });
    }
    const inside = (leaf: Leaf) => merged.some((one) => one.iova <= leaf.iova && leaf.iova < one.iova + one.size);
    this.leaves = [...this.leaves.filter((leaf) => !inside(leaf)), ...merged];
    this.#sort();
    return 'none';
  }

  /** Makes a leaf dirty as `domain.setDirty` does; the errno's name, or 'none'. */
  setDirty(iova: number): string {
    const leaf = this.at(iova);
    if (!leaf) return 'ENOENT';
    if (!this.tracked || !(leaf.access & WRITE)) return 'EINVAL';
    leaf.dirty = true;
    return 'none';
  }

  /** One access by DMA: the extents of output addresses, and the fault that ended it. */
  access(iova: number, length: number, access: number): { extents: [number, number][]; fault?: [string, number] } {
    const extents: [number, number][] = [];
    const stretch = Math.min(4096, this.shape.granule);
    const last = this.lastFrom(iova);
    for (let at = iova; at < iova + length;) {
      const end = Math.min(at - (at % stretch) + stretch, iova + length);
      if (at > last) return { extents, fault: ['address-size', at] };
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

  /** Level of the root that the leaves need: a root that grows is as low as they let it be. */
  #topNow(): number {
    if (!this.shape.grows) return this.rootLevel;
    let top = Math.min(2, this.rootLevel);
    for (const { iova, size } of this.leaves) {
      top = Math.max(top, this.#levelOf(size));
      while (this.#span(top + 1) < iova + size) top++;
    }
    return top;
  }

  #rootBytes(): number {
    if (this.shape.grows) return 8 * this.shape.entries;
    return Math.max(2048, (8 * this.end) / this.#span(this.rootLevel));
  }

  /** What `domain.usage` says. */
  get usage(): { tables: number; tableBytes: number; mappedBytes: number } {
    const tables = new Set<string>();
    const top = this.#topNow();
    for (const { iova, size } of this.leaves) {
      for (let level = this.#levelOf(size); level < top; level++) {
        tables.add(`${level} ${Math.floor(iova / this.#span(level + 1))}`);
      }
    }
    return {
      tables: tables.size + 1,
      tableBytes: tables.size * this.shape.entries * 8 + this.#rootBytes(),
      mappedBytes: this.leaves.reduce((sum, leaf) => sum + leaf.size, 0),
    };
  }
}
