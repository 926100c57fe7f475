/** Pages of a chunk: 128 KiB of bits, allocated when its first page comes. */
const CHUNK_PAGES = 2 ** 20;

/** A set of page numbers below 2^32, as bits; it takes memory only where there are pages. */
export class PageSet {
  /** Pages in the set. */
  size = 0;
  readonly #chunks: (Int32Array | undefined)[] = [];

  /** Adds pages `first` to `last`, both included. */
  add(first: number, last: number): void {
    const lastWord = last >>> 5;
    for (let word = first >>> 5; word <= lastWord; word++) {
      const from = word === first >>> 5 ? first & 31 : 0;
      const to = word === lastWord ? last & 31 : 31;
      this.#mark(word, (-1 << from) & (-1 >>> (31 - to)));
    }
  }

  #mark(word: number, mask: number): void {
    const words = CHUNK_PAGES / 32;
    const index = Math.floor(word / words);
    const chunk = (this.#chunks[index] ??= new Int32Array(words));
    const added = mask & ~chunk[word % words];
    if (added === 0) return;
    chunk[word % words] |= added;
    this.size += bitCount(added);
  }
}

function bitCount(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
