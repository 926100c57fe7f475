import { describe, expect, it } from 'vitest';
import { decodeEntry } from '../../../src/iommu/entries/decode.ts';
import { encodeEntry, type EntryToEncode } from '../../../src/iommu/entries/encode.ts';
import type { PlaceOptions } from '../../../src/iommu/entries/registry.ts';

const PAGE = { address: 0x1000, size: 4096, read: true };

describe('encodeEntry refuses with EINVAL, and says what would be right', () => {
  it.each<[string, string, EntryToEncode, RegExp]>([
    [
      'no such format',
      'amdv2',
      PAGE,
      /format is 'amdv2'; there are amdv1, vtdss, x86_64, armv8-s1, armv8-s2, riscv, mock2k/,
    ],
    ['no such size', 'vtdss', { ...PAGE, size: 8192 }, /size is 8192; vtdss has leaves of 4K, 2M, 1G/],
    ['no such size of AMD', 'amdv1', { ...PAGE, size: 2048 }, /every power of two from 4K to 2048T/],
    [
      'a size of another granule',
      'armv8-s1',
      { ...PAGE, granule: '64K' },
      /size is 4096; armv8-s1 has leaves of 64K, 2M, 512M, 16G, 4T/,
    ],
    ['a leaf larger than the width', 'amdv1', { ...PAGE, size: 2 ** 41, outputBits: 40 }, /from 4K to 1T/],
    ['neither size nor level', 'vtdss', { address: 0, read: true }, /size is missing/],
    ['a level without leaves', 'vtdss', { address: 0, read: true, level: 3 }, /level is 3; vtdss has no leaves there/],
    ['size and level that differ', 'vtdss', { ...PAGE, level: 1 }, /a leaf of 4K has level 0/],
    ['no such level', 'riscv', { ...PAGE, level: 5 }, /level is 5; riscv has levels 0 \(smallest leaves\) to 4/],
    ['no such granule', 'armv8-s2', { ...PAGE, granule: '8K' }, /granule is '8K'; armv8-s2 has 4K, 16K, 64K/],
    ['a granule where there is none', 'riscv', { ...PAGE, granule: '4K' }, /leave it out/],
    ['LPA2', 'armv8-s1', { ...PAGE, outputBits: 52 }, /LPA2/],
    [
      'widths beyond the format',
      'amdv1',
      { ...PAGE, outputBits: 53 },
      /outputBits is 53; it must be an integer from 32 to 52/,
    ],
    [
      'a misaligned address',
      'vtdss',
      { ...PAGE, address: 0x1800 },
      /address is 0x1800; it must be a multiple of 0x1000/,
    ],
    ['a misaligned replicated leaf', 'amdv1', { ...PAGE, size: 8192 }, /multiple of 0x2000/],
    ['an address beyond the width', 'vtdss', { ...PAGE, address: 2n ** 52n }, /below 2\^52/],
    ['an address beyond a narrower width', 'riscv', { ...PAGE, address: 2 ** 40, outputBits: 40 }, /below 2\^40/],
    ['no rights in VT-d', 'vtdss', { ...PAGE, read: false }, /not present/],
    ['write-only in x86-64', 'x86_64', { ...PAGE, read: false, write: true }, /can be read/],
    ['write-only in Arm stage 1', 'armv8-s1', { ...PAGE, read: false, write: true }, /can be read/],
    ['write-only in RISC-V', 'riscv', { ...PAGE, read: false, write: true }, /can be read/],
    ['a dirty read-only leaf of stage 1', 'armv8-s1', { ...PAGE, dirty: true }, /dirty is set without write/],
    ['a dirty read-only leaf of stage 2', 'armv8-s2', { ...PAGE, dirty: true }, /dirty is set without write/],
    ['accessed without such a bit', 'mock2k', { ...PAGE, size: 2048, accessed: true }, /no such bit/],
    ['an AMD table of no level', 'amdv1', { kind: 'table', address: 0 }, /level is missing/],
    ['a table of level 0', 'vtdss', { kind: 'table', address: 0, level: 0 }, /level is 0/],
    ['a table with a size', 'vtdss', { kind: 'table', address: 0, size: 4096 }, /size is given/],
    ['a dirty table', 'vtdss', { kind: 'table', address: 0, dirty: false }, /dirty is given/],
    [
      'a table below the granule',
      'armv8-s1',
      { kind: 'table', address: 0x1000, granule: '64K' },
      /multiple of 0x10000/,
    ],
    ['rights on a RISC-V table', 'riscv', { kind: 'table', address: 0, write: false }, /leave read and write out/],
    [
      'no such field',
      'amdv1',
      { ...PAGE, fields: { G: 1 } },
      /no field 'G' in a leaf of amdv1; there are PR, A, D, NextLevel/,
    ],
    [
      'a field of a leaf in a table',
      'vtdss',
      { kind: 'table', address: 0, fields: { D: 1 } },
      /no field 'D' in a table/,
    ],
    ['a value too large', 'vtdss', { ...PAGE, fields: { EMT: 8 } }, /EMT is 0x8; at most 0x7/],
    [
      'address bits that are none',
      'vtdss',
      { ...PAGE, fields: { ADDR: 0x800 } },
      /ADDR is 0x800; only bits of 0xffffffffff000/,
    ],
  ])('%s', (_name, format, entry, message) => {
    expect(() => encodeEntry(format, entry)).toThrow(message);
    expect(() => encodeEntry(format, entry)).toThrow(expect.objectContaining({ code: 'EINVAL', op: 'encodeEntry' }));
  });
});

describe('decodeEntry', () => {
  it.each<[string, number | bigint]>([
    ['negative', -1],
    ['no integer', 1.5],
    ['65 bits', 2n ** 64n],
  ])('refuses a value that is %s', (_name, value) => {
    expect(() => decodeEntry('amdv1', value)).toThrow(expect.objectContaining({ code: 'EINVAL', op: 'decodeEntry' }));
  });

  it.each<[string, string, bigint, PlaceOptions]>([
    ['AMD without PR', 'amdv1', 0x6000_0000_1234_5000n, { level: 0 }],
    ['VT-d without R and W', 'vtdss', 0x1234_5300n, { level: 0 }],
    ['x86-64 without P', 'x86_64', 0x1234_5066n, {}],
    ['Arm type 0', 'armv8-s1', 0x1234_5f44n, {}],
    ['Arm type 2', 'armv8-s2', 0x1234_57fen, {}],
    ['an Arm block where pages are', 'armv8-s1', 0x1234_5f45n, { level: 0 }],
    ['an Arm block where only tables are', 'armv8-s2', 0x7c5n, { level: 3 }],
    ['an Arm block of 4 TiB without 52 bits', 'armv8-s1', 0xf45n, { level: 2, granule: '64K', outputBits: 48 }],
    ['RISC-V without V', 'riscv', 0x48d_14d6n, {}],
    ['zero', 'mock2k', 0n, {}],
  ])('sees nothing in %s, and every bit of it all the same', (_name, format, value, at) => {
    const { present, kind, size, address, read, write, fields, ignored, reserved } = decodeEntry(format, value, at);
    expect({ present, kind, size, address, read, write, reserved }).toEqual({
      ...{ present: false, kind: 'none', size: null, address: 0n, read: false, write: false, reserved: 0n },
    });
    expect(fields.reduce((sum, field) => sum + (field.value << BigInt(field.bits.split(':').at(-1)!)), ignored)).toBe(
      value,
    );
  });

  it.each<[string, string, bigint, PlaceOptions, RegExp]>([
    [
      'an AMD leaf whose size hangs on the level',
      'amdv1',
      1n,
      {},
      /4 KiB at level 0, 2 MiB at level 1, 1 GiB at level 2/,
    ],
    ['an AMD leaf of 512 GiB', 'amdv1', 1n, { level: 3 }, /Linux makes no leaves of 512 GiB/],
    ['replicas', 'amdv1', 0x2e01n, {}, /one of 2 equal entries/],
    ['most replicas', 'amdv1', 0x7_fe01n, {}, /one of 256 equal entries/],
    ['replicas of level 1', 'amdv1', 0x1f_fe01n, {}, /one of 2 equal entries/],
    ['an AMD size that is none', 'amdv1', 0x000f_ffff_ffff_fe01n, {}, /the largest leaf is 2 PiB/],
    ['an AMD leaf at the wrong level', 'amdv1', 0x2e01n, { level: 1 }, /8 KiB belongs in a table of level 0/],
    ['an AMD table entry at level 0', 'amdv1', 0x201n, { level: 0 }, /Linux reads whatever is present there as a leaf/],
    ['an AMD entry that skips levels', 'amdv1', 0x201n, { level: 2 }, /skips levels/],
    ['an AMD entry that leads up', 'amdv1', 0x601n, { level: 2 }, /leads up again/],
    ['NextLevel 6', 'amdv1', 0xc01n, {}, /only the device table entry/],
    ['leaves at the sixth level', 'amdv1', 1n, { level: 5 }, /level 5 has no leaves/],
    ['PS at no level', 'vtdss', 0x83n, {}, /2 MiB at level 1, 1 GiB at level 2/],
    ['no PS at no level', 'vtdss', 3n, {}, /a leaf at level 0, a table at any other/],
    ['PS or PAT', 'x86_64', 0x83n, {}, /at level 0 bit 7 is PAT/],
    ['an Arm block of no level', 'armv8-s1', 0xf45n, {}, /2 MiB at level 1, 1 GiB at level 2/],
    ['an Arm block with 64K', 'armv8-s1', 0xf45n, { granule: '64K' }, /512 MiB at level 1, 4 TiB at level 2/],
    [
      'an Arm contiguous run',
      'armv8-s2',
      0x0010_0000_0000_07ffn,
      {},
      /one of the 16 entries of a contiguous run, of 4 KiB/,
    ],
    [
      'Contiguous where there is no run',
      'armv8-s1',
      0x0010_0000_0000_0f45n,
      { level: 2, granule: '64K' },
      /no contiguous runs/,
    ],
    ['an Arm block at level 0', 'armv8-s1', 0xf45n, { level: 0 }, /type 1 is reserved at level 0/],
    ['RISC-V: W without R', 'riscv', 0x5n, { level: 0 }, /W without R is reserved/],
    ['RISC-V: a misaligned leaf', 'riscv', 0x48d_14d7n, { level: 1 }, /not aligned/],
    ['RISC-V: a table at level 0', 'riscv', 1n, { level: 0 }, /no table can follow/],
    ['RISC-V: N with another PPN', 'riscv', (1n << 63n) | 0x1003n, { level: 0 }, /N with this PPN is reserved/],
    ['RISC-V: N at level 1', 'riscv', (1n << 63n) | 0x2003n, { level: 1 }, /N at level 1 is reserved/],
    ['RISC-V: PBMT 3', 'riscv', (3n << 61n) | 3n, { level: 0 }, /PBMT 3 is reserved/],
    ['mock2k: a leaf of level 2', 'mock2k', 3n, { level: 2 }, /level 2 has no leaves/],
  ])('says of %s what a reader has to know', (_name, format, value, at, message) => {
    expect(decodeEntry(format, value, at).notes.join('; ')).toMatch(message);
  });
});
