import type { Bitmap, Core } from 'wasm-iommu';

/** A set of page numbers, as each package has it. */
export interface PageSet {
  mark(pages: Uint32Array): void;
  /** Pairs of first page and pages. */
  markRanges(pairs: Uint32Array): void;
  /** Visits each page; the sum of their numbers, modulo 2^32 and signed. */
  iterate(): number;
  /** Takes in all of `other`, a set of the same kind. */
  union(other: this): void;
  count(): number;
  /** Gives back what the garbage collector does not. */
  close(): void;
}

/** Makes an empty set over `pages` pages. */
export type MakeSet = (pages: number) => PageSet;

function eachOf(pairs: Uint32Array, take: (first: number, pages: number) => void): void {
  for (let i = 0; i < pairs.length; i += 2) take(pairs[i], pairs[i + 1]);
}

/** What all that give lists do with them. */
function sumOf(pages: Uint32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum = (sum + pages[i]) | 0;
  return sum;
}

/** The core's bitmap. */
export function coreSets(core: Core): MakeSet {
  class CoreSet implements PageSet {
    readonly bitmap: Bitmap;
    readonly #out = new Uint32Array(4096);
    constructor(pages: number) {
      this.bitmap = core.bitmap({ length: pages * 4096 });
    }
    mark(pages: Uint32Array): void {
      this.bitmap.markList(pages);
    }
    markRanges(pairs: Uint32Array): void {
      this.bitmap.markRanges(pairs);
    }
    iterate(): number {
      const out = this.#out;
      let sum = 0;
      for (let from = 0; from < this.bitmap.pages; from = this.bitmap.nextPage) {
        sum = (sum + sumOf(out, this.bitmap.pagesInto(out, from))) | 0;
      }
      return sum;
    }
    union(other: CoreSet): void {
      this.bitmap.or(other.bitmap);
    }
    count(): number {
      return this.bitmap.count();
    }
    close(): void {
      this.bitmap.close();
    }
  }
  return (pages) => new CoreSet(pages);
}

/** What is used of typedfastbitset and fastbitset. */
interface FastBits {
  add(page: number): void;
  addRange?(first: number, end: number): void;
  forEach(take: (page: number) => void): void;
  union(other: FastBits): unknown;
  size(): number;
}

function fastSets(make: () => FastBits): MakeSet {
  class FastSet implements PageSet {
    readonly bits = make();
    mark(pages: Uint32Array): void {
      for (const page of pages) this.bits.add(page);
    }
    markRanges(pairs: Uint32Array): void {
      const { bits } = this;
      eachOf(pairs, (first, pages) => {
        if (bits.addRange) bits.addRange(first, first + pages);
        else for (let page = first; page < first + pages; page++) bits.add(page);
      });
    }
    iterate(): number {
      let sum = 0;
      this.bits.forEach((page) => (sum = (sum + page) | 0));
      return sum;
    }
    union(other: FastSet): void {
      this.bits.union(other.bits);
    }
    count(): number {
      return this.bits.size();
    }
    close(): void {}
  }
  return () => new FastSet();
}

/** What is used of bitset: `or` gives a new set. */
interface PlainBits {
  toArray(): number[];
  set(page: number): unknown;
  or(other: PlainBits): PlainBits;
  cardinality(): number;
}

function plainSets(make: () => PlainBits): MakeSet {
  class PlainSet implements PageSet {
    bits = make();
    mark(pages: Uint32Array): void {
      for (const page of pages) this.bits.set(page);
    }
    markRanges(pairs: Uint32Array): void {
      // Its setRange (5.3.0) loses the last word of a range that ends with that word.
      eachOf(pairs, (first, pages) => {
        for (let page = first; page < first + pages; page++) this.bits.set(page);
      });
    }
    iterate(): number {
      let sum = 0;
      for (const page of this.bits.toArray()) sum = (sum + page) | 0;
      return sum;
    }
    union(other: PlainSet): void {
      this.bits = this.bits.or(other.bits);
    }
    count(): number {
      return this.bits.cardinality();
    }
    close(): void {}
  }
  return () => new PlainSet();
}

/** What is used of roaring and roaring-wasm. */
interface Roaring extends Iterable<number> {
  addMany(pages: Uint32Array): unknown;
  addRange(first: number, end: number): unknown;
  orInPlace(other: Roaring): unknown;
  toUint32Array(output: Uint32Array): Uint32Array;
  readonly size: number;
  dispose?(): unknown;
}

function roaringSets(make: () => Roaring): MakeSet {
  class RoaringSet implements PageSet {
    readonly bits = make();
    #out = new Uint32Array(0);
    mark(pages: Uint32Array): void {
      this.bits.addMany(pages);
    }
    markRanges(pairs: Uint32Array): void {
      eachOf(pairs, (first, pages) => this.bits.addRange(first, first + pages));
    }
    /** Its fastest way: all of them into one array, made once. */
    iterate(): number {
      const { size } = this.bits;
      if (this.#out.length < size) this.#out = new Uint32Array(size);
      return sumOf(this.bits.toUint32Array(this.#out), size);
    }
    union(other: RoaringSet): void {
      this.bits.orInPlace(other.bits);
    }
    count(): number {
      return this.bits.size;
    }
    close(): void {
      this.bits.dispose?.();
    }
  }
  return () => new RoaringSet();
}

type Constructor<T> = new () => T;

/** How to make sets of each package, given what it exports. */
export const PEERS: Readonly<Record<string, (exports: never) => Promise<MakeSet> | MakeSet>> = {
  typedfastbitset: (exports: { TypedFastBitSet: Constructor<FastBits> }) =>
    fastSets(() => new exports.TypedFastBitSet()),
  fastbitset: (exports: Constructor<FastBits>) => fastSets(() => new exports()),
  bitset: (exports: Constructor<PlainBits> & { default?: Constructor<PlainBits> }) => {
    const Bits = exports.default ?? exports;
    return plainSets(() => new Bits());
  },
  roaring: (exports: { RoaringBitmap32: Constructor<Roaring> }) => roaringSets(() => new exports.RoaringBitmap32()),
  'roaring-wasm': async (exports: {
    RoaringBitmap32: Constructor<Roaring>;
    roaringLibraryInitialize(): Promise<unknown>;
  }) => {
    await exports.roaringLibraryInitialize();
    return roaringSets(() => new exports.RoaringBitmap32());
  },
};
