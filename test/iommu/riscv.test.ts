import { describe, expect, it } from 'vitest';
import { PLACES } from '../core/builds.ts';
import { dirtyRuns, entriesAt, machine, tablesOn } from './one-leaf.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const format = 'riscv';
/** V, R, U and A (RISC-V privileged specification, 12.3.1). */
const V_R_U_A = 0x53n;
const W = 0x4n;
const D = 0x80n;
const NAPOT = 1n << 63n;

describe.each(PLACES)('RISC-V: $name', (place) => {
  it.each([
    [4 * KIB, 0x3_4567_8000, 0],
    [2 * MIB, 0x3_4560_0000, 1],
    [GIB, 0x3_4000_0000, 2],
    [2 ** 39, 2 ** 50 + 2 ** 39, 3],
  ])('a leaf of %d bytes is the entry of the specification, D preset where nothing tracks', (length, pa, level) => {
    const rights: [boolean, number, bigint][] = [
      [false, 1, 0n],
      [false, 2, W | D],
      [false, 3, W | D],
      [true, 1, 0n],
      [true, 2, W],
      [true, 3, W],
    ];
    for (const [dirtyTracking, access, bits] of rights) {
      const made = machine(place, { format, dirtyTracking });
      made.domain.map({ iova: 2 ** 40, pa, length, access });
      expect(entriesAt(made, 2 ** 40)).toEqual({ level, entries: [(BigInt(pa) >> 2n) | V_R_U_A | bits] });
      // W without R is reserved: who may write may read.
      expect(made.domain.translate(2 ** 40)!.access).toBe(access === 1 ? 1 : 3);
    }
  });

  it('has leaves of 256 TiB in Sv57, and outputs of 56 bits', () => {
    const made = machine(place, { format, inputBits: 57 });
    const pa = 2n ** 56n - 2n ** 48n;
    made.domain.map({ iova: 2 ** 48, pa, length: 2 ** 48, access: 1 });
    expect(entriesAt(made, 2 ** 48)).toEqual({ level: 4, entries: [(pa >> 2n) | V_R_U_A] });
    expect(made.domain.translate(2 ** 49 - 1)!.pa).toBe(2n ** 56n - 1n);
    expect(made.domain.usage.tables).toBe(1);
    expect(() => made.domain.map({ iova: 0, pa: 2n ** 56n, length: 4096, access: 1 })).toThrow(/ERANGE/);
  });

  it('has 64 KiB leaves by Svnapot where asked for: N, PPN nibble 1000, in 16 equal entries', () => {
    const plain = machine(place, { format });
    plain.domain.map({ iova: 0, pa: 0, length: 64 * KIB, access: 3 });
    expect(plain.domain.translate(0)!.leafSize).toBe(4 * KIB);
    const made = machine(place, { format, contiguous: true, dirtyTracking: true });
    made.domain.map({ iova: 64 * KIB, pa: 0x3_4567_0000, length: 64 * KIB, access: 3 });
    made.domain.map({ iova: 128 * KIB, pa: 0, length: 4 * KIB, access: 3 });
    const leaf = NAPOT | V_R_U_A | W | ((0x3_4567_0000n | 0x8000n) >> 2n);
    expect(entriesAt(made, 64 * KIB, 16)).toEqual({ level: 0, entries: Array(16).fill(leaf) });
    expect(made.domain.translate(64 * KIB + 0x5678)).toMatchObject({ pa: 0x3_4567_5678, leafSize: 64 * KIB });
    made.device.access(64 * KIB + 0x7000, 1, 2);
    const states = entriesAt(made, 64 * KIB, 16).entries.map((entry) => (entry & D) !== 0n);
    expect(states.map((dirty, i) => (dirty ? i : -1)).filter((i) => i >= 0)).toEqual([7]);
    expect([dirtyRuns(made, 256 * KIB), dirtyRuns(made, 256 * KIB)]).toEqual([[[16, 16]], []]);
  });

  it('has Sv39, Sv48 and Sv57, sign-extended, with tables that have V and no right', () => {
    for (const [inputBits, levels] of [
      [39, 3],
      [48, 4],
      [57, 5],
    ]) {
      const made = machine(place, { format, inputBits });
      const upper = 2n ** 64n - 2n ** BigInt(inputBits - 1);
      made.domain.map({ iova: upper, pa: 0, length: 4096, access: 1 });
      const tables = tablesOn(made, upper, true);
      expect(tables).toEqual(
        Array.from({ length: levels - 1 }, (_, i) => ({ index: i ? 0 : 256, inMemory: true, bits: 1n })),
      );
    }
    expect(() => machine(place, { format, signed: false })).toThrow(
      /inputBits 48 \(unsigned\) .* riscv has 39, 48 or 57/,
    );
  });

  it('as Linux 6.12 drives it has no dirty tracking', () => {
    const make = () => machine(place, { format, dirtyTracking: true, quirks: 'linux-6.12' });
    expect(make).toThrow(/Linux 6.12 has no dirty tracking for riscv \(EOPNOTSUPP\)/);
  });
});
