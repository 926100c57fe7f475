/** The splitmix32 generator: 32 bits of state, a period of 2^32. Equal seeds give equal numbers on every platform. */
export class Prng {
  #state: number;

  /** `seed`: an integer in [0, 2^32). */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
      throw new RangeError(`Prng: seed is ${seed}; it must be an integer from 0 to 2^32 - 1`);
    }
    this.#state = seed | 0;
  }

  /** Starts again from `seed`, of which the lower 32 bits count. */
  reset(seed: number): void {
    this.#state = seed | 0;
  }

  /** The next number, in [0, 2^32). */
  nextU32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** The next number in [0, n), each equally likely; `n`: an integer in [1, 2^32]. */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new RangeError(`Prng.below: n is ${n}; it must be an integer from 1 to 2^32`);
    }
    const fair = 2 ** 32 - (2 ** 32 % n);
    let value = this.nextU32();
    while (value >= fair) value = this.nextU32();
    return value % n;
  }
}
