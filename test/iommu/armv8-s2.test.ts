import { describe, expect, it } from 'vitest';
import type { GranuleName } from '../../src/iommu/formats.ts';
import { PLACES } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const format = 'armv8-s2';
/** By hand (Arm ARM D8.3): MemAttr write-back (15), SH inner (3), AF. */
const ATTRIBUTES = (15n << 2n) | (3n << 8n) | (1n << 10n);
const S2AP_R = 1n << 6n;
const S2AP_W = 1n << 7n;
const DBM = 1n << 51n;

describe.each(PLACES)('Armv8 stage 2: $name', (place) => {
  it.each<[GranuleName, number, number, bigint, number]>([
    ['4K', 4 * KIB, 0x3_4567_8000, 3n, 0],
    ['4K', 2 * MIB, 0x3_4560_0000, 1n, 1],
    ['4K', GIB, 0x3_4000_0000, 1n, 2],
    ['16K', 16 * KIB, 0x3_4567_8000, 3n, 0],
    ['16K', 32 * MIB, 0x3_4600_0000, 1n, 1],
    ['64K', 64 * KIB, 0x3_4567_0000, 3n, 0],
    ['64K', 512 * MIB, 0x3_4000_0000, 1n, 1],
  ])('%s: a leaf of %d bytes is the descriptor of the architecture', (granule, length, pa, type, level) => {
    const rights: [boolean, number, bigint][] = [
      [false, 1, S2AP_R],
      [false, 2, S2AP_W],
      [false, 3, S2AP_R | S2AP_W],
      [true, 1, S2AP_R],
      [true, 2, DBM],
      [true, 3, S2AP_R | DBM],
    ];
    for (const [dirtyTracking, access, bits] of rights) {
      const made = machine(place, { format, granule, dirtyTracking });
      made.domain.map({ iova: 2 * GIB, pa, length, access });
      expect(entriesAt(made, 2 * GIB)).toEqual({ level, entries: [BigInt(pa) | type | ATTRIBUTES | bits] });
      expect(made.domain.translate(2 * GIB)).toEqual({ pa, leafSize: length, access, dirty: false });
    }
  });

  it('is writable-clean with DBM 1, S2AP[1] 0 and writable-dirty with both 1', () => {
    const made = machine(place, { format, dirtyTracking: true });
    made.domain.map({ iova: 0, pa: 0, length: 3 * 4096, access: 3 });
    const states = () => entriesAt(made, 0, 3).entries.map((entry) => entry & (DBM | S2AP_W));
    expect([states(), dirtyRuns(made, 3 * 4096)]).toEqual([[DBM, DBM, DBM], []]);
    made.device.access(0, 1, 1);
    made.device.access(4096, 1, 2);
    expect(states()).toEqual([DBM, DBM | S2AP_W, DBM]);
    expect([dirtyRuns(made, 3 * 4096), states(), dirtyRuns(made, 3 * 4096)]).toEqual([[[1, 1]], [DBM, DBM, DBM], []]);
  });

  it.each<[GranuleName, number, number, number]>([
    // One table would do; two of them; sixteen; one bit more is a level more.
    ['4K', 39, 2, 4 * KIB],
    ['4K', 40, 2, 8 * KIB],
    ['4K', 43, 2, 64 * KIB],
    ['4K', 44, 3, 2 * KIB],
    ['4K', 48, 3, 4 * KIB],
    ['16K', 36, 1, 16 * KIB],
    ['16K', 40, 1, 256 * KIB],
    ['16K', 41, 2, 2 * KIB],
    ['16K', 48, 2, 32 * KIB],
    ['64K', 42, 1, 64 * KIB],
    ['64K', 46, 1, MIB],
    ['64K', 47, 2, 2 * KIB],
  ])('%s, %d bits: as few levels as concatenated tables at the top allow', (granule, inputBits, tables, rootBytes) => {
    const made = machine(place, { format, granule, inputBits, dirtyTracking: true });
    const { domain, device } = made;
    expect(domain.usage.tableBytes).toBe(rootBytes);
    const page = { '4K': 4 * KIB, '16K': 16 * KIB, '64K': 64 * KIB }[granule];
    const ends = [0, 2 ** inputBits - page];
    for (const iova of ends) domain.map({ iova, pa: iova, length: page, access: 3 });
    const paths = ends.map((iova) => tablesOn(made, iova));
    expect(paths[0].map(({ index }) => index).every((index) => index === 0)).toBe(true);
    // Blocks have 2 KiB at least: a root of few entries fills its own only in part.
    if (rootBytes > 2 * KIB) expect(domain.walk(ends[1])[0].index).toBe(rootBytes / 8 - 1);
    expect(paths.flat().every(({ inMemory, bits }) => inMemory && bits === 3n)).toBe(true);
    expect(new Set(paths.map((path) => path.length))).toEqual(new Set([tables]));
    expect(device.access(2 ** inputBits - 1, 1, 2)).toBe(1);
    for (const iova of ends) domain.unmap(iova, page);
    expect(domain.usage).toEqual({ tables: 1, tableBytes: rootBytes, mappedBytes: 0 });
  });

  it('has no leaf above its root', () => {
    const low = machine(place, { format, inputBits: 25 });
    low.domain.map({ iova: 0, pa: 0, length: 32 * MIB, access: 3 });
    expect([low.domain.translate(0)!.leafSize, low.domain.usage.tables]).toEqual([4 * KIB, 1]);
    expect(() => machine(place, { format, inputBits: 25, leafSizes: [2 * MIB] })).toThrow(
      /no leaf larger than its root reaches \(EINVAL\)/,
    );
  });

  it('reports a contiguous run whole where one entry of it is dirty', () => {
    const made = machine(place, { format, contiguous: true, dirtyTracking: true, inputBits: 40 });
    made.domain.map({ iova: 64 * KIB, pa: 0x1230_0000, length: 64 * KIB, access: 3 });
    const run = entriesAt(made, 64 * KIB, 16).entries;
    const first = 0x1230_0000n | 3n | ATTRIBUTES | S2AP_R | DBM | (1n << 52n);
    expect(run).toEqual(Array.from({ length: 16 }, (_, i) => first + 4096n * BigInt(i)));
    made.device.access(64 * KIB + 9 * 4096, 1, 2);
    const dirty = entriesAt(made, 64 * KIB, 16).entries.map((entry, i) => entry !== run[i]);
    expect(dirty.indexOf(true)).toBe(9);
    expect([dirtyRuns(made, 256 * KIB), dirtyRuns(made, 256 * KIB)]).toEqual([[[16, 16]], []]);
    expect(entriesAt(made, 64 * KIB, 16).entries).toEqual(run);
  });

  it('with the 64K granule has outputs of 52 bits, bits 51:48 in 15:12, and leaves of 4 TiB', () => {
    const made = machine(place, { format, granule: '64K', inputBits: 52, outputBits: 52 });
    const pa = 2 ** 52 - 4 * TIB;
    made.domain.map({ iova: 8 * TIB, pa, length: 4 * TIB, access: 1 });
    made.domain.map({ iova: 0, pa: 0xa_1234_5678_0000, length: 64 * KIB, access: 1 });
    const block = (BigInt(pa) & (2n ** 48n - 1n)) | (15n << 12n) | 1n | ATTRIBUTES | S2AP_R;
    expect(entriesAt(made, 8 * TIB)).toEqual({ level: 2, entries: [block] });
    expect(made.domain.translate(12 * TIB - 1)!.pa).toBe(2 ** 52 - 1);
    const page = 0x1234_5678_0000n | (10n << 12n) | 3n | ATTRIBUTES | S2AP_R;
    expect(entriesAt(made, 0)).toEqual({ level: 0, entries: [page] });
    // A run of leaves over the border of 2^48: their entries do not differ by one number throughout.
    made.domain.map({ iova: GIB, pa: 2 ** 48 - 128 * KIB, length: 256 * KIB, access: 1 });
    const run = entriesAt(made, GIB, 4).entries.map((entry) => entry & ~(ATTRIBUTES | S2AP_R | 3n));
    expect(run).toEqual([2n ** 48n - 131072n, 2n ** 48n - 65536n, 1n << 12n, (1n << 16n) | (1n << 12n)]);
  });

  it('as Linux 6.12 drives it has no dirty tracking', () => {
    const make = () => machine(place, { format, dirtyTracking: true, quirks: 'linux-6.12' });
    expect(make).toThrow(/Linux 6.12 has no dirty tracking for armv8-s2 \(EOPNOTSUPP\)/);
  });
});
