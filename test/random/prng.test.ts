import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/random/prng.ts';

const take = (prng: Prng, count: number): number[] => Array.from({ length: count }, () => prng.nextU32());

/** splitmix32 from its definition, in exact integers. */
function reference(seed: number, count: number): number[] {
  const mask = 0xffffffffn;
  let state = BigInt(seed);
  return Array.from({ length: count }, () => {
    state = (state + 0x9e3779b9n) & mask;
    let z = state;
    z = ((z ^ (z >> 16n)) * 0x21f0aaadn) & mask;
    z = ((z ^ (z >> 15n)) * 0x735a2d97n) & mask;
    return Number(z ^ (z >> 15n));
  });
}

describe('Prng', () => {
  test('is splitmix32', () => {
    for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
      expect(take(new Prng(seed), 50)).toEqual(reference(seed, 50));
    }
  });

  test('reset starts again', () => {
    const prng = new Prng(5);
    const first = take(prng, 4);
    prng.reset(5);
    expect(take(prng, 4)).toEqual(first);
  });

  test('below(n) stays below n, meets every value, and none too often', () => {
    const prng = new Prng(12);
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 7000; i++) counts[prng.below(7)]++;
    // 1000 each, give or take five standard deviations of 29; a value outside would make a count NaN.
    expect(counts).toHaveLength(7);
    expect(counts.every((count) => count > 850 && count < 1150)).toBe(true);
    expect(prng.below(1)).toBe(0);
  });

  test('below(2^32) is the number itself', () => {
    expect([new Prng(3).below(2 ** 32)]).toEqual(take(new Prng(3), 1));
  });

  test.each([-1, 0.5, NaN, 2 ** 32])('refuses the seed %s', (seed) => {
    expect(() => new Prng(seed)).toThrow(`seed is ${seed}; it must be an integer from 0 to 2^32 - 1`);
  });

  test.each([0, -1, 1.5, NaN, 2 ** 32 + 1])('refuses below(%s)', (n) => {
    expect(() => new Prng(1).below(n)).toThrow(`n is ${n}; it must be an integer from 1 to 2^32`);
  });
});
