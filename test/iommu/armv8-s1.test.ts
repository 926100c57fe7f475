import { describe, expect, it } from 'vitest';
import { PLACES, siteAt } from '../core/builds.ts';
import { entryOf, walkByHand } from './entries.ts';
import { SHAPES, domainOptions } from './table-shape.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const [SHAPE_4K, SHAPE_64K] = ['4K', '64K'].map((granule) => SHAPES.find(({ format }) => format.granule === granule)!);
const AP_READ_ONLY = 1n << 7n;
const DBM = 1n << 51n;

function setUp(place: (typeof PLACES)[number], shape: typeof SHAPE_4K, dirtyTracking: boolean) {
  const { core, instance } = siteAt(place, 2).core();
  const iommu = core.iommu();
  const domain = iommu.domain({ ...domainOptions(shape), dirtyTracking });
  const device = iommu.attach(1, domain);
  return { core, instance, iommu, domain, device };
}

// Attributes by hand (Arm ARM D8.3): AttrIndx 1, AP[1], SH inner (3), AF, nG.
const ATTRIBUTES = (1n << 2n) | (1n << 6n) | (3n << 8n) | (1n << 10n) | (1n << 11n);

describe.each(PLACES)('Armv8 stage 1: $name', (place) => {
  it.each([
    [SHAPE_4K, 4096, 0x3_4567_8000, 3n, 0],
    [SHAPE_4K, 2 * MIB, 0x3_4560_0000, 1n, 1],
    [SHAPE_4K, GIB, 0x3_4000_0000, 1n, 2],
    [SHAPE_64K, 65536, 0x3_4567_0000, 3n, 0],
    [SHAPE_64K, 512 * MIB, 0x3_4000_0000, 1n, 1],
  ])('$title: a leaf of %d bytes is the descriptor of the architecture', (shape, size, pa, type, level) => {
    const rights: [boolean, number, bigint][] = [
      [true, 3, DBM],
      [true, 2, DBM],
      [true, 1, AP_READ_ONLY],
      [false, 3, 0n],
      [false, 1, AP_READ_ONLY],
    ];
    for (const [tracked, access, bits] of rights) {
      const { instance, domain } = setUp(place, shape, tracked);
      domain.map({ iova: 2 * GIB, pa, length: size, access });
      const entry = entryOf(instance, domain, shape, 2 * GIB);
      expect([entry.level, entry.value]).toEqual([level, BigInt(pa) | type | ATTRIBUTES | bits]);
      const seen = { pa: pa + 1, leafSize: size, access: access === 1 ? 1 : 3, dirty: bits === DBM };
      expect(domain.translate(2 * GIB + 1)).toEqual(seen);
    }
  });

  it('starts dirty where it is tracked, and is writable-clean after a clear: DBM 1, AP[2] 1', () => {
    for (const shape of [SHAPE_4K, SHAPE_64K]) {
      const { core, instance, domain, device } = setUp(place, shape, true);
      const { granule } = shape;
      domain.map({ iova: 0, pa: 0, length: 2 * granule, access: 3 });
      domain.map({ iova: 2 * granule, pa: 0, length: granule, access: 1 });
      const into = core.bitmap({ length: 3 * granule, pageSize: granule });
      const read = () => {
        into.clear();
        domain.readAndClearDirty({ iova: 0, length: 3 * granule, into });
        return [...into.pageRuns()];
      };
      const rights = () => entryOf(instance, domain, shape, 0).value & (DBM | AP_READ_ONLY);
      expect(read()).toEqual([{ page: 0, pages: 2 }]);
      expect([rights(), domain.translate(0)!.access]).toEqual([DBM | AP_READ_ONLY, 3]);
      expect(read()).toEqual([]);
      device.access(granule - 1, 1, 1);
      expect([rights(), read()]).toEqual([DBM | AP_READ_ONLY, []]);
      device.access(granule - 1, 1, 2);
      expect([rights(), read()]).toEqual([DBM, [{ page: 0, pages: 1 }]]);
      expect([device.access(2 * granule, 1, 2), device.fault!.reason, read()]).toEqual([-1, 'permission', []]);
    }
  });

  it('is tracked from the start, and switching tracking on leaves everything clean', () => {
    const { core, domain, device } = setUp(place, SHAPE_4K, true);
    domain.map({ iova: 0, pa: 0, length: 4 * 4096, access: 3 });
    const into = core.bitmap({ length: 4 * 4096 });
    domain.setDirtyTracking(false);
    device.access(0, 1, 2);
    domain.setDirtyTracking(true);
    domain.readAndClearDirty({ iova: 0, length: 4 * 4096, into });
    expect(into.count()).toBe(0);
    device.access(0, 1, 2);
    domain.readAndClearDirty({ iova: 0, length: 4 * 4096, into });
    expect(into.count()).toBe(1);
  });

  it('without tracking has no DBM, and no dirty state to read', () => {
    const { core, instance, domain, device } = setUp(place, SHAPE_4K, false);
    domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    const { value } = entryOf(instance, domain, SHAPE_4K, 0);
    device.access(0, 1, 2);
    expect([value & DBM, entryOf(instance, domain, SHAPE_4K, 0).value]).toEqual([0n, value]);
    const into = core.bitmap({ length: 4096 });
    expect(() => domain.readAndClearDirty({ iova: 0, length: 4096, into })).toThrow(/EOPNOTSUPP/);
  });

  it('has tables of 13 bits with the 64K granule: 64 KiB each, three levels for 48 bits', () => {
    const { instance, domain } = setUp(place, SHAPE_64K, true);
    // The last granule of a table, and the first of the next: 2^29 bytes a table, 2^42 the level above.
    domain.map({ iova: 2 ** 42 - 65536, pa: 0, length: 2 * 65536, access: 3 });
    const [low, high] = [2 ** 42 - 65536, 2 ** 42].map((iova) => walkByHand(instance, domain, SHAPE_64K, iova));
    expect([low.length, high.length]).toEqual([3, 3]);
    const index = ({ offset }: { offset: number }) => (offset % 65536) / 8;
    expect(low.slice(1).map(index)).toEqual([8191, 8191]);
    expect(high.slice(1).map(index)).toEqual([0, 0]);
    expect(high[0].offset - low[0].offset).toBe(8);
    const tables = [...low, ...high].filter(({ level }) => level > 0).map(({ value }) => Number(value & 0xffffn));
    expect(tables).toEqual([3, 3, 3, 3]);
    expect(domain.usage).toEqual({ tables: 5, tableBytes: 2048 + 4 * 65536, mappedBytes: 131072 });
  });
});
