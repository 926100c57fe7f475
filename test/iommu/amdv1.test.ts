import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { PLACES, siteAt } from '../core/builds.ts';
import { entriesFrom, entryOf, walkByHand } from './entries.ts';
import { SHAPES } from './table-shape.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SHAPE = SHAPES.find(({ format }) => format.name === 'amdv1')!;
const PR_IR_IW = 0x6000000000000001n;
const D = 0x40n;

// Leaf size, output address, the entry by hand (AMD I/O Virtualization Technology, 2.2.3): PR | IR | IW, NextLevel 7 and the
// address with bits n-2 .. 12 set and n-1 clear for an encoded size 2^n; its level and copies.
const ENCODED: [number, number, bigint, number, number][] = [
  [4 * KIB, 0x12345000, 0x6000000012345001n, 0, 1],
  [8 * KIB, 0x12346000, 0x6000000012346e01n, 0, 2],
  [16 * KIB, 0x12344000, 0x6000000012345e01n, 0, 4],
  [32 * KIB, 0x12340000, 0x6000000012343e01n, 0, 8],
  [64 * KIB, 0x12340000, 0x6000000012347e01n, 0, 16],
  [1 * MIB, 0x12300000, 0x600000001237fe01n, 0, 256],
  [2 * MIB, 0x12200000, 0x6000000012200001n, 1, 1],
  [4 * MIB, 0x12400000, 0x60000000125ffe01n, 1, 2],
  [512 * MIB, 0x20000000, 0x600000002ffffe01n, 1, 256],
  [1 * GIB, 0x1_c000_0000, 0x60000001c0000001n, 2, 1],
];

function setUp(place: (typeof PLACES)[number]) {
  const { core, instance } = siteAt(place, 2).core();
  const iommu = core.iommu();
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true });
  const device = iommu.attach(1, domain);
  return { core, instance, iommu, domain, device };
}

describe.each(PLACES)('AMD v1: $name', (place) => {
  it('has every power of two from 4 KiB to 2 PiB', () => {
    expect(SHAPE.format.leafSizes).toEqual(Array.from({ length: 40 }, (_, i) => 2 ** (12 + i)));
  });

  it.each(ENCODED)('a leaf of %d bytes is the entry of the specification, in all its copies', (...row) => {
    const [size, pa, value, level, copies] = row;
    const { instance, domain } = setUp(place);
    const iova = 6 * GIB + size;
    for (const beside of [-1, 1]) {
      domain.map({ iova: iova + beside * size, pa: 2 ** 40, length: size, access: 3, leafSizes: [size] });
    }
    domain.map({ iova, pa, length: size, access: 3, leafSizes: [size] });
    const entry = entryOf(instance, domain, SHAPE, iova);
    expect([entry.level, entry.value]).toEqual([level, value]);
    expect(entriesFrom(instance, entry, copies).every((copy) => copy === value)).toBe(true);
    const table = { ...entry, offset: entry.offset - (entry.offset % 4096) };
    expect(entriesFrom(instance, table, 512).filter((copy) => copy === value).length).toBe(copies);
    expect(domain.translate(iova + size - 1)).toEqual({ pa: pa + size - 1, leafSize: size, access: 3, dirty: false });
  });

  it('points to tables with the number of their level, which let everything through', () => {
    const { instance, domain } = setUp(place);
    domain.map({ iova: 0x7654_3210_0000, pa: 0, length: 4096, access: 1 });
    const path = walkByHand(instance, domain, SHAPE, 0x7654_3210_0000);
    expect(path.map(({ level }) => level)).toEqual([3, 2, 1, 0]);
    const tables = path.slice(0, 3).map(({ value }) => value & ~0x000f_ffff_ffff_f000n);
    expect(tables).toEqual([3n, 2n, 1n].map((level) => PR_IR_IW | (level << 9n)));
    expect(path[3].value).toBe(0x2000000000000001n);
  });

  it('lets through what every table on the way lets through', () => {
    const { instance, domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    const [top] = walkByHand(instance, domain, SHAPE, 0);
    instance.store64(top.offset, top.value & ~(1n << 62n));
    expect(domain.translate(0)!.access).toBe(1);
    expect([device.access(0, 1, 1), device.access(4096, 1, 2), device.fault!.reason]).toEqual([1, -1, 'permission']);
  });

  it('reports the whole leaf where one copy is dirty, whichever it is, and cleans them all', () => {
    const { core, instance, domain } = setUp(place);
    const iova = 64 * KIB;
    domain.map({ iova, pa: 0, length: 64 * KIB, access: 3 });
    domain.map({ iova: iova + 64 * KIB, pa: 0, length: 64 * KIB, access: 3 });
    const entry = entryOf(instance, domain, SHAPE, iova);
    const clean = entry.value;
    for (const copies of [[0], [1], [7], [15], [3, 12], Array.from({ length: 16 }, (_, i) => i)]) {
      for (const copy of copies) instance.store64(entry.offset + 8 * copy, clean | D);
      const dirty = core.bitmap({ length: 256 * KIB });
      const all = { iova: 0, length: 256 * KIB, into: dirty };
      expect(domain.translate(iova + 5 * 4096)!.dirty).toBe(true);
      domain.readAndClearDirty({ ...all, clear: false });
      expect([...dirty.pageRuns()]).toEqual([{ page: 16, pages: 16 }]);
      dirty.clear();
      domain.readAndClearDirty(all);
      expect([...dirty.pageRuns()]).toEqual([{ page: 16, pages: 16 }]);
      expect(entriesFrom(instance, entry, 32).filter((value) => (value & D) !== 0n)).toEqual([]);
      expect(entriesFrom(instance, entry, 16).every((value) => value === clean)).toBe(true);
      dirty.clear();
      domain.readAndClearDirty(all);
      expect(dirty.count()).toBe(0);
      dirty.close();
    }
  });

  it('keeps a leaf dirty that a query cuts, and reports only what the query asks for', () => {
    const { core, instance, domain } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 64 * KIB, access: 3 });
    const entry = entryOf(instance, domain, SHAPE, 0);
    instance.store64(entry.offset + 8 * 15, entry.value | D);
    const dirty = core.bitmap({ length: 64 * KIB });
    domain.readAndClearDirty({ iova: 4 * 4096, length: 3 * 4096, into: dirty });
    expect([...dirty.pageRuns()]).toEqual([{ page: 4, pages: 3 }]);
    dirty.clear();
    domain.readAndClearDirty({ iova: 4096, length: 15 * 4096, into: dirty });
    expect([...dirty.pageRuns()]).toEqual([{ page: 1, pages: 15 }]);
    expect(entriesFrom(instance, entry, 16)[15]).toBe(entry.value | D);
  });

  it('names for the invalidation all that was cleaned, from the first byte of the first leaf to the last of the last', () => {
    const { core, instance, domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 64 * KIB, access: 3, leafSizes: [8 * KIB] });
    device.access(9 * KIB, 1, 2);
    device.access(40 * KIB, 1, 2);
    const into = core.bitmap({ length: 64 * KIB });
    const { raw, base } = instance;
    const cursor = [0, 2n ** 64n - 1n, 0, 0, 0, 64 * KIB - 1];
    cursor.forEach((value, i) => instance.store64(layout.MAIL0 + 8 * i, value));
    while (raw.domainReadDirty(base, domain.handle, into.handle, 0, instance.budget) === layout.MORE);
    const [first, last, entries] = [layout.MAIL1, layout.MAIL2, layout.MAIL3].map((at) => instance.load64(at));
    expect([first, last, entries, into.count()]).toEqual([8 * KIB, 48 * KIB - 1, 16, 4]);
  });

  it('makes dirty the copy that the hardware has read, and no other', () => {
    const { instance, iommu, domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 32 * KIB, access: 3 });
    const entry = entryOf(instance, domain, SHAPE, 0);
    device.access(5 * 4096, 1, 1);
    expect(entriesFrom(instance, entry, 8).every((value) => value === entry.value)).toBe(true);
    device.access(5 * 4096, 1, 2);
    const dirty = entriesFrom(instance, entry, 8).map((value) => (value & D) !== 0n);
    expect(dirty).toEqual([false, false, false, false, false, true, false, false]);
    // The IOTLB holds the leaf as dirty now: a write to another part of it touches nothing.
    device.access(0, 1, 2);
    expect([entriesFrom(instance, entry, 1)[0], iommu.counters.dirtyUpdates]).toEqual([entry.value, 1]);
  });

  it('uses 64-bit input addresses to the top', () => {
    const { core, iommu } = setUp(place);
    const domain = iommu.domain({ format: 'amdv1', inputBits: 64, dirtyTracking: true });
    const device = iommu.attach(2, domain);
    const top = 2n ** 64n;
    domain.map({ iova: top - 65536n, pa: 0x10000, length: 65536, access: 3 });
    expect(device.access(top - 4097n, 4097, 2)).toBe(1);
    const dirty = core.bitmap({ start: top - 65536n, length: 65536 });
    domain.readAndClearDirty({ iova: top - 65536n, length: 65536, into: dirty });
    expect([...dirty.pageRuns()]).toEqual([{ page: 0, pages: 16 }]);
    domain.clearDirty();
    domain.invalidate(0, top);
    domain.setDirtyTracking(true);
    expect(domain.unmap(top - 65536n, 65536)).toBe(65536);
    expect(domain.usage.tables).toBe(1);
  });
});
