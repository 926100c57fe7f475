import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalMap, type Interval } from '../../src/address-space/interval-map.ts';
import { runs } from '../runs.ts';

const SIZE = 24;
const step = fc.record({
  first: fc.nat(SIZE - 1),
  count: fc.integer({ min: 1, max: SIZE }),
  value: fc.option(fc.nat(2), { nil: undefined }),
});

/** [from, to) of the model's values, as pieces with one value each. */
function pieces(values: readonly (number | undefined)[], from: number, to: number): Interval<number | undefined>[] {
  const found: Interval<number | undefined>[] = [];
  for (let i = from; i < to; i++) {
    const previous = found.at(-1);
    if (previous && previous.value === values[i]) found[found.length - 1] = { ...previous, last: BigInt(i) };
    else found.push({ first: BigInt(i), last: BigInt(i), value: values[i] });
  }
  return found;
}

describe('interval map', () => {
  it('holds what an array of values holds, in as few intervals as there can be', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.nat(SIZE - 1), fc.nat(SIZE - 1), (steps, a, b) => {
        const map = new IntervalMap<number>((x, y) => x === y);
        const model: (number | undefined)[] = Array(SIZE).fill(undefined);
        for (const { first, count, value } of steps) {
          const last = Math.min(first + count, SIZE) - 1;
          map.update(BigInt(first), BigInt(last), () => value);
          model.fill(value, first, last + 1);
        }
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        expect([map.intervals, map.pieces(BigInt(from), BigInt(to))]).toEqual([
          pieces(model, 0, SIZE).filter(({ value }) => value !== undefined),
          pieces(model, from, to + 1),
        ]);
      }),
      { numRuns: runs(300) },
    );
  });

  it('changes what is there, piece by piece', () => {
    const map = new IntervalMap<number>((x, y) => x === y);
    map.update(10n, 19n, () => 1);
    map.update(5n, 14n, (value) => (value ?? 0) + 1);
    expect(map.intervals).toEqual([
      { first: 5n, last: 9n, value: 1 },
      { first: 10n, last: 14n, value: 2 },
      { first: 15n, last: 19n, value: 1 },
    ]);
    map.update(10n, 14n, (value) => value! - 1);
    expect(map.intervals).toEqual([{ first: 5n, last: 19n, value: 1 }]);
  });

  it('takes very many intervals at once', () => {
    const map = new IntervalMap<number>((x, y) => x === y);
    for (let i = 0; i < 5000; i++) map.update(BigInt(2 * i), BigInt(2 * i), () => i);
    map.update(0n, 2n ** 64n - 1n, (value) => value && value + 1);
    expect([map.intervals.length, map.intervals.at(-1)]).toEqual([5000, { first: 9998n, last: 9998n, value: 5000 }]);
    map.update(0n, 2n ** 64n - 1n, () => 7);
    expect(map.intervals).toEqual([{ first: 0n, last: 2n ** 64n - 1n, value: 7 }]);
  });
});
