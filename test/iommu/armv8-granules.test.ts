import { describe, expect, it } from 'vitest';
import type { GranuleName } from '../../src/iommu/formats.ts';
import { PLACES } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const format = 'armv8-s1';
/** By hand (Arm ARM D8.3): AttrIndx 1, AP[1], SH inner (3), AF, nG. */
const ATTRIBUTES = (1n << 2n) | (1n << 6n) | (3n << 8n) | (1n << 10n) | (1n << 11n);
const READ_ONLY = 1n << 7n;
const DBM = 1n << 51n;
const CONTIGUOUS = 1n << 52n;

/** Granule, level, bytes of an entry, entries of a run (Arm ARM D8.7.1). */
const RUNS: [GranuleName, number, number, number][] = [
  ['4K', 0, 4 * KIB, 16],
  ['4K', 1, 2 * MIB, 16],
  ['4K', 2, GIB, 16],
  ['16K', 0, 16 * KIB, 128],
  ['16K', 1, 32 * MIB, 32],
  ['64K', 0, 64 * KIB, 32],
  ['64K', 1, 512 * MIB, 32],
];

describe.each(PLACES)('Armv8 granules: $name', (place) => {
  it.each(RUNS)('%s, level %d: entries of %d bytes make a contiguous run of %d', (granule, level, bytes, count) => {
    const length = bytes * count;
    const made = machine(place, { format, granule, contiguous: true, dirtyTracking: true });
    const pa = 3 * length;
    made.domain.map({ iova: 2 * length, pa, length, access: 3 });
    const type = level ? 1n : 3n;
    const first = BigInt(pa) | type | ATTRIBUTES | DBM | CONTIGUOUS;
    const run = Array.from({ length: count }, (_, i) => first + BigInt(bytes * i));
    expect(entriesAt(made, 2 * length, count)).toEqual({ level, entries: run });
    const middle = 2 * length + 5 * bytes + 123;
    expect(made.domain.translate(middle)).toEqual({
      pa: pa + 5 * bytes + 123,
      leafSize: length,
      access: 3,
      dirty: true,
    });
    expect(() => made.domain.unmap(2 * length + bytes, bytes)).toThrow(/EINVAL/);
    // It starts dirty; a clear makes every entry clean, a write one of them dirty, which stands for all.
    made.domain.clearDirty();
    expect(entriesAt(made, 2 * length, count).entries).toEqual(run.map((entry) => entry | READ_ONLY));
    made.device.access(2 * length + (count - 1) * bytes, 1, 2);
    const dirty = entriesAt(made, 2 * length, count).entries.map((entry) => (entry & READ_ONLY) === 0n);
    expect(dirty.indexOf(true)).toBe(count - 1);
    const pageSize = Math.max(bytes, 4096);
    expect(dirtyRuns(made, 4 * length, pageSize)).toEqual([[2 * count, count]]);
    expect(dirtyRuns(made, 4 * length, pageSize)).toEqual([]);
    expect(made.domain.unmap(2 * length, 1)).toBe(length);
    expect(made.domain.usage.tables).toBe(1);
  });

  it('uses runs only where asked for, as mainline Linux never does', () => {
    const { domain } = machine(place, { format });
    domain.map({ iova: 0, pa: 0, length: 64 * KIB, access: 3 });
    expect(domain.translate(0)!.leafSize).toBe(4 * KIB);
    expect(() => domain.map({ iova: MIB, pa: 0, length: 64 * KIB, access: 3, leafSizes: [64 * KIB] })).toThrow(
      /sizes that the domain was not made for/,
    );
  });

  it('has tables of 2048 entries with the 16K granule, and a root of two for 48 bits', () => {
    const made = machine(place, { format, granule: '16K' });
    made.domain.map({ iova: 2 ** 48 - 16 * KIB, pa: 0, length: 16 * KIB, access: 1 });
    const path = tablesOn(made, 2 ** 48 - 1);
    expect(path).toEqual([1, 2047, 2047].map((index) => ({ index, inMemory: true, bits: 3n })));
    expect(entriesAt(made, 2 ** 48 - 1).entries).toEqual([3n | ATTRIBUTES | READ_ONLY]);
    expect(made.domain.usage.tableBytes).toBe(2 * KIB + 3 * 16 * KIB);
  });

  it('has 52 bits with the 64K granule: outputs 51:48 in 15:12, blocks of 4 TiB', () => {
    const made = machine(place, { format, granule: '64K', inputBits: 52, outputBits: 52, dirtyTracking: true });
    made.domain.map({ iova: 2 ** 52 - 4 * TIB, pa: 0xf_0000_0000_0000, length: 4 * TIB, access: 3 });
    const block = (15n << 12n) | 1n | ATTRIBUTES | DBM;
    expect(entriesAt(made, 2 ** 52 - 1)).toEqual({ level: 2, entries: [block] });
    expect(made.domain.translate(2 ** 52 - 1)!.pa).toBe(0xf_0000_0000_0000 + 4 * TIB - 1);
    // Outputs of 48 bits have no such block, and none of its addresses.
    const narrow = machine(place, { format, granule: '64K' });
    expect(() => narrow.domain.map({ iova: 0, pa: 2 ** 48, length: 64 * KIB, access: 1 })).toThrow(/ERANGE/);
    expect(() => machine(place, { format, granule: '64K', leafSizes: [4 * TIB] })).toThrow(/EINVAL/);
  });

  it('refuses LPA2 by name', () => {
    const wide = [
      { granule: '4K', outputBits: 52 },
      { granule: '16K', outputBits: 52 },
      { granule: '4K', inputBits: 52 },
      { granule: '16K', inputBits: 49 },
    ] as const;
    for (const stage of ['armv8-s1', 'armv8-s2'] as const) {
      for (const options of wide) {
        expect(() => machine(place, { format: stage, ...options })).toThrow(
          /LPA2.* the 64K granule has 52.*EOPNOTSUPP/,
        );
      }
    }
  });
});
