// Statements about dirty tracking in I/O page tables, each a test of its name. T1 and T4 are about interleavings: see
// test/interleavings; T6 to T9 about IOTLB, faults and ATS: see the tests beside this one.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import { PLACES } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { dirtyRuns, entriesAt, machine } from './one-leaf.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const PAGE = 4 * KIB;

/** Sets AMD's D in entry `replica` of the leaf at 0, as hardware may. */
function makeDirty(made: ReturnType<typeof machine>, replica: number) {
  const { table, index } = made.domain.walk(0).at(-1)!;
  const at = table + 8 * (index + replica);
  made.instance.store64(at, made.instance.loadBig(at) | 64n);
}

describe.each(PLACES)('statements: $name', (place) => {
  it('T2 D in any single replica reports the whole page; clearing one replica only repeats the report', () => {
    const all = Array.from({ length: 8 }, (_, i) => i);
    const reports = (quirks: 'strict' | readonly ['clear-one-replica']) =>
      all.map((replica) => {
        const made = machine(place, { format: 'amdv1', dirtyTracking: true, quirks });
        made.domain.map({ iova: 0, pa: 0, length: 32 * KIB, access: READ | WRITE });
        makeDirty(made, replica);
        const found = [dirtyRuns(made, 32 * KIB), dirtyRuns(made, 32 * KIB)];
        return [...found, entriesAt(made, 0, 8).entries.filter((entry) => entry & 64n).length];
      });
    const whole = [[0, 8]];
    expect(reports('strict')).toEqual(all.map(() => [whole, [], 0]));
    expect(reports(['clear-one-replica'])).toEqual(all.map((i) => [whole, i === 0 ? [] : whole, i === 0 ? 0 : 1]));
  });

  it('T3 a touched page reports as many pages as its leaf has: 1, 512, 262144, and powers of two between for AMD', () => {
    const sizes = [4 * KIB, 8 * KIB, 64 * KIB, MIB, 2 * MIB, 4 * MIB, 256 * MIB, GIB];
    const reported = sizes.map((size) => {
      const made = machine(place, { format: 'amdv1', dirtyTracking: true, leafSizes: [size] });
      made.domain.map({ iova: GIB, pa: 0, length: GIB, access: READ | WRITE });
      made.device.access(GIB + size - 1, 1, WRITE);
      const into = made.core.bitmap({ start: GIB, length: GIB });
      made.domain.readAndClearDirty({ iova: GIB, length: GIB, into });
      return into.count();
    });
    expect(reported).toEqual(sizes.map((size) => size / PAGE));
    expect([reported[0], reported[4], reported[7]]).toEqual([1, 512, 262144]);
  });

  it('T5 a split that forgets D loses exactly what was written since the last read', () => {
    const lost = (quirks: 'strict' | readonly ['split-forgets-dirty']) => {
      const made = machine(place, { format: 'vtdss', dirtyTracking: true, quirks });
      const { domain, device } = made;
      domain.map({ iova: 0, pa: 0, length: 8 * MIB, access: READ | WRITE });
      for (const leaf of [0, 1]) device.access(leaf * 2 * MIB, 1, WRITE);
      const before = dirtyRuns(made, 8 * MIB);
      for (const leaf of [1, 2]) device.access(leaf * 2 * MIB, 1, WRITE);
      domain.split(0, 8 * MIB, 4 * KIB);
      device.access(6 * MIB, 1, WRITE);
      return [before, dirtyRuns(made, 8 * MIB)];
    };
    expect(lost('strict')).toEqual([[[0, 1024]], [[512, 1025]]]);
    expect(lost(['split-forgets-dirty'])).toEqual([[[0, 1024]], [[1536, 1]]]);
  });

  it('T10 a query that starts mid-leaf equals the aligned query clipped, and what lies outside stays dirty', () => {
    const leaf = fc.constantFrom(4 * KIB, 8 * KIB, 64 * KIB, 2 * MIB);
    const query = fc.tuple(fc.nat(1023), fc.nat(1023)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(leaf, query, fc.array(fc.nat(1023), { maxLength: 5 }), (size, [first, last], writes) => {
        const made = machine(place, { format: 'amdv1', dirtyTracking: true, leafSizes: [size] });
        const { core, domain, device } = made;
        domain.map({ iova: 0, pa: 0, length: 4 * MIB, access: READ | WRITE });
        for (const page of writes) device.access(page * PAGE, 1, WRITE);
        const perLeaf = size / PAGE;
        const dirty = new Set(
          writes.flatMap((page) => Array.from({ length: perLeaf }, (_, i) => page - (page % perLeaf) + i)),
        );
        const pagesOf = (start: number, pages: number) => {
          const into = core.bitmap({ start: start * PAGE, length: pages * PAGE });
          domain.readAndClearDirty({ iova: start * PAGE, length: pages * PAGE, into });
          const found = [...into.pageRuns()].flatMap(({ page, pages: n }) =>
            Array.from({ length: n }, (_, i) => start + page + i),
          );
          into.close();
          return found;
        };
        const clipped = pagesOf(first, last - first + 1);
        const rest = pagesOf(0, 1024);
        const ascending = [...dirty].sort((a, b) => a - b);
        const inside = (page: number) => page >= first && page <= last;
        // A leaf wholly inside the query has been cleared by it.
        const cleared = (page: number) =>
          inside(page - (page % perLeaf)) && inside(page - (page % perLeaf) + perLeaf - 1);
        expect([clipped, rest]).toEqual([ascending.filter(inside), ascending.filter((page) => !cleared(page))]);
      }),
      { numRuns: runs(30) },
    );
  });
});
