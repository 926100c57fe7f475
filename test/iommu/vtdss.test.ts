import { describe, expect, it } from 'vitest';
import { PLACES, siteAt } from '../core/builds.ts';
import { entryOf, walkByHand } from './entries.ts';
import { SHAPES } from './table-shape.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SHAPE = SHAPES.find(({ format }) => format.name === 'vtdss')!;
const A_D = 0x300n;

function setUp(place: (typeof PLACES)[number], inputBits = 48) {
  const { core, instance } = siteAt(place, 2).core();
  const iommu = core.iommu();
  const domain = iommu.domain({ format: 'vtdss', dirtyTracking: true, inputBits });
  return { core, instance, iommu, domain, device: iommu.attach(1, domain) };
}

describe.each(PLACES)('VT-d second stage: $name', (place) => {
  // Size, rights, entry by hand (Intel VT-d specification, 9.8): R bit 0, W bit 1, PS bit 7 above the lowest level.
  it.each([
    [4096, 1, 0x3_4567_8001n, 0],
    [4096, 2, 0x3_4567_8002n, 0],
    [4096, 3, 0x3_4567_8003n, 0],
    [2 * MIB, 3, 0x3_4560_0083n, 1],
    [2 * MIB, 1, 0x3_4560_0081n, 1],
    [GIB, 3, 0x3_4000_0083n, 2],
  ])('a leaf of %d bytes with rights %d is the entry of the specification', (size, access, value, level) => {
    const { instance, domain } = setUp(place);
    const pa = Number(value - (value % BigInt(size)));
    domain.map({ iova: 2 * GIB, pa, length: size, access });
    const entry = entryOf(instance, domain, SHAPE, 2 * GIB);
    expect([entry.level, entry.value]).toEqual([level, value]);
    const translation = { pa: pa + size - 1, leafSize: size, access, dirty: false };
    expect(domain.translate(2 * GIB + size - 1)).toEqual(translation);
  });

  it('has no present bit: what lets neither reads nor writes through is not there', () => {
    const { instance, domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 8192, access: 3 });
    const entry = entryOf(instance, domain, SHAPE, 0);
    instance.store64(entry.offset, entry.value & ~3n);
    expect(domain.translate(0)).toBe(undefined);
    expect([device.access(0, 1, 1), device.fault!.reason]).toEqual([-1, 'translation']);
    instance.store64(entry.offset, entry.value & ~1n);
    expect(domain.translate(0)!.access).toBe(2);
  });

  it.each([
    [39, 3],
    [48, 4],
    [57, 5],
  ])('has %d input bits in %d levels', (inputBits, levels) => {
    const { instance, domain } = setUp(place, inputBits);
    const iova = 2 ** 38;
    domain.map({ iova, pa: 0, length: 4096, access: 3 });
    const path = walkByHand(instance, domain, SHAPE, iova);
    expect(path.length).toBe(levels);
    expect(path.slice(0, -1).every(({ value }) => (value & 0xfffn) === 3n)).toBe(true);
    expect(domain.usage.tableBytes).toBe(4096 * levels);
  });

  it('sets D and A on a write, neither on a read, and clears D alone', () => {
    const { core, instance, domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    const { value } = entryOf(instance, domain, SHAPE, 0);
    device.access(0, 8, 1);
    expect(entryOf(instance, domain, SHAPE, 0).value).toBe(value);
    device.access(0, 8, 2);
    expect(entryOf(instance, domain, SHAPE, 0).value).toBe(value | A_D);
    const into = core.bitmap({ length: 4096 });
    domain.readAndClearDirty({ iova: 0, length: 4096, into });
    expect([into.count(), entryOf(instance, domain, SHAPE, 0).value]).toEqual([1, value | 0x100n]);
  });

  it('lets a mapping be write-only', () => {
    const { domain, device } = setUp(place);
    domain.map({ iova: 0, pa: 0, length: 4096, access: 2 });
    expect([device.access(0, 1, 2), device.access(0, 1, 1), device.fault!.reason]).toEqual([1, -1, 'permission']);
  });
});
