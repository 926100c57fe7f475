/** Whole numbers that look random, the same ones for the same seed (xorshift32). */
export class Random {
  #state: number;

  /** `seed`: from 1 to 2^32 - 1. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** From 0 to `limit` - 1, which is below 2^32. */
  below(limit: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return Math.floor(((state >>> 0) / 2 ** 32) * limit);
  }

  /** `count` numbers below `limit`, repeats included. */
  list(count: number, limit: number): Uint32Array {
    return Uint32Array.from({ length: count }, () => this.below(limit));
  }

  /** `count` different numbers below `limit`, in random order. */
  distinct(count: number, limit: number): Uint32Array {
    const all = Uint32Array.from({ length: limit }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const other = i + this.below(limit - i);
      const moved = all[i];
      all[i] = all[other];
      all[other] = moved;
    }
    return all.slice(0, count);
  }
}
