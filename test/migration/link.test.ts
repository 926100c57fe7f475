import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesWithin, transferNs } from '../../src/migration/link.ts';

const LIMIT = BigInt(Number.MAX_SAFE_INTEGER);

function outcome(work: () => number): number | string {
  try {
    return work();
  } catch (error) {
    return (error as Error).name;
  }
}

describe('link', () => {
  it('takes 32.768 us for a page at 1 Gbit/s', () => {
    expect(transferNs(4096, 1e9)).toBe(32768);
    expect(bytesWithin(40e6, 1e9)).toBe(5e6);
    expect(transferNs(0, 1)).toBe(0);
  });

  it('rounds time up and bytes down', () => {
    expect(transferNs(1, 3e9)).toBe(3);
    expect(bytesWithin(2, 3e9)).toBe(0);
    expect(bytesWithin(3, 3e9)).toBe(1);
  });

  it('is exact, or refuses what a number cannot hold', () => {
    const whole = fc.oneof(fc.nat(1e6), fc.maxSafeNat());
    fc.assert(
      fc.property(
        whole,
        fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 2 ** 52 })),
        (n, rate) => {
          const product = BigInt(n) * 8_000_000_000n;
          const ns = product / BigInt(rate) + (product % BigInt(rate) > 0n ? 1n : 0n);
          const bytes = (BigInt(n) * BigInt(rate)) / 8_000_000_000n;
          expect([outcome(() => transferNs(n, rate)), outcome(() => bytesWithin(n, rate))]).toEqual([
            ns > LIMIT ? 'RangeError' : Number(ns),
            bytes > LIMIT ? 'RangeError' : Number(bytes),
          ]);
        },
      ),
      { seed: 51, numRuns: 1000 },
    );
  });

  it('agrees with itself: bytes fit a time exactly when their transfer takes no longer', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e7), fc.integer({ min: 1, max: 1e10 }), (bytes, ns, rate) => {
        expect(bytes <= bytesWithin(ns, rate)).toBe(transferNs(bytes, rate) <= ns);
      }),
      { seed: 52, numRuns: 1000 },
    );
  });

  it('names the argument that is wrong', () => {
    expect(() => transferNs(-1, 1)).toThrow('bytes is -1');
    expect(() => transferNs(1, 0)).toThrow('bitsPerSecond is 0');
    expect(() => bytesWithin(0.5, 1)).toThrow('ns is 0.5');
    expect(() => bytesWithin(1, NaN)).toThrow('bitsPerSecond is NaN');
  });
});
