const WORD_BYTES = 8;

/** Bytes of `bits` bits in whole words of 64. */
export function wordBytes(bits: number): number {
  return Math.ceil(bits / 64) * WORD_BYTES;
}

/**
 * The dirty bitmap of one mapping: bit i for page i, in little-endian words of 64, with one spare word, into which Linux
 * shifts (vfio_dma_bitmap_alloc, drivers/vfio/vfio_iommu_type1.c).
 */
export class DirtyBits {
  /** Pages that it covers. */
  readonly pages: number;
  /** The words, the spare one included. */
  readonly bytes: Uint8Array;

  constructor(pages: number) {
    this.pages = pages;
    this.bytes = new Uint8Array(wordBytes(pages) + WORD_BYTES);
  }

  has(page: number): boolean {
    return ((this.bytes[Math.floor(page / 8)] >> (page % 8)) & 1) === 1;
  }

  /** Marks pages `first` .. `first + count - 1`. */
  mark(first: number, count: number): void {
    setBits(this.bytes, first, count);
  }

  /** Clears all pages; bits behind them stay as they are. */
  clear(): void {
    const whole = Math.floor(this.pages / 8);
    this.bytes.fill(0, 0, whole);
    this.bytes[whole] &= 0xff << (this.pages % 8);
  }

  /** Moves the words of the first `bits` bits up by `shift` (below 64), 0 coming in below; what leaves those words is lost. */
  shiftLeft(shift: number, bits: number): void {
    const skip = shift >> 3;
    const rem = shift & 7;
    const { bytes } = this;
    for (let i = wordBytes(bits) - 1; i >= 0; i--) {
      const upper = i >= skip ? bytes[i - skip] << rem : 0;
      const lower = i > skip ? bytes[i - skip - 1] >> (8 - rem) : 0;
      bytes[i] = upper | lower;
    }
  }

  /** The same in pages of another size: `by` > 0 makes 2^by pages one, `by` < 0 one page 2^-by. A page stays dirty in each part. */
  rescaled(pages: number, by: number): DirtyBits {
    const scaled = new DirtyBits(pages);
    const ratio = 2 ** Math.abs(by);
    for (let page = 0; page < this.pages; page++) {
      // Bytes without a bit are most of them.
      if (page % 8 === 0 && this.bytes[page / 8] === 0) page += 7;
      else if (!this.has(page)) continue;
      else if (by > 0) scaled.mark(Math.floor(page / ratio), 1);
      else scaled.mark(page * ratio, ratio);
    }
    return scaled;
  }
}

/** Sets bits `first` .. `first + count - 1` of `bytes`. */
export function setBits(bytes: Uint8Array, first: number, count: number): void {
  if (count <= 0) return;
  const last = first + count - 1;
  const from = Math.floor(first / 8);
  const to = Math.floor(last / 8);
  const head = 0xff << (first % 8);
  const tail = 0xff >> (7 - (last % 8));
  if (from === to) {
    bytes[from] |= head & tail;
    return;
  }
  bytes[from] |= head;
  bytes.fill(0xff, from + 1, to);
  bytes[to] |= tail;
}
