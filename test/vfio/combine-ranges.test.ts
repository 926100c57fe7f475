import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IommuError } from '../../src/errno/error.ts';
import { combineIovaRanges, type IovaRange } from '../../src/vfio/combine-ranges.ts';

const VECTOR = [range(0x0, 0xf), range(0x20, 0x2f), range(0x100, 0x1ff), range(0x208, 0x20f)];

function range(iova: number, last: number): IovaRange {
  return { iova, last };
}

/** Disjoint ranges in a random order, some of them touching. */
const ranges = fc
  .array(fc.tuple(fc.nat(6), fc.nat(6)), { maxLength: 12 })
  .map((pairs) => {
    let next = 0;
    return pairs.map(([gap, length]) => {
      const iova = next + gap;
      next = iova + length + 1;
      return range(iova, next - 1);
    });
  })
  .chain((sorted) => fc.shuffledSubarray(sorted, { minLength: sorted.length }));

/** One merge at a time, as the kernel's loop does it. */
function stepwise(input: readonly IovaRange[], limit: number): IovaRange[] {
  const result = [...input].sort((a, b) => a.iova - b.iova);
  while (result.length > limit) {
    let best = 1;
    for (let i = 2; i < result.length; i++) {
      if (result[i].iova - result[i - 1].last < result[best].iova - result[best - 1].last) best = i;
    }
    result.splice(best - 1, 2, range(result[best - 1].iova, result[best].last));
  }
  return result;
}

function bytes(list: readonly IovaRange[]): number {
  return list.reduce((sum, { iova, last }) => sum + last - iova + 1, 0);
}

/** The fewest bytes that any merging of neighbours into at most `limit` ranges covers. */
function fewestBytes(sorted: readonly IovaRange[], limit: number): number {
  if (sorted.length === 0) return 0;
  if (limit === 0) return Infinity;
  return Math.min(
    ...sorted.map((_, i) => sorted[i].last - sorted[0].iova + 1 + fewestBytes(sorted.slice(i + 1), limit - 1)),
  );
}

describe('combineIovaRanges', () => {
  it('merges at the top of the address space as at the bottom', () => {
    const top = 2n ** 64n - 0x210n;
    const high = VECTOR.map(({ iova, last }) => ({ iova: top + BigInt(iova), last: top + BigInt(last) }));
    for (const limit of [1, 2, 3, 4]) {
      const wanted = combineIovaRanges(VECTOR, limit);
      expect(combineIovaRanges([...high].reverse(), limit)).toEqual(
        wanted.map(({ iova, last }) => ({ iova: top + BigInt(iova), last: top + BigInt(last) })),
      );
    }
    expect(() => combineIovaRanges([{ iova: 0n, last: 2n ** 64n }], 1)).toThrow(/ranges\[0\].*below 2\^64.*EINVAL/);
  });

  it('merges the smallest gap first', () => {
    expect(combineIovaRanges(VECTOR, 4)).toEqual(VECTOR);
    expect(combineIovaRanges(VECTOR, 3)).toEqual([range(0x0, 0xf), range(0x20, 0x2f), range(0x100, 0x20f)]);
    expect(combineIovaRanges(VECTOR, 2)).toEqual([range(0x0, 0x2f), range(0x100, 0x20f)]);
    expect(combineIovaRanges(VECTOR, 1)).toEqual([range(0x0, 0x20f)]);
    expect(combineIovaRanges([...VECTOR].reverse(), 2)).toEqual([range(0x0, 0x2f), range(0x100, 0x20f)]);
  });

  it('merges at the lowest address on ties', () => {
    const even = [range(0, 0), range(2, 2), range(4, 4)];
    expect(combineIovaRanges(even, 2)).toEqual([range(0, 2), range(4, 4)]);
  });

  it('does what merging one pair at a time does, and leaves its input alone', () => {
    fc.assert(
      fc.property(ranges, fc.integer({ min: 1, max: 13 }), (list, limit) => {
        const before = structuredClone(list);
        expect([combineIovaRanges(list, limit), list]).toEqual([stepwise(before, limit), before]);
      }),
      { seed: 41, numRuns: 500 },
    );
  });

  it('covers every range within the limit, with the fewest bytes possible', () => {
    fc.assert(
      fc.property(ranges, fc.integer({ min: 1, max: 5 }), (list, limit) => {
        const few = list.slice(0, 8);
        const combined = combineIovaRanges(few, limit);
        const sorted = [...few].sort((a, b) => a.iova - b.iova);
        const uncovered = few.filter((r) => !combined.some((c) => c.iova <= r.iova && r.last <= c.last));
        const least = few.length <= limit ? bytes(few) : fewestBytes(sorted, limit);
        expect([uncovered, combined.length, bytes(combined)]).toEqual([[], Math.min(limit, few.length), least]);
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  it('works up to the last exact address and on nothing', () => {
    const top = range(2 ** 53 - 4096, 2 ** 53 - 1);
    expect(combineIovaRanges([top, range(0, 4095)], 1)).toEqual([range(0, 2 ** 53 - 1)]);
    expect(combineIovaRanges([], 1)).toEqual([]);
  });

  it('refuses bad limits, bad ranges and overlaps with EINVAL', () => {
    const refusal = (list: IovaRange[], limit: number): string => {
      try {
        combineIovaRanges(list, limit);
      } catch (error) {
        if (error instanceof IommuError && error.code === 'EINVAL') return error.message;
      }
      return 'accepted';
    };
    for (const limit of [0, -1, 1.5, NaN]) expect(refusal(VECTOR, limit)).toContain(`limit is ${limit}`);
    expect(refusal([range(0, 1), range(5, 4)], 1)).toContain('ranges[1] is 5 to 4');
    expect(refusal([range(-1, 4)], 1)).toContain('ranges[0] is -1 to 4');
    expect(refusal([range(0, 2 ** 53)], 1)).toContain('ranges[0]');
    expect(refusal([range(8, 15), range(0, 8)], 1)).toContain('ranges 0 to 8 and 8 to 15 overlap');
    expect(refusal([range(3, 3), range(3, 3)], 5)).toContain('overlap');
  });
});
