/** A set of 4 KiB pages, one bit each: page p is bit p % 32 of word p / 32. Bits behind the last page stay 0. */
export class PageSet {
  readonly pages: number;
  readonly words: Uint32Array;

  /** @param pages Pages that the set can hold, numbered from 0: 1 to 2^32. */
  constructor(pages: number) {
    if (!Number.isInteger(pages) || pages < 1 || pages > 2 ** 32) {
      throw new RangeError(`pages is ${pages}; it must be a whole number from 1 to 2^32`);
    }
    this.pages = pages;
    this.words = new Uint32Array(Math.ceil(pages / 32));
  }

  /** Adds pages first to last, both included. The caller has checked that 0 <= first <= last < pages. */
  add(first: number, last: number): void {
    const words = this.words;
    const firstWord = first >>> 5;
    const lastWord = last >>> 5;
    const head = -1 << (first & 31);
    const tail = -1 >>> (31 - (last & 31));
    if (firstWord === lastWord) {
      words[firstWord] |= head & tail;
      return;
    }
    words[firstWord] |= head;
    words[lastWord] |= tail;
    if (lastWord - firstWord > 1) words.fill(0xffffffff, firstWord + 1, lastWord);
  }

  /** Removes every page. */
  clear(): void {
    this.words.fill(0);
  }

  /** How many pages the set holds. */
  count(): number {
    const words = this.words;
    let count = 0;
    for (let w = 0; w < words.length; w++) {
      if (words[w] !== 0) count += bitCount(words[w]);
    }
    return count;
  }

  /** The lowest page in the set, or null when it is empty. */
  first(): number | null {
    const w = this.words.findIndex((word) => word !== 0);
    return w < 0 ? null : w * 32 + lowestBit(this.words[w]);
  }

  /** Word w of the set that holds every page. */
  fullWord(w: number): number {
    const left = this.pages - w * 32;
    return left >= 32 ? 0xffffffff : 2 ** left - 1;
  }
}

/** Number of 1 bits in the low 32 bits of `word`. */
export function bitCount(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Position of the lowest 1 bit of `word`, which is not 0. */
export function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
