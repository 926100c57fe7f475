import { exact, type Encoder, type How } from './command-model.ts';
import { READ, WRITE } from './table-model.ts';
import type { TableShape } from './table-shape.ts';

interface Leaf {
  readonly iova: number;
  readonly pa: number;
  readonly size: number;
  readonly access: number;
  readonly global: boolean;
  /** Which of its copies are dirty. */
  readonly dirty: Set<number>;
}

/** By what name a domain's entries are told apart; without an ASID in stage 2. */
interface Names {
  readonly vmid: number;
  readonly asid: number;
}

interface Cached {
  vmid: number;
  asid: number;
  global: boolean;
  readonly iova: number;
  readonly size: number;
  pa: number;
  access: number;
  dirty: boolean;
}

/** A cached pointer to a table of `level` of a domain, which covers `size` bytes from `iova` on. */
interface CachedTable extends Names {
  readonly source: DomainModel;
  readonly level: number;
  readonly iova: number;
  readonly size: number;
}

/** Whether an entry serves a domain: its own, or global in its VMID. */
function serves(entry: Names & { readonly global?: boolean }, domain: Names): boolean {
  return entry.vmid === domain.vmid && (entry.asid === domain.asid || entry.global === true);
}

/** Sets of entries, each most recently used first. */
class Sets<T extends { readonly iova: number; readonly size: number }> {
  readonly sets: T[][];
  readonly #ways: number;

  constructor(sets: number, ways: number) {
    this.sets = Array.from({ length: sets }, () => []);
    this.#ways = ways;
  }

  #set(iova: number, size: number): T[] {
    return this.sets[Math.floor(iova / size) % this.sets.length];
  }

  lookup(iova: number, size: number, fits: (entry: T) => boolean): T | undefined {
    const set = this.#set(iova, size);
    const index = set.findIndex((entry) => entry.size === size && entry.iova === iova - (iova % size) && fits(entry));
    if (index < 0) return undefined;
    const [found] = set.splice(index, 1);
    set.unshift(found);
    return found;
  }

  /** Whether another one had to go. */
  insert(entry: T): boolean {
    const set = this.#set(entry.iova, entry.size);
    const full = set.length === this.#ways;
    if (full) set.pop();
    set.unshift(entry);
    return full;
  }

  drop(first: number, last: number, meant: (entry: T) => boolean): void {
    for (const set of this.sets) {
      const keep = set.filter((entry) => !meant(entry) || entry.iova > last || entry.iova + entry.size - 1 < first);
      set.splice(0, set.length, ...keep);
    }
  }
}

const LAST = 2 ** 48 - 1;

/** A domain's tables in memory: 48 input bits, tables of 512 entries. */
export class DomainModel {
  readonly shape: TableShape;
  readonly vmid: number;
  readonly asid: number;
  /** Whether another domain has its VMID. */
  readonly shared: boolean;
  /** Whether global leaves were ever mapped. */
  globals = false;
  readonly leaves: Leaf[] = [];
  /** Leaf sizes that were ever mapped. */
  readonly sizes = new Set<number>();
  tracking = true;
  readonly rootLevel: number;

  constructor(shape: TableShape, names: Names & { readonly shared?: boolean }) {
    this.shape = shape;
    this.vmid = names.vmid;
    this.asid = names.asid;
    this.shared = names.shared ?? false;
    // Nothing lies so high that a root that grows would.
    this.rootLevel = shape.grows ? 2 : 3;
  }

  static levelOf(size: number): number {
    return Math.floor(Math.log2(size / 4096) / 9);
  }

  at(iova: number): Leaf | undefined {
    return this.leaves.find((leaf) => leaf.iova <= iova && iova < leaf.iova + leaf.size);
  }

  map(iova: number, pa: number, size: number, access: number, global = false): boolean {
    if (this.leaves.some((leaf) => leaf.iova < iova + size && leaf.iova + leaf.size > iova)) return false;
    const { writeMeansRead, startsDirty } = this.shape;
    const writable = (access & WRITE) !== 0;
    const rights = writable && writeMeansRead ? READ | WRITE : access;
    this.leaves.push({ iova, pa, size, access: rights, global, dirty: new Set(writable && startsDirty ? [0] : []) });
    this.globals ||= global;
    this.sizes.add(size);
    return true;
  }

  /** Removes the leaf that starts at `iova`; its size, 0 where there is none. */
  unmap(iova: number): number {
    const index = this.leaves.findIndex((leaf) => leaf.iova === iova);
    return index < 0 ? 0 : this.leaves.splice(index, 1)[0].size;
  }

  /** The level of the entry that ends a walk to `iova`. */
  endLevel(iova: number): number {
    const leaf = this.at(iova);
    if (leaf) return DomainModel.levelOf(leaf.size);
    let level = this.rootLevel;
    const tableThere = (below: number) => {
      const span = 4096 * 512 ** (below + 1);
      const inIt = (l: Leaf) =>
        Math.floor(l.iova / span) === Math.floor(iova / span) && DomainModel.levelOf(l.size) <= below;
      return this.leaves.some(inIt);
    };
    while (level > 0 && tableThere(level - 1)) level--;
    return level;
  }

  get hardwareTracks(): boolean {
    return this.tracking || this.shape.tracksAlways;
  }
}

interface IotlbOptions {
  readonly walkCache?: { readonly sets: number; readonly ways: number } | undefined;
  readonly encoder?: Encoder;
}

/** An IOTLB, and a walk cache if there is one, as lists. */
export class IotlbModel {
  readonly #leaves: Sets<Cached>;
  readonly #tables: Sets<CachedTable> | undefined;
  readonly #encode: Encoder;
  /** Leaf sizes that were ever cached. */
  readonly #sizes = new Set<number>();
  readonly counters = { hits: 0, misses: 0, invalidations: 0, evictions: 0, walkReads: 0, dirtyUpdates: 0 };
  walkCacheHits = 0;
  walkCacheMisses = 0;

  constructor(sets: number, ways: number, { walkCache, encoder = exact }: IotlbOptions = {}) {
    this.#leaves = new Sets(sets, ways);
    this.#tables = walkCache && new Sets(walkCache.sets, walkCache.ways);
    this.#encode = encoder;
  }

  #lookup(domain: DomainModel, iova: number): Cached | undefined {
    const sizes = domain.shared ? this.#sizes : domain.sizes;
    for (const size of [...sizes].sort((a, b) => a - b)) {
      const found = this.#leaves.lookup(iova, size, (entry) => serves(entry, domain));
      if (found) return found;
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

  /** Walks to `iova`; the domain in whose tables that ends. */
  #walk(domain: DomainModel, iova: number): DomainModel {
    const tables = this.#tables;
    if (!tables) {
      this.counters.walkReads += domain.rootLevel - domain.endLevel(iova) + 1;
      return domain;
    }
    let found: CachedTable | undefined;
    for (let level = 0; level < domain.rootLevel && !found; level++) {
      found = tables.lookup(iova, 4096 * 512 ** (level + 1), (table) => serves(table, domain));
    }
    if (found) this.walkCacheHits++;
    else this.walkCacheMisses++;
    const source = found?.source ?? domain;
    const start = found?.level ?? domain.rootLevel;
    const end = source.endLevel(iova);
    this.counters.walkReads += start - end + 1;
    for (let level = start - 1; level >= end; level--) {
      const size = 4096 * 512 ** (level + 1);
      tables.insert({ vmid: domain.vmid, asid: domain.asid, source, level, iova: iova - (iova % size), size });
    }
    return source;
  }

  #fill(domain: DomainModel, iova: number, access: number, stale?: Cached): Cached | string {
    const leaf = this.#walk(domain, iova).at(iova);
    if (!leaf) return 'translation';
    if ((leaf.access & access) !== access) return 'permission';
    const copy = Math.floor((iova - leaf.iova) / (4096 * 512 ** DomainModel.levelOf(leaf.size)));
    const tracks = domain.hardwareTracks;
    const dirtyBefore = leaf.dirty.has(domain.shape.startsDirty ? 0 : copy);
    if (tracks && access & WRITE && !dirtyBefore) {
      leaf.dirty.add(copy);
      this.counters.dirtyUpdates++;
    }
    const { vmid, asid } = domain;
    const { pa, access: rights, global } = leaf;
    const entry = { vmid, asid, global, pa, access: rights, dirty: !tracks || leaf.dirty.has(copy) };
    if (stale && stale.size === leaf.size) return Object.assign(stale, entry);
    if (stale) this.#leaves.drop(stale.iova, stale.iova, (other) => serves(other, domain));
    this.#sizes.add(leaf.size);
    const fresh = { ...entry, iova: leaf.iova, size: leaf.size };
    if (this.#leaves.insert(fresh)) this.counters.evictions++;
    return fresh;
  }

  /** The commands for a range. */
  invalidate(domain: DomainModel, first: number, last: number, how: How = {}): void {
    const command = this.#encode(domain, first, last, how);
    const { form, takes, keepsTables } = command;
    this.counters.invalidations += command.commands;
    const meant = (entry: Names & { readonly global?: boolean }) => {
      if (form === 'range') return serves(entry, domain);
      if (form === 'domain') return entry.vmid === domain.vmid;
      return entry.vmid === domain.vmid && entry.asid === domain.asid && entry.global !== true;
    };
    this.#leaves.drop(command.first, command.last, (entry) => takes(entry.size) && meant(entry));
    if (!keepsTables) this.#tables?.drop(command.first, command.last, meant);
  }

  /** One command for an ASID, a VMID, or everything. */
  invalidateForm(form: 'asid' | 'domain' | 'all', domain: DomainModel): void {
    this.counters.invalidations++;
    const meant = (entry: Names & { readonly global?: boolean }) =>
      form === 'all' ||
      (entry.vmid === domain.vmid && (form === 'domain' || (entry.asid === domain.asid && entry.global !== true)));
    this.#leaves.drop(0, LAST, meant);
    this.#tables?.drop(0, LAST, meant);
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
