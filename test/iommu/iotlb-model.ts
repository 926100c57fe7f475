import { READ, WRITE } from './table-model.ts';
import type { TableShape } from './table-shape.ts';

interface Leaf {
  readonly iova: number;
  readonly pa: number;
  readonly size: number;
  readonly access: number;
  /** Which of its copies are dirty. */
  readonly dirty: Set<number>;
}

interface Cached {
  readonly domain: DomainModel;
  readonly iova: number;
  readonly size: number;
  pa: number;
  access: number;
  dirty: boolean;
}

const LAST = 2 ** 48 - 1;

/** A domain's tables in memory: 48 input bits, tables of 512 entries. */
export class DomainModel {
  readonly shape: TableShape;
  readonly leaves: Leaf[] = [];
  /** Leaf sizes that were ever mapped. */
  readonly sizes = new Set<number>();
  tracking = true;
  readonly #rootLevel: number;

  constructor(shape: TableShape) {
    this.shape = shape;
    // Nothing lies so high that a root that grows would.
    this.#rootLevel = shape.grows ? 2 : 3;
  }

  static levelOf(size: number): number {
    return Math.floor(Math.log2(size / 4096) / 9);
  }

  at(iova: number): Leaf | undefined {
    return this.leaves.find((leaf) => leaf.iova <= iova && iova < leaf.iova + leaf.size);
  }

  map(iova: number, pa: number, size: number, access: number): boolean {
    if (this.leaves.some((leaf) => leaf.iova < iova + size && leaf.iova + leaf.size > iova)) return false;
    const { writeMeansRead, startsDirty } = this.shape;
    const writable = (access & WRITE) !== 0;
    const rights = writable && writeMeansRead ? READ | WRITE : access;
    this.leaves.push({ iova, pa, size, access: rights, dirty: new Set(writable && startsDirty ? [0] : []) });
    this.sizes.add(size);
    return true;
  }

  /** Removes the leaf that starts at `iova`; its size, 0 where there is none. */
  unmap(iova: number): number {
    const index = this.leaves.findIndex((leaf) => leaf.iova === iova);
    return index < 0 ? 0 : this.leaves.splice(index, 1)[0].size;
  }

  /** Entries that a walk to `iova` reads. */
  walkReads(iova: number): number {
    let level = this.#rootLevel;
    const leaf = this.at(iova);
    if (leaf) return this.#rootLevel - DomainModel.levelOf(leaf.size) + 1;
    const tableThere = (below: number) => {
      const span = 4096 * 512 ** (below + 1);
      const inIt = (l: Leaf) =>
        Math.floor(l.iova / span) === Math.floor(iova / span) && DomainModel.levelOf(l.size) <= below;
      return this.leaves.some(inIt);
    };
    while (level > 0 && tableThere(level - 1)) level--;
    return this.#rootLevel - level + 1;
  }

  get hardwareTracks(): boolean {
    return this.tracking || this.shape.tracksAlways;
  }
}

/** An IOTLB as lists: per set, most recently used first. */
export class IotlbModel {
  readonly ways: number;
  readonly #sets: Cached[][];
  readonly counters = { hits: 0, misses: 0, invalidations: 0, evictions: 0, walkReads: 0, dirtyUpdates: 0 };

  constructor(sets: number, ways: number) {
    this.#sets = Array.from({ length: sets }, () => []);
    this.ways = ways;
  }

  #set(iova: number, size: number): Cached[] {
    return this.#sets[Math.floor(iova / size) % this.#sets.length];
  }

  #lookup(domain: DomainModel, iova: number): Cached | undefined {
    for (const size of [...domain.sizes].sort((a, b) => a - b)) {
      const set = this.#set(iova, size);
      const index = set.findIndex((c) => c.domain === domain && c.size === size && c.iova === iova - (iova % size));
      if (index < 0) continue;
      const [found] = set.splice(index, 1);
      set.unshift(found);
      return found;
    }
    return undefined;
  }

  /** One access within a page: the output address, or why not. */
  access(domain: DomainModel, iova: number, access: number): number | string {
    if (iova > LAST) return 'address-size';
    let cached = this.#lookup(domain, iova);
    if (cached) this.counters.hits++;
    else this.counters.misses++;
    if (cached && (cached.access & access) !== access) return 'permission';
    if (!cached || (access & WRITE && !cached.dirty)) {
      const filled = this.#fill(domain, iova, access, cached);
      if (typeof filled === 'string') return filled;
      cached = filled;
    }
    return cached.pa + (iova - cached.iova);
  }

  #fill(domain: DomainModel, iova: number, access: number, stale?: Cached): Cached | string {
    this.counters.walkReads += domain.walkReads(iova);
    const leaf = domain.at(iova);
    if (!leaf) return 'translation';
    if ((leaf.access & access) !== access) return 'permission';
    const copy = Math.floor((iova - leaf.iova) / (4096 * 512 ** DomainModel.levelOf(leaf.size)));
    const tracks = domain.hardwareTracks;
    const dirtyBefore = leaf.dirty.has(domain.shape.startsDirty ? 0 : copy);
    if (tracks && access & WRITE && !dirtyBefore) {
      leaf.dirty.add(copy);
      this.counters.dirtyUpdates++;
    }
    const dirty = !tracks || leaf.dirty.has(copy);
    const { pa, access: rights } = leaf;
    if (stale && stale.size === leaf.size) return Object.assign(stale, { pa, access: rights, dirty });
    if (stale) this.#drop(domain, stale.iova, stale.iova);
    const set = this.#set(iova, leaf.size);
    if (set.length === this.ways) {
      set.pop();
      this.counters.evictions++;
    }
    set.unshift({ domain, iova: leaf.iova, size: leaf.size, pa, access: rights, dirty });
    return set[0];
  }

  #drop(domain: DomainModel, first: number, last: number): void {
    for (const set of this.#sets) {
      const keep = set.filter((c) => c.domain !== domain || c.iova > last || c.iova + c.size - 1 < first);
      set.splice(0, set.length, ...keep);
    }
  }

  /** One command. */
  invalidate(domain: DomainModel, first: number, last: number): void {
    this.counters.invalidations++;
    this.#drop(domain, first, last);
  }

  /** Cleans the leaves that lie wholly in [first, last]; one command for all of them, where it is not left out. */
  clearDirty(domain: DomainModel, first: number, last: number, invalidates: boolean): void {
    const cleaned = domain.leaves.filter((l) => l.dirty.size > 0 && l.iova >= first && l.iova + l.size - 1 <= last);
    if (cleaned.length === 0) return;
    cleaned.forEach((leaf) => leaf.dirty.clear());
    const from = Math.min(...cleaned.map((leaf) => leaf.iova));
    const to = Math.max(...cleaned.map((leaf) => leaf.iova + leaf.size - 1));
    if (invalidates) this.invalidate(domain, from, to);
  }

  setTracking(domain: DomainModel, on: boolean): void {
    domain.tracking = on;
    this.invalidate(domain, 0, LAST);
    if (on) this.clearDirty(domain, 0, LAST, true);
  }
}
