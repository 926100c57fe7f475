import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { Pair, VARIANTS, operation } from './table-pair.ts';
import { TableModel } from './table-model.ts';
import { SHAPES, domainOptions } from './table-shape.ts';

const RANDOM = PLACES.flatMap((place) =>
  VARIANTS.map((variant) => ({ place, variant, name: `${variant.title}, ${place.name}` })),
);
const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

describe.each(RANDOM)('page tables: $name', ({ place, variant }) => {
  const site = new Site(place, variant.shape.granule <= 4096 ? 4 : 8);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('map, unmap, translate, fault, track, split and merge as a list of leaves does', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 14 }), fc.nat(4), (operations, untracked) => {
        const pair = new Pair(site, variant, untracked !== 0);
        const start = pair.core.usage.usedBytes;
        operations.forEach((op) => pair.perform(op));
        pair.translations();
        const { said, wanted } = pair;
        expect([said, pair.empty()]).toEqual([wanted, [start, 1, 0]]);
      }),
      { numRuns: runs(40) },
    );
  });
});

describe.each(EACH)('page tables: $name', ({ place, shape }) => {
  const site = new Site(place, shape.granule === 4096 ? 4 : 8);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('are freed with their domain, whatever is in them', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    iommu.domain(domainOptions(shape)).close();
    const start = core.usage.usedBytes;
    const domain = iommu.domain(domainOptions(shape));
    const { large } = shape;
    domain.map({ iova: large - shape.granule, pa: 0, length: 7 * shape.granule, access: 3 });
    domain.map({ iova: 2 ** 46, pa: 2 ** 40, length: 2 * large, access: 3 });
    expect(core.usage.usedBytes).toBeGreaterThan(start);
    domain.close();
    expect(core.usage.usedBytes).toBe(start);
  });

  it('are as they were after a map that ran out of memory', () => {
    const small = new Site(place, 1);
    for (const iova of [2 ** 30, 2n ** 30n]) {
      const { core } = small.core();
      const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
      const domain = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
      const { granule } = shape;
      domain.map({ iova: 2 ** 30 - 3 * granule, pa: 0, length: 3 * granule, access: 3 });
      domain.map({ iova: 2 ** 46, pa: 0, length: granule, access: 1 });
      const before = [core.usage.usedBytes, domain.usage];
      const length = granule * shape.entries * 512;
      const map = () => domain.map({ iova, pa: 0, length, access: 3, leafSizes: [granule] });
      expect(map).toThrow(/^domain.map: .* open it with at least \d+ MiB \(ENOMEM\)$/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(before);
      const ends = [2 ** 30 - granule, 2 ** 30, 2 ** 46 - 1, 2 ** 46].map((at) => domain.translate(at)?.pa);
      expect(ends).toEqual([2 * granule, undefined, undefined, 0]);
      // Nothing at all can be made: not even the first table.
      const fillers: unknown[] = [];
      for (const pages of [2 ** 20, 2 ** 19, 2 ** 18, 2 ** 17, 2 ** 16, 2 ** 15, 2 ** 14]) {
        while (codeOf(() => fillers.push(core.bitmap({ length: pages * 4096 }))) === 'none');
      }
      const full = [core.usage.usedBytes, domain.usage];
      expect(map).toThrow(/ENOMEM/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(full);
    }
  });

  it('leave no table behind of a way that could not be made to its end', () => {
    const { core } = new Site(place, 2).core();
    const domain = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 }).domain(domainOptions(shape));
    const tableBytes = 8 * shape.entries;
    const fillers: { close(): void }[] = [];
    while (codeOf(() => fillers.push(core.bitmap({ length: tableBytes * 8 * 4096 }))) === 'none');
    const { inputBits } = shape.format;
    const model = new TableModel({ shape, inputBits, signed: shape.signed, tracked: false, contiguous: false });
    model.map(2 ** 45, 0, shape.granule, 3, [shape.granule]);
    const needed = model.usage.tables - 1;
    const map = () => domain.map({ iova: 2 ** 45, pa: 0, length: shape.granule, access: 3 });
    for (let free = 0; free < needed; free++) {
      const before = [core.usage.usedBytes, domain.usage];
      expect(map).toThrow(/ENOMEM/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(before);
      fillers.pop()!.close();
    }
    map();
    expect(domain.usage.tables).toBe(1 + needed);
  });
});
