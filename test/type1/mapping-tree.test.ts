import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MappingTree } from '../../src/type1/mapping-tree.ts';
import { Mapping } from '../../src/type1/mapping.ts';
import { validRanges } from '../../src/type1/valid-ranges.ts';
import { runs } from '../runs.ts';
import { range } from './rig.ts';

const UNITS = 40;

// In units from `origin` on: gaps and sizes.
const layout = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 5 })), { maxLength: 8 });
const spans = fc.array(fc.tuple(fc.nat(UNITS - 1), fc.nat(12)), { maxLength: 5 });

describe('type1 mappings', () => {
  it('are found by the bytes they hold, up to 2^64', () => {
    fc.assert(
      fc.property(
        layout,
        fc.nat(UNITS - 1),
        fc.integer({ min: 1, max: UNITS }),
        fc.boolean(),
        fc.nat(7),
        (parts, at, size, high, gone) => {
          // High: the last of the units ends at 2^64.
          const origin = high ? 2n ** 64n - BigInt(UNITS) : 0n;
          const length = Math.min(size, UNITS - at);
          let end = 0;
          const all: { from: number; to: number; mapping: Mapping }[] = [];
          for (const [gap, units] of parts) {
            const from = end + gap;
            if (from + units > UNITS) break;
            end = from + units;
            all.push({ from, to: end, mapping: new Mapping(origin + BigInt(from), BigInt(units), 3, 0n) });
          }
          const tree = new MappingTree(false);
          for (const { mapping } of [...all].reverse()) tree.insert(mapping);
          if (all.length > 0) tree.remove(all.splice(gone % all.length, 1)[0].mapping);
          const overlapping = all.filter(({ from, to }) => from < at + length && to > at).map(({ mapping }) => mapping);
          const beginning = all.filter(({ from }) => from >= at && from < at + length).map(({ mapping }) => mapping);
          const start = origin + BigInt(at);
          const found = [tree.all, tree.from(start, BigInt(length)), tree.beginningIn(start, BigInt(length))];
          expect([...found, tree.find(start, BigInt(length))]).toEqual([
            all.map(({ mapping }) => mapping),
            overlapping,
            beginning,
            overlapping[0],
          ]);
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('may lie where every aperture reaches and nothing is reserved', () => {
    const aperture = fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 12 })), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(fc.array(aperture, { minLength: 1, maxLength: 3 }), spans, (apertures, reserved) => {
        const lists = apertures.map((parts) => {
          let end = 0;
          return parts.map(([gap, units]) => {
            const start = end + gap;
            end = start + units;
            return { start: BigInt(start), end: BigInt(end - 1) };
          });
        });
        const holes = reserved.map(([from, more]) => ({ start: BigInt(from), end: BigInt(from + more) }));
        const holds = (list: readonly { start: bigint; end: bigint }[], unit: number) =>
          list.some(({ start, end }) => unit >= start && unit <= end);
        const valid = range(0, 80).filter((unit) => lists.every((list) => holds(list, unit)) && !holds(holes, unit));
        const ranges = validRanges(lists, holes);
        const covered = ranges.flatMap(({ start, end }) => range(Number(start), Number(end) + 1));
        expect(covered).toEqual(valid);
      }),
      { numRuns: runs(200) },
    );
    expect(validRanges([], [{ start: 0n, end: 5n }])).toEqual([]);
  });
});
