import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Instance } from '../../src/wasm/instance.ts';
import { PLACES, siteAt } from '../core/builds.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Unmaps as software does that forgets the invalidation. */
function unmapSilently(instance: Instance, domain: Domain, iova: number, length: number): void {
  instance.store64(layout.MAIL0, iova);
  instance.store64(layout.MAIL1, iova + length - 1);
  const { raw, base, budget } = instance;
  while (instance.check(raw.domainUnmap(base, domain.handle, budget), 'test') === layout.MORE);
}

describe.each(PLACES)('walk cache: $name', (place) => {
  function machine(format: 'amdv1' | 'vtdss' | 'armv8-s1' = 'vtdss', ways = 4) {
    const { core, instance } = siteAt(place, 4).core();
    const iommu = core.iommu({ walkCache: { sets: 4, ways }, iotlb: { sets: 1, ways: 1 } });
    const domain = iommu.domain({ format, dirtyTracking: true });
    const device = iommu.attach(1, domain);
    /** Entries that one access reads. */
    const reads = (iova: number) => {
      const { walkReads } = iommu.counters;
      device.access(iova, 1, 1);
      return iommu.counters.walkReads - walkReads;
    };
    return { core, instance, iommu, domain, device, reads };
  }

  it('starts a walk at the lowest table that it has', () => {
    const { iommu, domain, reads } = machine();
    domain.map({ iova: 0, pa: 0, length: 4 * MIB, access: 3, leafSizes: [4096] });
    domain.map({ iova: GIB, pa: 0, length: 4096, access: 3 });
    // Four levels: all of them; the leaf's table; the table beside it; that of another GiB.
    expect([0, 4096, 2 * MIB, 2 * MIB + 4096, GIB, GIB].map(reads)).toEqual([4, 1, 2, 1, 3, 0]);
    const { walkCacheHits, walkCacheMisses } = iommu.cacheCounters;
    expect([walkCacheHits, walkCacheMisses]).toEqual([4, 1]);
  });

  it('counts nothing where there is none', () => {
    const { core } = siteAt(place, 4).core();
    const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 } });
    const domain = iommu.domain({ format: 'vtdss' });
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    const device = iommu.attach(1, domain);
    device.access(0, 8192, 1);
    expect([iommu.counters.walkReads, iommu.cacheCounters.walkCacheMisses]).toEqual([8, 0]);
    expect(() => core.iommu({ walkCache: { sets: 3, ways: 1 } })).toThrow(/walkCache is 3 sets x 1 ways; .*EINVAL/);
  });

  it('keeps its tables when leaves alone are invalidated, and drops those on the way else', () => {
    const { domain, reads } = machine();
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    domain.map({ iova: GIB, pa: 0, length: 4096, access: 3 });
    [0, GIB].forEach(reads);
    domain.invalidate(0, 4096, { leafOnly: true });
    expect(reads(0)).toBe(1);
    domain.invalidate(0, 4096);
    expect([reads(0), reads(GIB)]).toEqual([4, 1]);
    domain.invalidate(8192, 4096);
    expect(reads(0)).toBe(4);
    domain.invalidateAsid();
    expect(reads(GIB)).toBe(4);
  });

  it('a leaf-only invalidation after a table was replaced leads into the old table; a whole one to the new leaf', () => {
    const { iommu, domain, device } = machine();
    domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3, leafSizes: [4096] });
    device.access(0, 1, 1);
    const steps = domain.mergeSteps(0, 2 * MIB, 2 * MIB);
    let next = steps.next();
    while (!next.done && next.value.what !== 'invalidate') next = steps.next();
    /** Whether the two pages lie in one leaf, as hardware sees it. */
    const inOneLeaf = () => {
      device.access(0, 1, 1);
      const { misses } = iommu.counters;
      device.access(4096, 1, 1);
      return iommu.counters.misses === misses;
    };
    domain.invalidate(0, 2 * MIB, { leafOnly: true });
    expect(inOneLeaf()).toBe(false);
    domain.invalidate(0, 2 * MIB);
    expect(inOneLeaf()).toBe(true);
  });

  it('follows no stale pointer to memory that holds something else now', () => {
    for (const format of ['amdv1', 'vtdss', 'armv8-s1'] as const) {
      const { core, instance, domain, device } = machine(format);
      domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
      device.access(0, 1, 2);
      unmapSilently(instance, domain, 0, 4096);
      // A bitmap takes the table's place, with words that would be entries, of addresses in the core and beyond it.
      const bitmaps = Array.from({ length: 4 }, () => core.bitmap({ length: 4096 * 32768 }));
      bitmaps.forEach((bitmap) => bitmap.mark(0, 4096 * 32768));
      domain.invalidate(0, 4096, { leafOnly: true });
      expect([format, device.access(0, 1, 2), device.fault!.reason]).toEqual([format, -1, 'translation']);
      expect(bitmaps.map((bitmap) => bitmap.count())).toEqual([32768, 32768, 32768, 32768]);
    }
  });

  it('holds while the root grows and shrinks', () => {
    const { core, domain, device } = machine('amdv1');
    const used = core.usage.usedBytes;
    const low = { iova: 0, pa: 0x1000, length: 4096, access: 3 };
    const high = { iova: 2 ** 50, pa: 0x2000, length: 4096, access: 3 };
    const reach = (iova: number) => (device.access(iova, 1, 1) < 0 ? device.fault!.reason : device.extentAddress(0));
    domain.map(low);
    expect(reach(0)).toBe(0x1000);
    domain.map(high);
    expect([reach(0), reach(2 ** 50)]).toEqual([0x1000, 0x2000]);
    domain.unmap(2 ** 50, 4096);
    expect([reach(0), reach(2 ** 50)]).toEqual([0x1000, 'translation']);
    domain.unmap(0, 4096);
    domain.map({ ...high, pa: 0x3000 });
    domain.map({ ...low, pa: 0x4000 });
    expect([reach(0), reach(2 ** 50)]).toEqual([0x4000, 0x3000]);
    domain.unmap(0, 4096);
    domain.unmap(2 ** 50, 4096);
    expect([reach(0), core.usage.usedBytes]).toEqual(['translation', used]);
  });
});
