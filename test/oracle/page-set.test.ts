import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageSet, bitCount, lowestBit } from '../../src/oracle/page-set.ts';

describe('PageSet', () => {
  it('holds exactly the pages of the added ranges', () => {
    const ranges = fc.array(fc.tuple(fc.nat(199), fc.nat(199)), { maxLength: 8 });
    fc.assert(
      fc.property(ranges, (pairs) => {
        const set = new PageSet(200);
        const model = new Set<number>();
        for (const [a, b] of pairs) {
          set.add(Math.min(a, b), Math.max(a, b));
          for (let page = Math.min(a, b); page <= Math.max(a, b); page++) model.add(page);
        }
        const held = Array.from({ length: 224 }, (_, p) => p).filter((p) => (set.words[p >> 5] >>> (p & 31)) & 1);
        const sorted = [...model].sort((a, b) => a - b);
        expect([held, set.count(), set.first()]).toEqual([sorted, sorted.length, sorted[0] ?? null]);
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  it('counts bits and finds the lowest one as a loop does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0xffffffff }), (word) => {
        const digits = word.toString(2);
        expect([bitCount(word), bitCount(word | 0), lowestBit(word)]).toEqual([
          digits.split('1').length - 1,
          digits.split('1').length - 1,
          digits.length - 1 - digits.lastIndexOf('1'),
        ]);
      }),
      { seed: 12, numRuns: 500 },
    );
  });

  it('knows the word of a full set at and behind a multiple of 32', () => {
    expect(new PageSet(64).fullWord(1)).toBe(0xffffffff);
    expect(new PageSet(33).fullWord(1)).toBe(1);
    expect(new PageSet(63).fullWord(1)).toBe(0x7fffffff);
  });

  it('refuses a size that is no number of pages', () => {
    for (const pages of [0, -1, 1.5, NaN, 2 ** 32 + 1]) expect(() => new PageSet(pages)).toThrow(`pages is ${pages}`);
  });
});
