import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import { decodeEntry } from '../../src/iommu/entries/decode.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';
import { PLACES, codeOf, siteAt } from '../core/builds.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Which of the addresses miss, when each is read once. */
function missing(iommu: Iommu, domain: Domain, iovas: readonly number[]): number[] {
  const device = iommu.attach(1, domain);
  const missed = iovas.filter((iova) => {
    const { misses } = iommu.counters;
    device.access(iova, 1, 1);
    return iommu.counters.misses > misses;
  });
  device.close();
  return missed;
}

describe.each(PLACES)('names in the IOTLB: $name', (place) => {
  it('are unique by default, and never 0', () => {
    const { core } = siteAt(place, 2).core();
    const filler = core.bitmap({ length: 4096 });
    const iommu = core.iommu();
    filler.close();
    const taken = iommu.domain({ format: 'riscv', vmid: 4, asid: 3 });
    const domains = Array.from({ length: 6 }, () => iommu.domain({ format: 'riscv' }));
    const beside = Array.from({ length: 3 }, () => iommu.domain({ format: 'riscv', vmid: 4 }));
    const vmids = [taken, ...domains].map(({ vmid }) => vmid);
    const asids = [taken, ...beside].map(({ asid }) => asid);
    expect([new Set(vmids).size, vmids.includes(0), new Set(asids).size]).toEqual([7, false, 4]);
    expect([...beside.map(({ vmid }) => vmid), iommu.domain({ format: 'vtdss' }).asid]).toEqual([4, 4, 4, undefined]);
  });

  it('that are given twice share what is cached, sizes that one of them alone maps included', () => {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu();
    const [one, two, apart] = [9, 9, 10].map((vmid) => iommu.domain({ format: 'vtdss', vmid }));
    one.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3 });
    two.map({ iova: 4 * MIB, pa: 0, length: 4096, access: 3 });
    apart.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3 });
    expect(missing(iommu, one, [0, 4096])).toEqual([0]);
    expect([missing(iommu, two, [0, 4096]), missing(iommu, apart, [0])]).toEqual([[], [0]]);
    two.invalidate(0, 1);
    expect([missing(iommu, one, [0]), missing(iommu, apart, [0])]).toEqual([[0], []]);
  });

  it('of a domain that is gone serve nobody', () => {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu({ walkCache: { sets: 4, ways: 2 } });
    for (const format of ['vtdss', 'x86_64', 'armv8-s1'] as const) {
      const old = iommu.domain({ format, vmid: 5 });
      old.map({ iova: 0, pa: 0x4000, length: 4096, access: 3, global: format !== 'vtdss' });
      expect(missing(iommu, old, [0])).toEqual([0]);
      old.close();
      const next = iommu.domain({ format, vmid: 5 });
      const device = iommu.attach(2, next);
      expect([device.access(0, 1, 1), device.fault!.reason]).toEqual([-1, 'translation']);
      device.close();
      next.close();
    }
  });

  it('are checked', () => {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu();
    const before = core.usage.usedBytes;
    const bad: [Parameters<typeof iommu.domain>[0], RegExp][] = [
      [{ format: 'vtdss', vmid: 0 }, /vmid is 0; it must be an integer from 1 to 65535 \(EINVAL\)/],
      [{ format: 'vtdss', vmid: 65536 }, /EINVAL/],
      [{ format: 'vtdss', vmid: 1.5 }, /EINVAL/],
      [{ format: 'vtdss', asid: 1 }, /asid is 1; vtdss has no ASIDs \(EINVAL\)/],
      [{ format: 'armv8-s1', asid: 65536 }, /from 0 to 65535 \(EINVAL\)/],
      [{ format: 'riscv', asid: 2 ** 20 }, /from 0 to 1048575 \(EINVAL\)/],
    ];
    for (const [options, message] of bad) expect(() => iommu.domain(options)).toThrow(message);
    expect(core.usage.usedBytes).toBe(before);
    expect(iommu.domain({ format: 'riscv', vmid: 65535, asid: 2 ** 20 - 1 })).toMatchObject({
      vmid: 65535,
      asid: 1048575,
    });
  });
});

describe.each(PLACES)('global leaves: $name', (place) => {
  it.each(['x86_64', 'armv8-s1', 'riscv'] as const)('%s: serve every ASID of the VMID, and outlast one', (format) => {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu();
    const [one, two] = [1, 2].map((asid) => iommu.domain({ format, vmid: 3, asid }));
    const apart = iommu.domain({ format, vmid: 4, asid: 1 });
    for (const domain of [one, two, apart]) {
      domain.map({ iova: 0, pa: 0, length: 4096, access: 3, global: true });
      domain.map({ iova: 4096, pa: 0, length: 4096, access: 3 });
    }
    expect([one.translate(0)!.global, one.translate(4096)!.global]).toEqual([true, undefined]);
    const meanings = [0, 4096].map((iova) => {
      const { entry } = one.walk(iova)[3];
      return decodeEntry(format, entry, { level: 0 }).fields.some(({ meaning }) => meaning.startsWith('global'));
    });
    expect(meanings).toEqual([true, false]);
    expect(missing(iommu, one, [0, 4096])).toEqual([0, 4096]);
    expect([missing(iommu, two, [0, 4096]), missing(iommu, apart, [0])]).toEqual([[4096], [0]]);
    one.invalidateAsid();
    expect([missing(iommu, one, [0, 4096]), missing(iommu, two, [4096])]).toEqual([[4096], []]);
    two.invalidate(0, 4096);
    expect([missing(iommu, one, [0]), missing(iommu, two, [0])]).toEqual([[0], []]);
    two.invalidateDomain();
    expect([missing(iommu, one, [0, 4096]), missing(iommu, apart, [0])]).toEqual([[0, 4096], []]);
    iommu.invalidateAll();
    expect(missing(iommu, apart, [0])).toEqual([0]);
  });

  it('stay global when they are split and merged', () => {
    const { core } = siteAt(place, 2).core();
    for (const format of ['x86_64', 'armv8-s1', 'riscv'] as const) {
      const domain = core.iommu().domain({ format, dirtyTracking: true });
      domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3, global: true });
      domain.split(0, 2 * MIB, 4096);
      const small = domain.translate(8192);
      domain.merge(0, 2 * MIB, 2 * MIB);
      const global = [small, domain.translate(0)].map((leaf) => [leaf!.leafSize, leaf!.global]);
      expect([format, global]).toEqual([
        format,
        [
          [4096, true],
          [2 * MIB, true],
        ],
      ]);
    }
  });

  it('are refused where the format has no ASIDs', () => {
    const { core, instance } = siteAt(place, 2).core();
    for (const format of ['amdv1', 'vtdss', 'armv8-s2', 'mock2k'] as const) {
      const domain = core.iommu().domain({ format });
      const options = { iova: 0, pa: 0, length: 4096, access: 3 };
      expect(() => domain.map({ ...options, global: true })).toThrow(/has no ASIDs, so no global leaves \(EINVAL\)/);
      for (const [mail, value] of [0, 4095, 0, 4096, 0].entries()) instance.store64(layout.MAIL0 + 8 * mail, value);
      const rights = 3 | layout.ACCESS_GLOBAL;
      expect(instance.raw.domainCheckMap(instance.base, domain.handle, rights, 1)).toBe(-layout.EINVAL);
    }
  });
});

describe.each(PLACES)('invalidation commands: $name', (place) => {
  function machine(format: FormatName, rangeInvalidation = true) {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu({ invalidation: 'vendor', rangeInvalidation });
    const domain = iommu.domain({ format });
    domain.map({ iova: 0, pa: 0, length: 8 * 4096, access: 3, leafSizes: [4096] });
    domain.map({ iova: 2 * MIB, pa: 2 * MIB, length: 2 * MIB, access: 3, leafSizes: [2 * MIB] });
    domain.map({ iova: GIB, pa: 0, length: GIB, access: 3, leafSizes: [GIB] });
    const leaves = [0, 4096, 7 * 4096, 2 * MIB, GIB];
    /** What of the leaves goes, and for how many commands. */
    const drops = (run: () => void) => {
      missing(iommu, domain, leaves);
      const { invalidations } = iommu.counters;
      run();
      return [missing(iommu, domain, leaves), iommu.counters.invalidations - invalidations];
    };
    return { core, iommu, domain, drops };
  }

  it('T6: an AMD command smaller than a leaf leaves it; one of its size removes it', () => {
    const { domain, drops } = machine('amdv1');
    expect(drops(() => domain.invalidate(2 * MIB, 4096))).toEqual([[], 1]);
    expect(drops(() => domain.invalidate(2 * MIB, MIB))).toEqual([[], 1]);
    expect(drops(() => domain.invalidate(2 * MIB, 2 * MIB))).toEqual([[2 * MIB], 1]);
    const { domain: other, drops: otherDrops } = machine('vtdss');
    expect(otherDrops(() => other.invalidate(2 * MIB, 4096))).toEqual([[2 * MIB], 1]);
  });

  it('AMD: the block of both ends, found by the highest bit in which they differ', () => {
    const { domain, drops } = machine('amdv1');
    expect(drops(() => domain.invalidate(4096, 4096))).toEqual([[4096], 1]);
    expect(drops(() => domain.invalidate(4096, 8192))).toEqual([[0, 4096], 1]);
    // Across 2 MiB: 4 MiB from 0 on, with the leaf of 2 MiB.
    expect(drops(() => domain.invalidate(2 * MIB - 4096, 8192))).toEqual([[0, 4096, 7 * 4096, 2 * MIB], 1]);
    expect(drops(() => domain.invalidate(2 ** 51 - 4096, 8192))).toEqual([[0, 4096, 7 * 4096, 2 * MIB, GIB], 1]);
  });

  it('AMD: a difference above bit 51 means all addresses', () => {
    const { iommu, domain } = machine('amdv1');
    const far = 2n ** 60n;
    domain.map({ iova: far, pa: 0, length: 4096, access: 3 });
    const device = iommu.attach(1, domain);
    const misses = () => {
      device.access(far, 1, 1);
      return iommu.counters.misses;
    };
    const before = misses();
    domain.invalidate(2n ** 51n - 4096n, 8192);
    expect(misses() - before).toBe(0);
    domain.invalidate(2n ** 52n - 4096n, 8192);
    expect(misses() - before).toBe(1);
  });

  it('VT-d: a mask of at most 1 GiB, else the domain; the hint keeps tables', () => {
    const { domain, drops } = machine('vtdss');
    expect(drops(() => domain.invalidate(4096, 8192))).toEqual([[0, 4096], 1]);
    expect(drops(() => domain.invalidate(GIB + 4096, GIB - 8192))).toEqual([[GIB], 1]);
    expect(drops(() => domain.invalidate(GIB + 4096, GIB))).toEqual([[0, 4096, 7 * 4096, 2 * MIB, GIB], 1]);
  });

  it.each(['armv8-s1', 'armv8-s2'] as const)(
    'SMMU (%s): ranges of up to 31 times a power of two, TTL by level',
    (format) => {
      const { domain, drops } = machine(format);
      const counts: [number, number][] = [
        [1, 1],
        [2, 1],
        [31, 1],
        [32, 1],
        [33, 2],
        [62, 1],
        [63, 2],
        [0x3ff, 2],
        [0x400, 1],
        [0x8421, 4],
        [2 ** 30, 1],
      ];
      const said = counts.map(([granules]) => [granules, drops(() => domain.invalidate(2 ** 40, granules * 4096))[1]]);
      expect(said).toEqual(counts);
      expect(drops(() => domain.invalidate(4096, 8192))).toEqual([[4096], 1]);
      const both = { leafOnly: true, leafSize: 4096 };
      expect(drops(() => domain.invalidate(0, 4 * MIB, both))).toEqual([[0, 4096, 7 * 4096], 1]);
      expect(drops(() => domain.invalidate(0, 4 * MIB, { ...both, leafSize: 2 * MIB }))).toEqual([[2 * MIB], 1]);
      expect(drops(() => domain.invalidate(0, 2n ** 64n))).toEqual([[0, 4096, 7 * 4096, 2 * MIB, GIB], 1]);
    },
  );

  it('SMMU without ranges: a command per leaf, and from 512 on one for all', () => {
    const { domain, drops } = machine('armv8-s1', false);
    expect(drops(() => domain.invalidate(0, 8 * 4096))).toEqual([[0, 4096, 7 * 4096], 8]);
    expect(drops(() => domain.invalidate(0, 511 * 4096))).toEqual([[0, 4096, 7 * 4096], 511]);
    expect(drops(() => domain.invalidate(0, 512 * 4096))).toEqual([[0, 4096, 7 * 4096, 2 * MIB, GIB], 1]);
    const large = { leafOnly: true, leafSize: 2 * MIB };
    expect(drops(() => domain.invalidate(2 * MIB, 64 * MIB, large))).toEqual([[2 * MIB], 32]);
  });

  it('RISC-V: a command per page for leaves below 2 MiB, else one for the address space', () => {
    const { domain, drops } = machine('riscv');
    const all = [0, 4096, 7 * 4096, 2 * MIB, GIB];
    expect(drops(() => domain.invalidate(4096, 8192, { leafOnly: true }))).toEqual([[4096], 2]);
    expect(drops(() => domain.invalidate(2 * MIB, 2 * MIB - 4096, { leafOnly: true }))).toEqual([[2 * MIB], 511]);
    expect(drops(() => domain.invalidate(2 * MIB, 2 * MIB, { leafOnly: true }))).toEqual([all, 1]);
    expect(drops(() => domain.invalidate(4096, 8192))).toEqual([all, 1]);
  });

  it('mock2k is of no vendor: what overlaps, by one command', () => {
    const { core } = siteAt(place, 2).core();
    const iommu = core.iommu({ invalidation: 'vendor' });
    const domain = iommu.domain({ format: 'mock2k' });
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    missing(iommu, domain, [0, 2048, 4096]);
    domain.invalidate(2048, 2048);
    expect([missing(iommu, domain, [0, 2048, 4096]), iommu.counters.invalidations]).toEqual([[2048], 1]);
  });

  it('says what does not fit', () => {
    const { core, domain } = machine('armv8-s1');
    const plain = core.iommu().domain({ format: 'armv8-s1' });
    const amd = core.iommu({ invalidation: 'vendor' }).domain({ format: 'amdv1' });
    const errors: [() => unknown, RegExp][] = [
      [() => core.iommu({ invalidation: 'fast' as 'exact' }), /invalidation is 'fast'; it must be 'exact' or 'vendor'/],
      [() => core.iommu({ rangeInvalidation: true }), /it needs invalidation: 'vendor' \(EINVAL\)/],
      [() => domain.invalidate(0, 4096, { leafSize: 4096 }), /and leafOnly be true \(EINVAL\)/],
      [() => domain.invalidate(0, 4096, { leafOnly: true, leafSize: 8192 }), /leafSize is 8192; .*EINVAL/],
      [() => amd.invalidate(0, 4096, { leafOnly: true, leafSize: 4096 }), /of an Arm format/],
      [
        () => plain.invalidate(0, 4096, { leafOnly: true, leafSize: 4096 }),
        /needs an IOMMU with invalidation: 'vendor'/,
      ],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect(codeOf(() => domain.invalidate(0, 4096, { leafOnly: true, leafSize: 4096 }))).toBe('none');
  });
});
