import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLACES, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { SHAPES, domainOptions } from './table-shape.ts';

const PAGES = 1400;
const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

/** Which pages are dirty: every one with the chance of one in so many, or none. */
const pattern = fc.record({ seed: fc.nat(), oneIn: fc.constantFrom(0, 1, 2, 10, 100, 1000) });

function patternOf({ seed, oneIn }: { seed: number; oneIn: number }): boolean[] {
  let state = seed >>> 0;
  return Array.from({ length: PAGES }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return oneIn > 0 && Math.floor((state / 2 ** 32) * oneIn) === 0;
  });
}

describe.each(EACH)('dirty leaves, 64 at a time: $name', ({ place, shape }) => {
  const site = siteAt(place, 4);
  const { granule } = shape;

  it('are reported where they are, and cleaned there alone', () => {
    const part = fc.record({
      first: fc.nat(PAGES - 1),
      pages: fc.integer({ min: 1, max: PAGES }),
      clear: fc.boolean(),
    });
    const read = fc.record({ before: fc.nat(200), part });
    fc.assert(
      fc.property(pattern, fc.nat(70), fc.array(read, { minLength: 1, maxLength: 3 }), (which, from, reads) => {
        const { core } = site.core();
        const domain = core.iommu().domain({ ...domainOptions(shape), dirtyTracking: true, leafSizes: [granule] });
        const base = from * granule;
        domain.map({ iova: base, pa: 0, length: PAGES * granule, access: 3 });
        domain.clearDirty();
        const dirty = patternOf(which);
        dirty.forEach((is, page) => is && domain.setDirty(base + page * granule));
        const said: number[][] = [];
        const wanted: number[][] = [];
        for (const { before, part } of [...reads, { before: 0, part: { first: 0, pages: PAGES, clear: true } }]) {
          const pages = Math.min(part.pages, PAGES - part.first);
          const iova = base + part.first * granule;
          const start = Math.max(iova - before * granule, 0);
          const into = core.bitmap({ start, length: iova + pages * granule - start, pageSize: granule });
          domain.readAndClearDirty({ iova, length: pages * granule, into, clear: part.clear });
          const skipped = (iova - start) / granule;
          said.push([...into.pageRuns()].flatMap((run) => Array.from({ length: run.pages }, (_, i) => run.page + i)));
          wanted.push(
            dirty.flatMap((is, page) => {
              const inside = page >= part.first && page < part.first + pages;
              return is && inside ? [page - part.first + skipped] : [];
            }),
          );
          if (part.clear) dirty.fill(false, part.first, part.first + pages);
          into.close();
        }
        expect(said).toEqual(wanted);
      }),
      { numRuns: runs(12) },
    );
  });

  it('of one page in a bitmap of larger pages mark all of its page', () => {
    const { core } = site.core();
    const domain = core.iommu().domain({ ...domainOptions(shape), dirtyTracking: true, leafSizes: [granule] });
    domain.map({ iova: 0, pa: 0, length: 512 * granule, access: 3 });
    domain.clearDirty();
    for (const page of [0, 63, 64, 300]) domain.setDirty(page * granule);
    const into = core.bitmap({ length: 512 * granule, pageSize: 4 * granule });
    domain.readAndClearDirty({ iova: 0, length: 512 * granule, into });
    expect([...into.pageRuns()].map(({ page, pages }) => [page, pages])).toEqual([
      [0, 1],
      [15, 2],
      [75, 1],
    ]);
  });
});
