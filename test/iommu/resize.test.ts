import { describe, expect, it } from 'vitest';
import type { Domain } from '../../src/iommu/domain.ts';
import { PLACES, Site, codeOf, siteAt } from '../core/builds.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

/** A size and one above it that is 16 to 2048 times as large. */
function twoSizes(shape: TableShape): [number, number] {
  if (shape.format.name === 'amdv1') return [4096, 65536];
  const [small, large] = shape.format.leafSizes;
  return large / small > 2048 ? [large, large] : [small, large];
}

/** Everything that can be seen of a domain's leaves of `size` bytes in [0, length). */
function seen(domain: Domain, length: number, size: number) {
  return Array.from({ length: length / size }, (_, i) => domain.translate(i * size));
}

const SPLITTABLE = EACH.filter(({ shape }) => twoSizes(shape)[0] !== twoSizes(shape)[1]);

describe.each(SPLITTABLE)('split and merge: $name', ({ place, shape }) => {
  const [small, large] = twoSizes(shape);
  const count = large / small;

  function setUp(access = 3) {
    const { core, instance } = siteAt(place, 4).core();
    const domain = core.iommu().domain({ ...domainOptions(shape), dirtyTracking: true });
    domain.map({ iova: 0, pa: large, length: 2 * large, access, leafSizes: [large] });
    domain.clearDirty();
    return { core, instance, domain };
  }

  it('a split copies the dirty state to every child, and keeps addresses and rights', () => {
    const { core, domain } = setUp();
    const used = core.usage.usedBytes;
    domain.setDirty(small + 7);
    domain.split(0, 2 * large, small);
    const leaves = seen(domain, 2 * large, small);
    const wanted = leaves.map((_, i) => ({ pa: large + i * small, leafSize: small, access: 3, dirty: i < count }));
    expect(leaves).toEqual(wanted);
    domain.merge(0, 2 * large, large);
    const merged = seen(domain, 2 * large, large);
    expect(merged.map((leaf) => [leaf!.leafSize, leaf!.dirty])).toEqual([
      [large, true],
      [large, false],
    ]);
    expect([core.usage.usedBytes, domain.unmap(0, 2 * large)]).toEqual([used, 2 * large]);
  });

  it('a merge is dirty where any one child was, the first, a middle one or the last', () => {
    for (const child of [0, count >> 1, count - 1]) {
      const { domain } = setUp();
      domain.split(0, 2 * large, small);
      domain.setDirty(large + child * small);
      domain.merge(0, 2 * large, large);
      expect([child, seen(domain, 2 * large, large).map((leaf) => leaf!.dirty)]).toEqual([child, [false, true]]);
    }
  });

  it('a split takes whole leaves, from within the first to within the last', () => {
    const { domain } = setUp();
    domain.split(large - small, 2 * small, small);
    expect(seen(domain, 2 * large, small).every((leaf) => leaf!.leafSize === small)).toBe(true);
    // What is small enough already stays.
    const before = domain.usage;
    domain.split(0, large, small);
    domain.split(0, large, large);
    expect(domain.usage).toEqual(before);
  });

  it('a merge is refused over a hole, unlike rights, scattered or unaligned addresses, and changes nothing', () => {
    const refused: ((domain: Domain) => void)[] = [
      (domain) => void domain.unmap(large - small, small),
      (domain) => {
        domain.unmap(large - small, small);
        domain.map({ iova: large - small, pa: 2 * large - small, length: small, access: 1 });
      },
      (domain) => {
        domain.unmap(large - small, small);
        domain.map({ iova: large - small, pa: 4 * large, length: small, access: 3 });
      },
      (domain) => {
        domain.unmap(0, large);
        domain.map({ iova: 0, pa: large + small, length: large, access: 3, leafSizes: [small] });
      },
    ];
    for (const spoil of refused) {
      const { core, domain } = setUp();
      domain.split(0, 2 * large, small);
      spoil(domain);
      const before = [core.usage, domain.usage, seen(domain, 2 * large, small)];
      // The second block alone could be merged; the first one's error is found before.
      expect(codeOf(() => domain.merge(0, 2 * large, large))).toBe('EINVAL');
      expect([core.usage, domain.usage, seen(domain, 2 * large, small)]).toEqual(before);
      domain.merge(large, large, large);
      expect(domain.translate(large)!.leafSize).toBe(large);
    }
  });

  it('a split that finds a hole changes nothing', () => {
    const { domain, core } = setUp();
    const before = [core.usage, domain.usage];
    expect(codeOf(() => domain.split(0, 3 * large, small))).toBe('ENOENT');
    expect([core.usage, domain.usage, domain.translate(0)!.leafSize]).toEqual([...before, large]);
  });

  it('reaches a cached leaf: a write through what was cached before marks the leaf that there is now', () => {
    const { core, domain } = setUp();
    const iommu = core.iommu();
    const other = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
    other.map({ iova: 0, pa: 0, length: large, access: 3, leafSizes: [large] });
    other.clearDirty();
    const device = iommu.attach(1, other);
    device.access(0, 1, 1);
    other.split(0, large, small);
    device.access(small, 1, 2);
    const dirty = seen(other, large, small).map((leaf) => leaf!.dirty);
    expect([dirty.indexOf(true), dirty.lastIndexOf(true)]).toEqual([1, 1]);
    other.merge(0, large, large);
    expect([other.translate(0)!.dirty, iommu.counters.invalidations > 1]).toEqual([true, true]);
    expect(domain.translate(0)!.dirty).toBe(false);
  });
});

describe.each(EACH)('out of memory: $name', ({ place, shape }) => {
  const tableBytes = 8 * shape.entries;
  const small = new Site(place, 3);

  /** A core in which nothing but `free` tables can be had, and a domain in it. */
  function nearlyFull(prepare: (domain: Domain) => void, free: number) {
    const { core } = small.core();
    const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
    const domain = iommu.domain({ ...domainOptions(shape), inputBits: 48, dirtyTracking: true });
    prepare(domain);
    const fillers: { close(): void }[] = [];
    // Blocks of the tables' size, then smaller ones until nothing is left of those either.
    while (codeOf(() => fillers.push(core.bitmap({ length: tableBytes * 8 * 4096 }))) === 'none');
    for (let i = 0; i < free; i++) fillers.pop()!.close();
    return { core, domain };
  }

  /** Runs `change` with 0, 1, 2 .. tables to be had until it passes; how many it took. */
  function attempts(prepare: (domain: Domain) => void, change: (domain: Domain) => void, look: (d: Domain) => unknown) {
    const spoilt: unknown[] = [];
    for (let free = 0; free < 40; free++) {
      const { core, domain } = nearlyFull(prepare, free);
      const state = () => [core.usage.usedBytes, domain.usage, look(domain)];
      const before = state();
      const code = codeOf(() => change(domain));
      if (code === 'none') return { tables: free, spoilt };
      const after = state();
      if (code !== 'ENOMEM' || JSON.stringify(after) !== JSON.stringify(before))
        spoilt.push([free, code, before, after]);
    }
    return { tables: Infinity, spoilt };
  }

  it('a map that fails at any allocation leaves everything as it was', () => {
    const { granule, entries } = shape;
    const span = granule * entries;
    const prepare = (domain: Domain) => domain.map({ iova: 0, pa: 0, length: granule, access: 1 });
    // The ends of five tables, two levels up.
    const change = (domain: Domain) => {
      domain.map({ iova: 2 ** 40 - 2 * span, pa: 0, length: 4 * span, access: 3, leafSizes: [granule] });
    };
    const look = (domain: Domain) => [0, 2 ** 40 - 2 * span, 2 ** 40].map((iova) => domain.translate(iova));
    const { tables, spoilt } = attempts(prepare, change, look);
    expect(spoilt).toEqual([]);
    expect([tables >= 4, tables < 16]).toEqual([true, true]);
  });

  it('a split that lacks any of its tables leaves everything as it was', () => {
    // Six leaves of the next level down to the smallest: a table each.
    const leaf = shape.granule * shape.entries;
    const prepare = (domain: Domain) => domain.map({ iova: 0, pa: 0, length: 6 * leaf, access: 3 });
    const change = (domain: Domain) => domain.split(0, 6 * leaf, shape.granule);
    const look = (domain: Domain) => [0, 5 * leaf].map((iova) => domain.translate(iova)!.leafSize);
    expect(attempts(prepare, change, look)).toEqual({ tables: 6, spoilt: [] });
  });

  it('says what would do', () => {
    const { domain } = nearlyFull((one) => one.map({ iova: 0, pa: 0, length: shape.large, access: 3 }), 0);
    expect(() => domain.split(0, shape.large, shape.granule)).toThrow(
      /^domain.split: .* open it with at least \d+ MiB \(ENOMEM\)$/,
    );
  });
});
