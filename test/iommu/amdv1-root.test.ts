import { describe, expect, it } from 'vitest';
import { PLACES, codeOf } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const GIB = 2 ** 30;
const format = 'amdv1';
const PR_IR_IW = 0x6000000000000001n;

describe.each(PLACES)('AMD v1, large leaves and the root: $name', (place) => {
  // Output address, the entry by hand: NextLevel 7 and bits n-2 .. 12 set for 2^n, 0 for a natural size; level, copies.
  it.each<[number, number, bigint, number, number]>([
    [38, 2 ** 40, 0x6000_011f_ffff_fe01n, 2, 256],
    [39, 2 ** 40 + 2 ** 39, 0x6000_0180_0000_0001n, 3, 1],
    [40, 2 ** 40, 0x6000_017f_ffff_fe01n, 3, 2],
    [47, 2 ** 48, 0x6001_3fff_ffff_fe01n, 3, 256],
    [48, 2 ** 49, 0x6002_0000_0000_0001n, 4, 1],
    [51, 2 ** 51, 0x600b_ffff_ffff_fe01n, 4, 8],
  ])('a leaf of 2^%d bytes is the entry of the specification, in all its copies', (shift, pa, value, level, copies) => {
    const made = machine(place, { format, dirtyTracking: true });
    const length = 2 ** shift;
    const iova = BigInt(length);
    made.domain.map({ iova, pa, length, access: 3 });
    expect(entriesAt(made, iova, copies)).toEqual({ level, entries: Array(copies).fill(value) });
    const [seen, { index, table }] = [made.domain.translate(2n * iova - 1n)!, made.domain.walk(iova).at(-1)!];
    expect(seen).toEqual({ pa: pa + length - 1, leafSize: length, access: 3, dirty: false });
    const around = [index - 1, index + copies].filter((i) => i >= 0 && i < 512);
    expect(around.map((i) => made.instance.loadBig(table + 8 * i)).every((entry) => entry === 0n)).toBe(true);
    made.device.access(2n * iova - 1n, 1, 2);
    const dirty = entriesAt(made, iova, copies).entries.map((entry) => entry !== value);
    expect(dirty.indexOf(true)).toBe(copies - 1);
    expect(made.domain.unmap(iova, length)).toBe(length);
    expect(made.domain.usage.tables).toBe(1);
  });

  it('maps 512 GiB in one leaf, and as Linux 6.12 drives it in leaves of 256 GiB', () => {
    const linux = machine(place, { format, quirks: 'linux-6.12' });
    linux.domain.map({ iova: 0, pa: 0, length: 2 ** 39, access: 3 });
    expect([linux.domain.translate(0)!.leafSize, linux.domain.translate(2 ** 38)!.leafSize]).toEqual([
      2 ** 38,
      2 ** 38,
    ]);
    const use = () => linux.domain.map({ iova: 2 ** 39, pa: 0, length: 2 ** 39, access: 3, leafSizes: [2 ** 39] });
    expect(use).toThrow(/the domain was not made for.*EINVAL/);
    expect(() => linux.domain.merge(0, 2 ** 39, 2 ** 39)).toThrow(/EINVAL/);
    const strict = machine(place, { format });
    strict.domain.map({ iova: 0, pa: 0, length: 2 ** 39, access: 3 });
    expect(strict.domain.translate(2 ** 39 - 1)!.leafSize).toBe(2 ** 39);
  });

  it('splits 1 TiB without a leaf of 512 GiB on the way where that is left out', () => {
    const { domain, core } = machine(place, { format, quirks: 'linux-6.12', dirtyTracking: true });
    domain.map({ iova: 0, pa: 0, length: 2 ** 40, access: 3 });
    domain.setDirty(5);
    const used = core.usage.usedBytes;
    const sizes = new Set<number>();
    for (const step of domain.splitSteps(0, 4096, GIB)) {
      const leaf = domain.translate(2 ** 39)!;
      if (step.what === 'split') sizes.add(leaf.leafSize);
      expect(leaf.dirty).toBe(true);
    }
    expect([...sizes].includes(2 ** 39)).toBe(false);
    expect([0, 2 ** 39, 2 ** 40 - 1].map((iova) => domain.translate(iova)!.leafSize)).toEqual([GIB, GIB, GIB]);
    domain.merge(0, 2 ** 40, 2 ** 40);
    expect([core.usage.usedBytes, domain.translate(0)!.leafSize, domain.translate(0)!.dirty]).toEqual([
      used,
      2 ** 40,
      true,
    ]);
  });

  it('grows its root from three levels to six, with the old root at index 0, and shrinks again', () => {
    const made = machine(place, { format, dirtyTracking: true });
    const { domain, device, core } = made;
    const levels = (iova: number | bigint) => domain.walk(iova).length;
    const used = core.usage.usedBytes;
    domain.map({ iova: 4096, pa: 0x7000, length: 4096, access: 3 });
    expect([levels(4096), domain.usage.tables]).toEqual([3, 3]);
    const tops: [number | bigint, number][] = [
      [2 ** 39, 4],
      [2 ** 48, 5],
      [2n ** 57n, 6],
      [2n ** 64n - 4096n, 6],
    ];
    for (const [iova, top] of tops) {
      expect(domain.translate(iova)).toBeUndefined();
      domain.map({ iova, pa: 0x9000, length: 4096, access: 3 });
      expect([levels(iova), levels(4096), domain.translate(4096)!.pa]).toEqual([top, top, 0x7000]);
      const way = tablesOn(made, 4096).map(({ index, bits }) => [index, bits]);
      // NextLevel is the level of the table below, counted from 1.
      const wanted = Array.from({ length: top - 1 }, (_, i) => [0, PR_IR_IW | (BigInt(top - 1 - i) << 9n)]);
      expect(way).toEqual(wanted);
      expect([device.access(iova, 8, 2), device.access(4096, 8, 2)]).toEqual([1, 1]);
    }
    expect(dirtyRuns(made, 8192)).toEqual([[1, 1]]);
    for (const [iova] of [...tops].reverse()) {
      expect(domain.unmap(iova, 4096)).toBe(4096);
    }
    expect([levels(4096), domain.usage.tables]).toEqual([3, 3]);
    domain.unmap(4096, 4096);
    expect([core.usage.usedBytes, domain.usage.tables]).toEqual([used, 1]);
  });

  it('shrinks its root where a leaf in it goes, or is split', () => {
    const { domain, core } = machine(place, { format });
    domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    domain.map({ iova: 2 ** 39, pa: 0, length: 2 ** 39, access: 3 });
    expect(domain.walk(0).length).toBe(4);
    domain.unmap(2 ** 39, 1);
    expect(domain.walk(0).length).toBe(3);
    domain.unmap(0, 1);
    const used = core.usage.usedBytes;
    domain.map({ iova: 0, pa: 2 ** 39, length: 2 ** 39, access: 3 });
    expect([domain.walk(0).length, domain.usage.tables]).toEqual([1, 1]);
    domain.split(0, 2 ** 39, GIB);
    expect([domain.walk(0).map(({ level }) => level), domain.usage.tables]).toEqual([[2], 1]);
    domain.merge(0, 2 ** 39, 2 ** 39);
    expect([domain.walk(0).map(({ level }) => level), domain.translate(77)!.leafSize]).toEqual([[3], 2 ** 39]);
    domain.unmap(0, 1);
    expect([core.usage.usedBytes, domain.usage.tables]).toEqual([used, 1]);
  });

  it('has IR and IW for the rights of a leaf, tracked or not', () => {
    for (const dirtyTracking of [true, false]) {
      const made = machine(place, { format, dirtyTracking });
      [1, 2, 3].forEach((access, i) => made.domain.map({ iova: i * 4096, pa: 0x1000, length: 4096, access }));
      const entries = [0x2000000000001001n, 0x4000000000001001n, 0x6000000000001001n];
      expect(entriesAt(made, 0, 3)).toEqual({ level: 0, entries });
    }
  });

  it('merges all that its root covers only if there is memory for a root one level up', () => {
    const { core, domain } = machine(place, { format, dirtyTracking: true });
    domain.map({ iova: 0, pa: 2 ** 39, length: 2 ** 39, access: 3, leafSizes: [GIB] });
    domain.setDirty(77 * GIB);
    const fillers: { close(): void }[] = [];
    for (const bytes of [2 ** 19, 2 ** 16, 4096]) {
      while (codeOf(() => fillers.push(core.bitmap({ length: bytes * 8 * 4096 }))) === 'none');
    }
    const state = () => [core.usage.usedBytes, domain.usage, domain.translate(0), domain.walk(0).length];
    const before = state();
    expect(() => domain.merge(0, 2 ** 39, 2 ** 39)).toThrow(
      /^domain.merge: .* open it with at least \d+ MiB \(ENOMEM\)$/,
    );
    expect(state()).toEqual(before);
    // One page for the root, one for the list of what the merge replaces.
    fillers.splice(-2).forEach((filler) => filler.close());
    domain.merge(0, 2 ** 39, 2 ** 39);
    expect(domain.translate(5)).toEqual({ pa: 2 ** 39 + 5, leafSize: 2 ** 39, access: 3, dirty: true });
    expect(domain.usage.tables).toBe(1);
  });

  it('splits a leaf whole over two levels, wherever in it the query begins and ends', () => {
    const { domain } = machine(place, { format, dirtyTracking: true });
    const length = 4 * 2 ** 20;
    domain.map({ iova: 0, pa: 0, length, access: 3 });
    expect(domain.translate(0)!.leafSize).toBe(length);
    domain.split(length - 8192, 4096, 4096);
    const sizes = Array.from({ length: 1024 }, (_, i) => domain.translate(i * 4096)!.leafSize);
    expect(new Set(sizes)).toEqual(new Set([4096]));
    expect(domain.usage.tables).toBe(4);
  });

  it('unmaps a leaf of several entries whole, also from a table that is full of them', () => {
    const { domain } = machine(place, { format });
    domain.map({ iova: 0, pa: 0, length: 2 ** 21, access: 3, leafSizes: [65536] });
    expect(domain.unmap(0, 5 * 16384)).toBe(2 * 65536);
    expect([domain.translate(65536), domain.translate(2 * 65536)!.leafSize]).toEqual([undefined, 65536]);
    expect(domain.usage.mappedBytes).toBe(2 ** 21 - 2 * 65536);
  });
});
