/** A bitmap as one writes it in plain TypeScript: what the core is compared with. */
export class PlainBits {
  readonly words: Uint32Array;

  constructor(pages: number) {
    this.words = new Uint32Array(Math.ceil(pages / 32));
  }

  mark(page: number): void {
    this.words[page >>> 5] |= 1 << (page & 31);
  }

  or(other: PlainBits): void {
    const { words } = this;
    const from = other.words;
    for (let w = 0; w < words.length; w++) words[w] |= from[w];
  }

  count(): number {
    const { words } = this;
    let count = 0;
    for (let w = 0; w < words.length; w++) {
      let word = words[w];
      if (word === 0) continue;
      word -= (word >>> 1) & 0x55555555;
      word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
      count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
    }
    return count;
  }

  /** Calls back with each marked page, as most code does that has no runs. */
  forEach(take: (page: number) => void): void {
    const { words } = this;
    for (let w = 0; w < words.length; w++) {
      for (let word = words[w]; word !== 0; word &= word - 1) take(w * 32 + (31 - Math.clz32(word & -word)));
    }
  }
}
