import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Instance } from '../../src/wasm/instance.ts';
import { PLACES, codeOf, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { entryOf } from './entries.ts';
import { DomainModel, IotlbModel } from './iotlb-model.ts';
import { SHAPES, domainOptions } from './table-shape.ts';

const MIB = 2 ** 20;
const SPAN = 8 * MIB;
const SIZES: Record<string, number[]> = { amdv1: [4096, 8192, 65536, 2 * MIB, 4 * MIB] };
const SMALL_AND_LARGE = [4096, 2 * MIB];
const SHAPES_4K = SHAPES.filter(({ granule }) => granule === 4096);

/** Changes the tables as software does that forgets the invalidation. */
function unmapSilently(instance: Instance, domain: Domain, iova: number, length: number): void {
  instance.store64(layout.MAIL0, iova);
  instance.store64(layout.MAIL1, iova + length - 1);
  while (
    instance.check(instance.raw.domainUnmap(instance.base, domain.handle, instance.budget), 'test') === layout.MORE
  );
}

// Few pages, so that they meet: those around the starts of 64 KiB and 2 MiB leaves.
const page = fc.constantFrom(0, 1, 2, 3, 8, 15, 16, 17, 31, 511, 512, 513, 528, 1024, 1026, 1535, 2047);
const which = fc.nat(1);
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('access' as const), which, page, access: fc.constantFrom(1, 1, 2, 2, 3) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('map' as const),
      which,
      page,
      size: fc.nat(4),
      pa: fc.nat(7),
      access: fc.constantFrom(1, 2, 3, 3, 3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unmap' as const), which, page, silent: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('invalidate' as const),
      which,
      page,
      pages: fc.integer({ min: 1, max: 600 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('clear' as const),
      which,
      page,
      pages: fc.integer({ min: 1, max: 2048 }),
      order: fc.constantFrom('safe' as const, 'no-invalidate' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('track' as const), which, on: fc.boolean() }) },
);

function setUp(place: Place, sets: number, ways: number, format: 'amdv1' | 'vtdss' | 'armv8-s1' = 'amdv1') {
  const { core, instance } = siteAt(place, 2).core();
  const iommu = core.iommu({ iotlb: { sets, ways } });
  const domain = iommu.domain({ format, dirtyTracking: true });
  const device = iommu.attach(1, domain);
  return { core, instance, iommu, domain, device };
}

describe.each(PLACES)('IOTLB: $name', (place) => {
  it.each(SHAPES_4K)('$title: hits, misses, evicts and caches the dirty state as lists do', (shape) => {
    const geometry = fc.constantFrom([1, 1], [1, 3], [2, 2], [4, 1], [8, 4], [64, 2], [1024, 1]);
    fc.assert(
      fc.property(geometry, fc.array(operation, { maxLength: 60 }), ([sets, ways], operations) => {
        const { core, instance } = siteAt(place, 2).core();
        const iommu = core.iommu({ iotlb: { sets, ways } });
        const domains = [0, 1].map(() => iommu.domain({ ...domainOptions(shape), dirtyTracking: true }));
        const devices = domains.map((domain, i) => iommu.attach(i, domain));
        const into = core.bitmap({ length: SPAN });
        const models = [1, 2].map((vmid) => new DomainModel(shape, { vmid, asid: 0 }));
        const iotlb = new IotlbModel(sets, ways);
        const said: unknown[] = [];
        const wanted: unknown[] = [];
        for (const step of operations) {
          const domain = domains[step.which];
          const model = models[step.which];
          const iova = 'page' in step ? step.page * 4096 : 0;
          switch (step.op) {
            case 'access': {
              const device = devices[step.which];
              const done = device.access(iova + 8, 16, step.access);
              said.push(done < 0 ? device.fault!.reason : device.extentAddress(0));
              wanted.push(iotlb.access(model, iova + 8, step.access));
              break;
            }
            case 'map': {
              const sizes = SIZES[shape.title] ?? SMALL_AND_LARGE;
              const size = sizes[step.size % sizes.length];
              const options = { iova: iova - (iova % size), pa: step.pa * size, length: size, access: step.access };
              said.push(codeOf(() => domain.map({ ...options, leafSizes: [size] })));
              wanted.push(model.map(options.iova, options.pa, size, step.access) ? 'none' : 'EADDRINUSE');
              break;
            }
            case 'unmap': {
              const size = model.unmap(iova);
              if (size === 0) break;
              if (step.silent) unmapSilently(instance, domain, iova, size);
              else domain.unmap(iova, size);
              if (!step.silent) iotlb.invalidate(model, iova, iova + size - 1);
              break;
            }
            case 'invalidate':
              domain.invalidate(iova, step.pages * 4096);
              iotlb.invalidate(model, iova, iova + step.pages * 4096 - 1);
              break;
            case 'clear': {
              const length = Math.min(step.pages * 4096, SPAN - iova);
              domain.readAndClearDirty({ iova, length, into, order: step.order });
              iotlb.clearDirty(model, iova, iova + length - 1, step.order === 'safe');
              break;
            }
            case 'track':
              domain.setDirtyTracking(step.on);
              iotlb.setTracking(model, step.on);
          }
        }
        const dirty = models.map((model, i) => model.leaves.map((leaf) => domains[i].translate(leaf.iova)!.dirty));
        const wantedDirty = models.map((model) => model.leaves.map((leaf) => leaf.dirty.size > 0));
        expect([said, iommu.counters, dirty]).toEqual([wanted, iotlb.counters, wantedDirty]);
      }),
      { numRuns: runs(60) },
    );
  });

  it('replaces the least recently used way of a set', () => {
    const { iommu, domain, device } = setUp(place, 2, 2);
    domain.map({ iova: 0, pa: 0, length: 16 * 4096, access: 3, leafSizes: [4096] });
    const touch = (...pages: number[]) => {
      pages.forEach((number) => device.access(number * 4096, 1, 1));
      const { hits, misses, evictions } = iommu.counters;
      return [hits, misses, evictions];
    };
    // Even pages lie in set 0, odd ones in set 1.
    expect(touch(0, 2, 0, 1)).toEqual([1, 3, 0]);
    expect(touch(4)).toEqual([1, 4, 1]);
    expect(touch(0, 1)).toEqual([3, 4, 1]);
    expect(touch(2)).toEqual([3, 5, 2]);
    expect(touch(0, 4)).toEqual([4, 6, 3]);
  });

  it('drops exactly the leaves of the domain that overlap the range', () => {
    const { iommu, domain, device } = setUp(place, 16, 8);
    const other = iommu.domain({ format: 'amdv1' });
    const neighbour = iommu.attach(2, other);
    const leaves = [0, 4096, 8192, 65536, 2 * MIB, 4 * MIB];
    for (const target of [domain, other]) {
      target.map({ iova: 0, pa: 0, length: 12288, access: 3, leafSizes: [4096] });
      target.map({ iova: 65536, pa: 65536, length: 65536, access: 3, leafSizes: [65536] });
      target.map({ iova: 2 * MIB, pa: 2 * MIB, length: 2 * MIB, access: 3, leafSizes: [2 * MIB] });
      target.map({ iova: 4 * MIB, pa: 4 * MIB, length: 4 * MIB, access: 3, leafSizes: [4 * MIB] });
    }
    const missesOf = (who: typeof device) =>
      leaves.filter((iova) => {
        const { misses } = iommu.counters;
        who.access(iova, 1, 1);
        return iommu.counters.misses > misses;
      });
    const all = [leaves, leaves];
    expect([missesOf(device), missesOf(neighbour)]).toEqual(all);
    const cases: [number, number, number[]][] = [
      [0, 1, [0]],
      [4095, 2, [0, 4096]],
      [4096, 4096, [4096]],
      [12288, 65536 - 12288, []],
      [12288, 65536 - 12288 + 1, [65536]],
      [131071, 1, [65536]],
      [131072, 2 * MIB - 131072, []],
      [3 * MIB, 4096, [2 * MIB]],
      [4 * MIB - 1, 2, [2 * MIB, 4 * MIB]],
      [8 * MIB - 1, 1, [4 * MIB]],
      [8 * MIB, 2 ** 40, []],
      [0, 2 ** 48, leaves],
    ];
    for (const [iova, length, gone] of cases) {
      domain.invalidate(iova, length);
      expect([iova, missesOf(device), missesOf(neighbour)]).toEqual([iova, gone, []]);
    }
    expect(iommu.counters.invalidations).toBe(cases.length);
  });

  it('lets writes through a leaf cached as dirty leave memory alone, and walks again for one cached as clean', () => {
    const { instance, iommu, domain, device } = setUp(place, 4, 4, 'vtdss');
    const shape = SHAPES.find(({ title }) => title === 'vtdss')!;
    domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    const entry = entryOf(instance, domain, shape, 0);
    const dirty = () => (instance.loadBig(entry.offset) & 0x200n) !== 0n;
    device.access(0, 1, 1);
    expect([dirty(), iommu.counters.walkReads, iommu.counters.dirtyUpdates]).toEqual([false, 4, 0]);
    device.access(0, 1, 2);
    expect([dirty(), iommu.counters.walkReads, iommu.counters.dirtyUpdates]).toEqual([true, 8, 1]);
    // Cleaned in memory behind the IOTLB's back: the write that follows is lost, as on hardware.
    instance.store64(entry.offset, entry.value);
    device.access(0, 1, 2);
    expect([dirty(), iommu.counters.walkReads, iommu.counters.hits]).toEqual([false, 8, 2]);
    domain.invalidate(0, 1);
    device.access(0, 1, 2);
    expect([dirty(), iommu.counters.walkReads, iommu.counters.misses]).toEqual([true, 12, 2]);
  });

  it('loses a write after a clear without invalidation, and none after one with it', () => {
    for (const format of ['amdv1', 'vtdss', 'armv8-s1'] as const) {
      const counts = (['no-invalidate', 'safe'] as const).map((order) => {
        const { core, domain, device } = setUp(place, 4, 4, format);
        domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
        const into = core.bitmap({ length: 4096 });
        device.access(0, 1, 2);
        domain.readAndClearDirty({ iova: 0, length: 4096, into, order });
        into.clear();
        device.access(0, 1, 2);
        domain.readAndClearDirty({ iova: 0, length: 4096, into });
        return into.count();
      });
      expect([format, counts]).toEqual([format, [0, 1]]);
    }
  });

  it('caches leaves as dirty while nothing tracks, and forgets them as tracking begins', () => {
    const { core, iommu, domain, device } = setUp(place, 4, 4);
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    domain.setDirtyTracking(false);
    device.access(0, 1, 1);
    device.access(0, 1, 2);
    expect([iommu.counters.walkReads, iommu.counters.dirtyUpdates, domain.translate(0)!.dirty]).toEqual([3, 0, false]);
    domain.setDirtyTracking(true);
    device.access(0, 1, 2);
    expect([iommu.counters.misses, domain.translate(0)!.dirty]).toEqual([2, true]);
    const into = core.bitmap({ length: 8192 });
    domain.readAndClearDirty({ iova: 0, length: 8192, into });
    // An 8 KiB leaf: both pages.
    expect(into.count()).toBe(2);
  });

  it('goes on using what it has cached after the tables have changed, until it is told', () => {
    const { instance, domain, device } = setUp(place, 4, 4);
    domain.map({ iova: 0, pa: 0x10000, length: 4096, access: 1 });
    device.access(0, 1, 1);
    unmapSilently(instance, domain, 0, 4096);
    expect([device.access(0, 1, 1), device.extentAddress(0)]).toEqual([1, 0x10000]);
    domain.map({ iova: 0, pa: 0x20000, length: 4096, access: 3 });
    expect([device.access(0, 1, 1), device.extentAddress(0)]).toEqual([1, 0x10000]);
    expect([device.access(0, 1, 2), device.fault!.reason]).toEqual([-1, 'permission']);
    domain.invalidate(0, 4096);
    expect([device.access(0, 1, 2), device.extentAddress(0)]).toEqual([1, 0x20000]);
  });

  it('finds a smaller leaf before a larger one that is stale', () => {
    const { instance, domain, device } = setUp(place, 4, 4);
    domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3 });
    device.access(0, 1, 1);
    unmapSilently(instance, domain, 0, 2 * MIB);
    domain.map({ iova: 4096, pa: 0x7000, length: 4096, access: 3 });
    expect([device.access(4096, 1, 1), device.extentAddress(0)]).toEqual([1, 4096]);
    // A write re-walks what is cached as clean: it meets the new leaf, and the stale one goes.
    expect([device.access(4096, 1, 2), device.extentAddress(0)]).toEqual([1, 0x7000]);
    expect([device.access(0, 1, 1), device.fault!.reason]).toEqual([-1, 'translation']);
  });

  it('keeps a leaf in the set that its own number names, whatever page of it is asked for', () => {
    const { iommu, domain, device } = setUp(place, 4, 1, 'vtdss');
    domain.map({ iova: 0, pa: 0, length: 4 * MIB, access: 3 });
    // Two leaves of 2 MiB in sets 0 and 1; their first 4 KiB pages, 0 and 512, would both be of set 0.
    for (let i = 0; i < 8; i++) device.access((i & 1) * 2 * MIB + i * 4096, 1, 1);
    const { hits, misses, evictions } = iommu.counters;
    expect([hits, misses, evictions]).toEqual([6, 2, 0]);
  });

  it('has a geometry that is checked', () => {
    const { core } = siteAt(place, 2).core();
    const bad: [Parameters<typeof core.iommu>[0], RegExp][] = [
      [{ iotlb: { sets: 3, ways: 1 } }, /iotlb is 3 sets x 1 ways; sets must be a power of two.*EINVAL/],
      [{ iotlb: { sets: 512, ways: 256 } }, /all entries at most 65536 \(EINVAL\)/],
      [{ iotlb: { sets: 0, ways: 1 } }, /sets of iotlb is 0; it must be an integer from 1 to 65536 \(EINVAL\)/],
      [{ iotlb: { sets: 1, ways: 1.5 } }, /ways of iotlb is 1.5/],
      [{ requests: 0 }, /requests is 0/],
      [{ requests: 65537 }, /requests is 65537/],
      [{ events: NaN }, /events is NaN/],
      [{ events: 2 ** 32 + 1 }, /events is 4294967297/],
    ];
    for (const [options, message] of bad) expect(() => core.iommu(options)).toThrow(message);
  });
});
