import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { FormatName, GranuleName } from '../../src/iommu/formats.ts';
import { GuestPageTable } from '../../src/iommu/guest-page-table.ts';
import { codeOf, PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const RW = READ | WRITE;

/** Where the guest's RAM lies for the guest and for the machine. */
const GPA = 0;
const PA = 0x8000_0000;
const RAM = 4 * MIB;

interface Pair {
  readonly first: FormatName;
  readonly granule?: GranuleName;
  readonly second: FormatName;
  readonly secondGranule?: GranuleName;
}

const PAIRS: readonly Pair[] = [
  { first: 'armv8-s1', granule: '4K', second: 'armv8-s2', secondGranule: '4K' },
  { first: 'armv8-s1', granule: '64K', second: 'armv8-s2', secondGranule: '4K' },
  { first: 'armv8-s1', granule: '4K', second: 'armv8-s2', secondGranule: '64K' },
  { first: 'x86_64', second: 'vtdss' },
  { first: 'x86_64', second: 'amdv1' },
];

/** A guest with RAM of 4 MiB, its tables in the first MiB, and a device behind two stages. */
function nest(
  place: Place,
  pair: Pair,
  { hostLeaf = undefined as number | undefined, tracked = false, vendor = false } = {},
) {
  const { core, instance } = siteAt(place, 8).core();
  const ram = core.ram({ length: RAM, pa: PA, va: GPA });
  const iommu = core.iommu({ ram, invalidation: vendor ? 'vendor' : 'exact' });
  const granuleOf = (granule: GranuleName | undefined) => (granule ? { granule } : {});
  const parent = iommu.domain({ format: pair.second, ...granuleOf(pair.secondGranule), dirtyTracking: true });
  parent.map({ iova: GPA, pa: PA, length: RAM, access: RW, ...(hostLeaf ? { leafSizes: [hostLeaf] } : {}) });
  const table = new GuestPageTable({
    format: pair.first,
    ...granuleOf(pair.granule),
    memory: ram,
    tables: { gpa: GPA, length: MIB },
    dirtyTracking: tracked,
  });
  const stage1 = { format: pair.first, ...granuleOf(pair.granule), root: table.root, dirtyTracking: tracked };
  const domain = iommu.nested(parent, stage1);
  const device = iommu.attach(0x18, domain);
  parent.clearDirty();
  return { core, instance, ram, iommu, parent, table, domain, device };
}

type Nest = ReturnType<typeof nest>;

/** The dirty pages of guest RAM, cleared. */
function dirtyPages({ core, parent }: Nest): number[] {
  const into = core.bitmap({ length: RAM });
  parent.readAndClearDirty({ iova: GPA, length: RAM, into });
  const pages = [...into.pageRuns()].flatMap(({ page, pages: n }) => Array.from({ length: n }, (_, i) => page + i));
  into.close();
  return pages;
}

const EACH = PLACES.flatMap((place) =>
  PAIRS.map((pair) => ({
    place,
    pair,
    name: `${pair.first} ${pair.granule ?? ''} over ${pair.second} ${pair.secondGranule ?? ''}, ${place.name}`,
  })),
);

describe.each(EACH)('two stages: $name', ({ place, pair }) => {
  const leaf = pair.granule === '64K' ? 64 * KIB : 4 * KIB;
  const iova = 0x1234_0000;

  it('a translation goes through both, and no further than the smaller leaf', () => {
    const { table, domain, device, parent } = nest(place, pair);
    table.map({ iova, gpa: 2 * MIB, length: 4 * leaf, access: RW });
    expect(device.access(iova + leaf - 8, 16, WRITE)).toBe(1);
    expect([device.extentAddress(0), device.extentLength(0)]).toEqual([PA + 2 * MIB + leaf - 8, 16]);
    const under = parent.translate(2 * MIB)!;
    expect(domain.translate(iova + 5)).toEqual({
      pa: PA + 2 * MIB + 5,
      leafSize: Math.min(leaf, under.leafSize),
      access: RW,
      dirty: true,
    });
    const { steps, ipa } = domain.walk(iova + 5);
    expect([steps.length, steps[0].ipa, ipa]).toEqual([table.levels, expect.any(Number), 2 * MIB + 5]);
  });

  it('what devices write is dirty in stage 2, in the pages of the guest, and tables that are only read are not', () => {
    const size = pair.secondGranule === '64K' ? 64 * KIB : 4 * KIB;
    const made = nest(place, pair, { hostLeaf: size });
    made.table.map({ iova, gpa: 2 * MIB, length: 4 * leaf, access: RW });
    made.device.access(iova, 8, READ);
    expect(dirtyPages(made)).toEqual([]);
    made.device.access(iova + leaf, 8, WRITE);
    const first = Math.floor((2 * MIB + leaf) / size) * (size / 4096);
    const pages = Array.from({ length: size / 4096 }, (_, i) => first + i);
    expect(dirtyPages(made)).toEqual(pages);
    // Cleared and invalidated by its address in stage 2, the nested leaf walks again.
    made.device.access(iova + leaf, 8, WRITE);
    expect(dirtyPages(made)).toEqual(pages);
    expect(dirtyPages(made)).toEqual([]);
  });

  it('vendor commands, which cannot name an address of stage 2, drop the nested leaves of the VMID', () => {
    const made = nest(place, pair, { hostLeaf: pair.secondGranule === '64K' ? 64 * KIB : 4 * KIB, vendor: true });
    made.table.map({ iova, gpa: 2 * MIB, length: leaf, access: RW });
    const written = [1, 2, 3].map(() => {
      made.device.access(iova, 8, WRITE);
      return dirtyPages(made)[0];
    });
    expect(written).toEqual([512, 512, 512]);
  });

  it('faults name their stage, and stage 2 what it was asked for', () => {
    const { table, device, parent, iommu } = nest(place, pair);
    table.map({ iova, gpa: 2 * MIB, length: leaf, access: READ });
    table.map({ iova: iova + leaf, gpa: 64 * MIB, length: leaf, access: RW });
    const fault = (at: number, access: number) => {
      expect(device.access(at, 8, access)).toBe(-1);
      const { reason, stage, ipa } = device.fault!;
      return [reason, stage, ipa];
    };
    expect(fault(iova + 16 * MIB, READ)).toEqual(['translation', 1, undefined]);
    expect(fault(iova, WRITE)).toEqual(['permission', 1, undefined]);
    device.access(iova, 8, READ);
    expect(fault(iova, WRITE)).toEqual(['permission', 1, undefined]);
    expect(fault(iova + leaf + 4, READ)).toEqual(['translation', 2, 64 * MIB + 4]);
    const { faults } = iommu.takeFaults();
    expect(faults.map(({ stage }) => stage)).toEqual([1, 1, 1, 2]);
    expect(faults[3].ipa).toBe(64 * MIB + 4);
    // Without the stage 2 of its tables the guest's walk ends there.
    parent.unmap(GPA, RAM);
    expect(fault(iova, READ)).toEqual(['translation', 2, expect.any(Number)]);
  });

  it('rights are those that both stages have', () => {
    const { table, device, parent } = nest(place, pair, {
      hostLeaf: pair.secondGranule === '64K' ? 64 * KIB : 4 * KIB,
    });
    parent.unmap(2 * MIB, MIB);
    parent.map({ iova: 2 * MIB, pa: PA + 2 * MIB, length: MIB, access: READ });
    table.map({ iova, gpa: 2 * MIB, length: leaf, access: RW });
    expect(device.access(iova, 8, READ)).toBe(1);
    expect(device.access(iova, 8, WRITE)).toBe(-1);
    expect([device.fault!.reason, device.fault!.stage]).toEqual(['permission', 2]);
  });

  it('a leaf of stage 1 that hardware makes dirty is a write to the page of its table', () => {
    const size = pair.secondGranule === '64K' ? 64 * KIB : 4 * KIB;
    const made = nest(place, pair, { hostLeaf: size, tracked: true });
    const { core, iommu, table, device } = made;
    table.map({ iova, gpa: 2 * MIB, length: 2 * leaf, access: RW });
    const written = core.bitmap({ start: PA, length: RAM });
    iommu.logTableWrites(written);
    device.access(iova, 8, WRITE);
    const { steps } = made.domain.walk(iova);
    const tablePage = Math.floor(Number(steps.at(-1)!.ipa) / 4096);
    expect([...written.pageRuns()]).toEqual([{ page: tablePage, pages: 1 }]);
    const per = size / 4096;
    const unit = (page: number) => Array.from({ length: per }, (_, i) => Math.floor(page / per) * per + i);
    expect(dirtyPages(made)).toEqual([...unit(tablePage), ...unit((2 * MIB) / 4096)]);
    // The guest's own leaf says so too, and a second write touches nothing.
    written.clear();
    device.access(iova, 8, WRITE);
    expect([written.count(), dirtyPages(made)]).toEqual([0, unit((2 * MIB) / 4096)]);
  });

  it('a walk beyond the addresses of either stage leads nowhere', () => {
    const { table, domain } = nest(place, pair);
    expect(codeOf(() => domain.walk(2n ** 62n))).toBe('ERANGE');
    expect(codeOf(() => domain.translate(2n ** 62n))).toBe('ERANGE');
    const gpa = pair.second === 'vtdss' ? 2 ** 48 : 64 * MIB;
    table.map({ iova, gpa, length: leaf, access: RW });
    const { ipa, under } = domain.walk(iova + 5);
    expect([ipa, under.length > 0]).toEqual([gpa + 5, pair.second !== 'vtdss']);
    expect(domain.translate(iova)).toBe(undefined);
  });

  it('is invalidated by either key, and by nothing else', () => {
    const { table, device, domain, parent } = nest(place, pair);
    table.map({ iova, gpa: 2 * MIB, length: leaf, access: RW });
    const hits = () => device.access(iova, 8, READ) === 1;
    hits();
    table.unmap(iova, leaf);
    expect(hits()).toBe(true);
    domain.invalidate(iova + 16 * leaf, leaf);
    parent.invalidate(3 * MIB, MIB);
    expect(hits()).toBe(true);
    domain.invalidate(iova, leaf);
    expect(hits()).toBe(false);
    table.map({ iova, gpa: 2 * MIB, length: leaf, access: RW });
    expect(hits()).toBe(true);
    table.unmap(iova, leaf);
    parent.invalidate(2 * MIB, leaf);
    expect(hits()).toBe(false);
  });

  it('tables where the IOMMU has no memory end the walk', () => {
    const { device, parent, iommu, domain } = nest(place, pair);
    parent.unmap(GPA, RAM);
    parent.map({ iova: GPA, pa: 2 ** 34, length: RAM, access: RW });
    expect(device.access(iova, 8, READ)).toBe(-1);
    expect([device.fault!.reason, device.fault!.stage]).toEqual(['walk-abort', 1]);
    expect(codeOf(() => parent.close())).toBe('EBUSY');
    device.close();
    domain.close();
    parent.close();
    iommu.close();
  });

  it('agrees with both tables, looked up in turn, for any mappings and any access', () => {
    const page = fc.nat(15);
    const mapping = fc.record({ at: page, to: page, access: fc.constantFrom(READ, RW) });
    fc.assert(
      fc.property(
        fc.array(mapping, { maxLength: 8 }),
        fc.array(fc.tuple(page, fc.boolean()), { maxLength: 8 }),
        (maps, dma) => {
          const made = nest(place, pair, { hostLeaf: pair.secondGranule === '64K' ? 64 * KIB : 4 * KIB });
          const { table, device, ram } = made;
          const wanted = new Map<number, { gpa: number; access: number }>();
          for (const { at, to, access } of maps) {
            if (wanted.has(at)) continue;
            const gpa = 2 * MIB + to * leaf;
            table.map({ iova: iova + at * leaf, gpa, length: leaf, access });
            wanted.set(at, { gpa, access });
          }
          const found = dma.map(([at, write]) => {
            const n = device.access(iova + at * leaf + 3, 1, write ? WRITE : READ);
            return n < 0 ? 'refused' : device.extentAddress(0);
          });
          const right = dma.map(([at, write]) => {
            const to = wanted.get(at);
            return to && (to.access & WRITE || !write) ? PA + to.gpa + 3 : 'refused';
          });
          ram.read(0n, new Uint8Array(8));
          expect(found).toEqual(right);
        },
      ),
      { numRuns: runs(15) },
    );
  });
});

describe('nested domains', () => {
  const place = PLACES[0];

  it('are refused where no hardware nests them, and say what would be right', () => {
    const { iommu, parent, domain } = nest(place, PAIRS[3]);
    expect(() => iommu.nested(parent, { format: 'armv8-s1', root: 0 })).toThrow(
      /armv8-s1 goes over armv8-s2, x86_64 over vtdss or amdv1/,
    );
    expect(() => iommu.nested(parent, { format: 'x86_64', root: 8 })).toThrow(/a root is aligned to its size/);
    expect(codeOf(() => iommu.nested(parent, { format: 'x86_64', root: 0, asid: 0 }))).toBe('EINVAL');
    expect(iommu.nested(parent, { format: 'x86_64', root: 0, asid: 7 }).asid).toBe(7);
    expect([domain.vmid === parent.vmid, domain.asid > 0]).toEqual([true, true]);
    const { core } = siteAt(place, 4).core();
    const bare = core.iommu();
    expect(() => bare.nested(bare.domain({ format: 'vtdss' }), { format: 'x86_64', root: 0 })).toThrow(
      /made without ram/,
    );
  });

  it('an ASID of its own keeps two guests address spaces apart, and a PASID names each', () => {
    const { iommu, ram, parent, table, domain, device } = nest(place, PAIRS[0]);
    const other = new GuestPageTable({ format: 'armv8-s1', memory: ram, tables: { gpa: MIB, length: MIB } });
    table.map({ iova: 4096, gpa: 2 * MIB, length: 4096, access: RW });
    other.map({ iova: 4096, gpa: 3 * MIB, length: 4096, access: RW });
    const space = device.pasid(5, iommu.nested(parent, { format: 'armv8-s1', root: other.root }));
    const leads = (requester: typeof device) => {
      requester.access(4096, 8, READ);
      return requester.extentAddress(0);
    };
    expect([leads(device), leads(space), leads(device)]).toEqual([PA + 2 * MIB, PA + 3 * MIB, PA + 2 * MIB]);
    other.unmap(4096, 4096);
    domain.invalidateAsid();
    expect(leads(space)).toBe(PA + 3 * MIB);
  });
});
