import { describe, expect, it } from 'vitest';
import { PLACES } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const format = 'x86_64';
/** P, U and A (Intel SDM volume 3, 4.5). */
const P_U_A = 0x25n;
const RW = 0x2n;
const D = 0x40n;
const PS = 0x80n;

describe.each(PLACES)('x86-64: $name', (place) => {
  it.each([
    [4096, 0x3_4567_8000, 0, 0n],
    [2 * MIB, 0x3_4560_0000, 1, PS],
    [GIB, 0x3_4000_0000, 2, PS],
  ])('a leaf of %d bytes is the entry of the manual, D preset where nothing tracks', (length, pa, level, size) => {
    const rights: [boolean, number, bigint][] = [
      [false, 1, 0n],
      [false, 2, RW | D],
      [false, 3, RW | D],
      [true, 1, 0n],
      [true, 2, RW],
      [true, 3, RW],
    ];
    for (const [dirtyTracking, access, bits] of rights) {
      const made = machine(place, { format, dirtyTracking });
      made.domain.map({ iova: 2 * GIB, pa, length, access });
      expect(entriesAt(made, 2 * GIB)).toEqual({ level, entries: [BigInt(pa) | P_U_A | size | bits] });
    }
  });

  it('has outputs of 52 bits', () => {
    const made = machine(place, { format });
    const pa = 2 ** 52 - GIB;
    made.domain.map({ iova: 0, pa, length: GIB, access: 3 });
    expect(entriesAt(made, 0).entries).toEqual([BigInt(pa) | P_U_A | RW | D | PS]);
    expect(made.domain.translate(GIB - 1)!.pa).toBe(2 ** 52 - 1);
  });

  it('sign-extends: the upper half of 48 or 57 bits begins in the middle of the root', () => {
    for (const [inputBits, levels] of [
      [48, 4],
      [57, 5],
    ]) {
      const made = machine(place, { format, inputBits, dirtyTracking: true });
      const half = 2n ** BigInt(inputBits - 1);
      const upper = 2n ** 64n - half;
      made.domain.map({ iova: upper, pa: 0x5000, length: 4096, access: 3 });
      made.domain.map({ iova: 2n ** 64n - 4096n, pa: 0x6000, length: 4096, access: 3 });
      const tables = [upper, 2n ** 64n - 1n].map((iova) => tablesOn(made, iova));
      expect(tables.map((path) => path.map(({ index }) => index))).toEqual([
        [256, ...Array(levels - 2).fill(0)],
        Array(levels - 1).fill(511),
      ]);
      expect(tables.flat().every(({ inMemory, bits }) => inMemory && bits === (P_U_A | RW))).toBe(true);
      const { device, domain } = made;
      expect([device.access(2n ** 64n - 8n, 8, 2), device.extentAddress(0)]).toEqual([1, 0x6ff8]);
      expect(domain.inputRanges).toEqual([
        { first: 0, last: inputBits === 48 ? Number(half - 1n) : half - 1n },
        { first: upper, last: 2n ** 64n - 1n },
      ]);
      for (const hole of [half, upper - 1n]) expect(() => domain.translate(hole)).toThrow(/ERANGE/);
      expect([device.access(upper - 1n, 1, 1), device.fault!.reason]).toEqual([-1, 'address-size']);
    }
  });

  it('refuses a range from the lower half into the upper one', () => {
    const { domain } = machine(place, { format });
    const [iova, length] = [2 ** 47 - 4096, 2n ** 64n - 2n ** 48n + 8192n];
    for (const run of [() => domain.unmap(iova, length), () => domain.split(iova, length, 4096)]) {
      expect(run).toThrow(/not within the domain's input addresses.*ERANGE/);
    }
  });

  it('may have the lower half only, in a root of half as many entries', () => {
    const made = machine(place, { format, inputBits: 47, signed: false });
    made.domain.map({ iova: 2 ** 47 - 4096, pa: 0, length: 4096, access: 1 });
    expect(tablesOn(made, 2 ** 47 - 1).map(({ index }) => index)).toEqual([255, 511, 511]);
    expect(made.domain.usage.tableBytes).toBe(2048 + 3 * 4096);
    expect(() => made.domain.translate(2 ** 47)).toThrow(/ERANGE/);
    expect(() => made.domain.translate(2n ** 64n - 1n)).toThrow(/ERANGE/);
  });

  it('is dirty by D, which hardware sets with A, and only for a write', () => {
    const made = machine(place, { format, dirtyTracking: true });
    made.domain.map({ iova: 0, pa: 0, length: 3 * 4096, access: 3 });
    made.device.access(0, 1, 1);
    made.device.access(4096, 1, 2);
    const states = entriesAt(made, 0, 3).entries.map((entry) => entry & D);
    expect([states, dirtyRuns(made, 3 * 4096), dirtyRuns(made, 3 * 4096)]).toEqual([[0n, D, 0n], [[1, 1]], []]);
  });

  it('as Linux 6.12 drives it has no dirty tracking', () => {
    const make = () => machine(place, { format, dirtyTracking: true, quirks: 'linux-6.12' });
    expect(make).toThrow(/Linux 6.12 has no dirty tracking for x86_64 \(EOPNOTSUPP\)/);
  });
});
