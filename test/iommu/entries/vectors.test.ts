import { describe, expect, it } from 'vitest';
import { decodeEntry } from '../../../src/iommu/entries/decode.ts';
import { encodeEntry } from '../../../src/iommu/entries/encode.ts';
import { ENTRY_FORMATS } from '../../../src/iommu/entries/registry.ts';
import { hex } from '../../../src/wasm/address.ts';
import { VECTORS } from './vectors.ts';

const ALL = Object.entries(VECTORS).flatMap(([format, vectors]) => vectors.map((vector) => ({ format, ...vector })));

describe('entries put together by hand', () => {
  it('are there for every format', () => {
    expect(Object.keys(VECTORS)).toEqual(ENTRY_FORMATS.map(({ name }) => name));
  });

  it.each(ALL)('$format, $title: is read as what it is', ({ format, value, at, is }) => {
    expect(decodeEntry(format, value, at)).toMatchObject({ format, value, ...is, ignored: 0n, reserved: 0n });
  });

  it.each(ALL.filter(({ made }) => made))('$format, $title: is made bit by bit', ({ format, value, made }) => {
    expect(hex(encodeEntry(format, made!))).toBe(hex(value));
  });
});

/** Fields of an entry as `name=value`. */
function fieldsOf(format: string, value: bigint, level?: number, granule?: string): Record<string, bigint> {
  const { fields } = decodeEntry(format, value, { level, granule });
  return Object.fromEntries(fields.map((field) => [field.name, field.value]));
}

function meaningOf(format: string, name: string, value: bigint, level?: number): string {
  return decodeEntry(format, value, { level }).fields.find((field) => field.name === name)!.meaning;
}

describe('fields', () => {
  it('of an AMD size that is natural, though encoded: there are no replicas', () => {
    expect(decodeEntry('amdv1', 0x6000_0000_000f_fe01n)).toMatchObject({ size: 1n << 21n, level: 1, notes: [] });
  });

  it('beyond a narrower output address are reserved, and no part of the address', () => {
    const decoded = decodeEntry('amdv1', 0x6000_2080_0000_1001n, { level: 0, outputBits: 40 });
    expect(decoded).toMatchObject({ address: 0x80_0000_1000n, reserved: 0x2000_0000_0000n });
  });

  it('of address bits are given where they stand', () => {
    const fields = { ADDR: 0x4020_0000, SNP: 1 };
    expect(hex(encodeEntry('vtdss', { address: 0, level: 1, read: true, fields }))).toBe('0x40200881');
  });

  it('of an AMD leaf: U, FC and the size in the address', () => {
    expect(fieldsOf('amdv1', 0x7800_0000_1234_7e41n)).toEqual({
      ...{ PR: 1n, A: 0n, D: 1n, NextLevel: 7n, PageAddress: 0x1234_7000n, U: 1n, FC: 1n, IR: 1n, IW: 1n },
    });
    expect(meaningOf('amdv1', 'NextLevel', 0x7800_0000_1234_7e41n)).toMatch(/64 KiB/);
  });

  it('of an AMD table: the level that it points to', () => {
    expect(fieldsOf('amdv1', 0x6000_0000_0765_4421n)).toEqual({
      ...{ PR: 1n, A: 1n, NextLevel: 2n, NextTableAddress: 0x765_4000n, U: 0n, FC: 0n, IR: 1n, IW: 1n },
    });
    expect(meaningOf('amdv1', 'NextLevel', 0x6000_0000_0765_4401n)).toMatch(/AMD level 2/);
  });

  it('of a VT-d leaf', () => {
    expect(fieldsOf('vtdss', 0x4020_0bf7n, 1)).toEqual({
      ...{ R: 1n, W: 1n, X: 1n, EMT: 6n, IPAT: 1n, PS: 1n, A: 1n, D: 1n, SNP: 1n, ADDR: 0x4020_0000n },
    });
    expect(meaningOf('vtdss', 'EMT', 0x4020_0bf7n, 1)).toMatch(/write-back/);
  });

  it('of an x86-64 leaf', () => {
    expect(fieldsOf('x86_64', 0x8000_0000_4020_10fdn, 1)).toEqual({
      ...{
        P: 1n,
        RW: 0n,
        U: 1n,
        PWT: 1n,
        PCD: 1n,
        A: 1n,
        D: 1n,
        PS: 1n,
        G: 0n,
        PAT: 1n,
        Address: 0x4020_0000n,
        XD: 1n,
      },
    });
  });

  it('of an Arm stage 1 block', () => {
    expect(fieldsOf('armv8-s1', 0x54f8_0000_4021_07e9n, 1)).toEqual({
      ...{ Type: 1n, AttrIndx: 2n, NS: 1n, 'AP[1]': 1n, 'AP[2]': 1n, SH: 3n, AF: 1n, nG: 0n, nT: 1n, OA: 0x4020_0000n },
      ...{ DBM: 1n, Contiguous: 1n, PXN: 1n, UXN: 1n, SW: 9n, PBHA: 10n },
    });
  });

  it('of an Arm stage 1 table', () => {
    expect(fieldsOf('armv8-s1', 0xd800_1234_5678_7003n, 1, '64K')).toEqual({
      ...{ Type: 3n, 'NLTA[51:48]': 7n, NLTA: 0x1234_5678_0000n, PXNTable: 1n, XNTable: 1n, APTable: 2n, NSTable: 1n },
    });
  });

  it('of an Arm stage 2 page', () => {
    expect(fieldsOf('armv8-s2', 0x5048_0000_1234_56d7n, 0)).toEqual({
      ...{ Type: 3n, MemAttr: 5n, S2AP: 3n, SH: 2n, AF: 1n, OA: 0x1234_5000n, DBM: 1n, Contiguous: 0n, XN: 2n, SW: 0n },
      PBHA: 10n,
    });
  });

  it('of a RISC-V leaf', () => {
    expect(fieldsOf('riscv', 0x4000_0000_048d_16ffn, 0)).toEqual({
      ...{ V: 1n, R: 1n, W: 1n, X: 1n, U: 1n, G: 1n, A: 1n, D: 1n, RSW: 2n, PPN: 0x1_2345n, PBMT: 2n, N: 0n },
    });
  });

  it('say in words what stage 1 keeps of writes', () => {
    const words = [0x1fc7n, 0x1f47n, 0x0008_0000_0000_1fc7n, 0x0008_0000_0000_1f47n].map((value) =>
      meaningOf('armv8-s1', 'AP[2]', value, 0).replace(/[:,].*/, ''),
    );
    expect(words).toEqual(['read-only', 'writable', 'writable-clean', 'writable-dirty']);
  });

  it('say in words what stage 2 keeps of writes', () => {
    const words = [0x177fn, 0x17ffn, 0x0008_0000_0000_177fn, 0x0008_0000_0000_17ffn, 0x173fn].map((value) =>
      meaningOf('armv8-s2', 'S2AP', value, 0).replace(/:.*/, ''),
    );
    expect(words).toEqual([
      'read-only',
      'reads allowed, writable, without dirty tracking',
      'reads allowed, writable-clean',
      'reads allowed, writable-dirty',
      'no access',
    ]);
  });

  it('name the MAIR slots as Linux fills them, and the memory types of stage 2', () => {
    const slots = [0n, 1n, 2n, 3n].map((slot) => meaningOf('armv8-s1', 'AttrIndx', 0x1f43n | (slot << 2n), 0));
    expect(slots.map((words) => words.replace(/^MAIR slot . *: /, '').replace(/ \(.*/, ''))).toEqual([
      'non-cacheable',
      'write-back',
      'device nGnRE',
      'not used by Linux',
    ]);
    const types = [15n, 5n, 1n, 6n].map((type) => meaningOf('armv8-s2', 'MemAttr', 0x17c3n | (type << 2n), 0));
    expect(types).toEqual([
      'write-back',
      'non-cacheable',
      'device nGnRE',
      'outer non-cacheable, inner write-through; with FWB: write-back, whatever stage 1 says',
    ]);
  });
});
