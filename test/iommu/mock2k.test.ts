import { describe, expect, it } from 'vitest';
import { ACCESS_MAX_BYTES } from '../../assembly/layout.ts';
import { PLACES } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const format = 'mock2k';

describe.each(PLACES)('2 KiB pages: $name', (place) => {
  it.each([
    [2 * KIB, 1, 0x3_4567_8803n, 0],
    [2 * KIB, 2, 0x3_4567_8805n, 0],
    [2 * KIB, 3, 0x3_4567_8807n, 0],
    [MIB, 3, 0x3_4570_0007n, 1],
  ])('a leaf of %d bytes with rights %d is the entry that the format names', (length, access, value, level) => {
    const made = machine(place, { format, dirtyTracking: true });
    const pa = Number(value & ~0x7ffn);
    made.domain.map({ iova: MIB, pa, length, access });
    expect(entriesAt(made, MIB)).toEqual({ level, entries: [value] });
    const tables = tablesOn(made, MIB);
    expect(tables.every(({ inMemory, bits }) => inMemory && bits === 0x17n)).toBe(true);
    expect(tables.length).toBe(4 - level);
  });

  it('is dirty by bit 3, leaf by leaf in a bitmap of 2 KiB pages, rounded out in one of 4 KiB', () => {
    const made = machine(place, { format, dirtyTracking: true });
    made.domain.map({ iova: 0, pa: 0, length: 256 * KIB, access: 3, leafSizes: [2 * KIB] });
    const write = () => [3, 4, 77].forEach((leaf) => made.device.access(leaf * 2 * KIB, 1, 2));
    write();
    expect(entriesAt(made, 3 * 2 * KIB, 3).entries.map((entry) => entry & 8n)).toEqual([8n, 8n, 0n]);
    const whole = [
      [3, 2],
      [77, 1],
    ];
    expect([dirtyRuns(made, 256 * KIB, 2 * KIB), dirtyRuns(made, 256 * KIB, 2 * KIB)]).toEqual([whole, []]);
    write();
    const rounded = [
      [1, 2],
      [38, 1],
    ];
    expect([dirtyRuns(made, 256 * KIB), dirtyRuns(made, 256 * KIB)]).toEqual([rounded, []]);
  });

  it('looks up each 2 KiB, and each may lead elsewhere', () => {
    const made = machine(place, { format, dirtyTracking: true });
    for (let i = 0; i < 4; i++) {
      made.domain.map({ iova: i * 2 * KIB, pa: (9 - i) * 4 * KIB, length: 2 * KIB, access: 3 });
    }
    const { device, iommu } = made;
    expect(device.access(KIB, 4 * KIB, 2)).toBe(3);
    const extents = [0, 1, 2].map((i) => [device.extentAddress(i), device.extentLength(i)]);
    expect(extents).toEqual([
      [9 * 4 * KIB + KIB, KIB],
      [8 * 4 * KIB, 2 * KIB],
      [7 * 4 * KIB, KIB],
    ]);
    expect([iommu.counters.misses, dirtyRuns(made, 8 * KIB, 2 * KIB)]).toEqual([3, [[0, 3]]]);
    device.post(0, 8 * KIB, 1);
    iommu.run();
    expect(iommu.counters.hits + iommu.counters.misses).toBe(3 + 4);
  });

  it('takes half as large an access as with 4 KiB pages, as each 2 KiB may be an extent', () => {
    const { domain, device } = machine(place, { format });
    const most = ACCESS_MAX_BYTES / 2;
    const leaves = most / (2 * KIB) + 1;
    for (let i = 0; i < leaves; i++) {
      domain.map({ iova: i * 2 * KIB, pa: (leaves - i) * 4 * KIB, length: 2 * KIB, access: 1 });
    }
    expect([device.access(2 * KIB - 1, most, 1), device.extentLength(leaves - 1)]).toEqual([leaves, 2 * KIB - 1]);
    expect(() => device.access(0, most + 1, 1)).toThrow(/E2BIG/);
  });
});
