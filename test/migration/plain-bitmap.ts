import type { Bitmap } from '../../src/bitmap/bitmap.ts';

/** The part of a bitmap that a migration uses, on a plain array. */
class PlainBitmap {
  readonly pages: number;
  readonly #words: Uint32Array;

  constructor(pages: number) {
    this.pages = pages;
    this.#words = new Uint32Array(Math.ceil(pages / 32));
  }

  markPages(first: number, count: number): void {
    if (first < 0 || count < 1 || first + count > this.pages)
      throw new RangeError(`pages ${first} + ${count} of ${this.pages}`);
    for (let p = first; p < first + count; p++) this.#words[p >> 5] |= 1 << (p & 31);
  }

  words(): Uint32Array {
    return this.#words;
  }

  or(other: PlainBitmap): void {
    other.words().forEach((word, w) => (this.#words[w] |= word));
  }

  count(): number {
    let count = 0;
    for (let p = 0; p < this.pages; p++) count += (this.#words[p >> 5] >>> (p & 31)) & 1;
    return count;
  }

  clear(): void {
    this.#words.fill(0);
  }
}

export function plainBitmap(pages: number): Bitmap {
  return new PlainBitmap(pages) as unknown as Bitmap;
}
