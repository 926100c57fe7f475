import { ARMV8_S1, ARMV8_S2 } from './arm-vectors.ts';
import { FRESH, GIB, KIB, MIB, RO, RW, TIB, WO, leaf, table, type Vector } from './vector.ts';

const AMDV1: readonly Vector[] = [
  {
    title: '4 KiB',
    value: 0x6000_0000_1234_5001n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0x1234_5000n), ...RW, ...FRESH },
    made: { address: 0x1234_5000n, size: 4096, ...RW },
  },
  {
    title: '8 KiB: bit 12 clear',
    value: 0x6000_0000_0000_2e01n,
    is: { ...leaf(0, 8n * KIB, 0x2000n), ...RW },
    made: { address: 0x2000, size: 8192, ...RW },
  },
  {
    title: '32 KiB: bits 13:12 set, bit 14 clear',
    value: 0x4000_0000_0003_be01n,
    is: { ...leaf(0, 32n * KIB, 0x3_8000n), ...WO },
    made: { address: 0x3_8000, size: 32768, ...WO },
  },
  {
    title: '64 KiB, dirty',
    value: 0x6000_0000_1234_7e41n,
    is: { ...leaf(0, 64n * KIB, 0x1234_0000n), ...RW, accessed: false, dirty: true },
    made: { address: 0x1234_0000, size: 65536, ...RW, dirty: true },
  },
  {
    title: '1 MiB, accessed',
    value: 0x6000_0007_0017_fe21n,
    is: { ...leaf(0, MIB, 0x7_0010_0000n), ...RW, accessed: true, dirty: false },
    made: { address: 0x7_0010_0000, size: MIB, ...RW, accessed: true },
  },
  {
    title: '2 MiB, natural size of level 1',
    value: 0x2000_0000_4000_0001n,
    at: { level: 1 },
    is: { ...leaf(1, 2n * MIB, 0x4000_0000n), ...RO },
    made: { address: 0x4000_0000, level: 1, ...RO },
  },
  {
    title: '4 MiB: in a table of level 1',
    value: 0x6000_0000_00df_fe01n,
    is: { ...leaf(1, 4n * MIB, 0xc0_0000n), ...RW },
    made: { address: 0xc0_0000, size: 4n * MIB, ...RW },
  },
  {
    title: '512 MiB',
    value: 0x6000_0002_2fff_fe01n,
    is: { ...leaf(1, 512n * MIB, 0x2_2000_0000n), ...RW },
    made: { address: 0x2_2000_0000, size: 512n * MIB, ...RW },
  },
  {
    title: '2 PiB, the largest',
    value: 0x600b_ffff_ffff_fe01n,
    is: { ...leaf(4, 2048n * TIB, 1n << 51n), ...RW },
    made: { address: 1n << 51n, size: 1n << 51n, ...RW },
  },
  { title: 'a natural leaf of an unknown level', value: 0x6000_0000_4000_0001n, is: leaf(null, null, 0x4000_0000n) },
  {
    title: 'a table',
    value: 0x6000_0000_07ff_f401n,
    is: { ...table(2, 0x7ff_f000n), ...RW },
    made: { kind: 'table', level: 2, address: 0x7ff_f000 },
  },
  {
    title: 'a table that lets reads only through',
    value: 0x2000_0000_07ff_fa01n,
    is: { ...table(5, 0x7ff_f000n), ...RO },
    made: { kind: 'table', level: 5, address: 0x7ff_f000, write: false },
  },
];

const VTDSS: readonly Vector[] = [
  {
    title: '4 KiB with SNP, accessed and dirty',
    value: 0xabcd_eb03n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0xabcd_e000n), ...RW, accessed: true, dirty: true },
    made: { address: 0xabcd_e000, size: 4096, ...RW, accessed: true, dirty: true, fields: { SNP: 1 } },
  },
  {
    title: '2 MiB, read-only',
    value: 0x4020_0081n,
    at: { level: 1 },
    is: { ...leaf(1, 2n * MIB, 0x4020_0000n), ...RO, ...FRESH },
    made: { address: 0x4020_0000, size: 2n * MIB, ...RO },
  },
  {
    title: '1 GiB, write-only',
    value: 0x4000_0082n,
    at: { level: 2 },
    is: { ...leaf(2, GIB, 0x4000_0000n), ...WO },
    made: { address: 0x4000_0000, size: GIB, ...WO },
  },
  { title: 'a large leaf of an unknown level', value: 0x4020_0083n, is: leaf(null, null, 0x4020_0000n) },
  { title: 'PS clear at an unknown level', value: 0x123_4003n, is: leaf(0, 4n * KIB, 0x123_4000n) },
  {
    title: 'a table',
    value: 0x123_4003n,
    at: { level: 1 },
    is: { ...table(1, 0x123_4000n), ...RW },
    made: { kind: 'table', address: 0x123_4000 },
  },
  {
    title: 'an accessed table of level 4',
    value: 0x123_4102n,
    at: { level: 4 },
    is: { ...table(4, 0x123_4000n), ...WO, accessed: true },
    made: { kind: 'table', address: 0x123_4000, read: false, accessed: true, level: 4 },
  },
];

const X86_64: readonly Vector[] = [
  {
    title: '4 KiB, dirty',
    value: 0x1234_5067n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0x1234_5000n), ...RW, accessed: true, dirty: true },
    made: { address: 0x1234_5000, size: 4096, ...RW, dirty: true },
  },
  {
    title: '4 KiB with PAT, where larger leaves have PS',
    value: 0x1234_50a7n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0x1234_5000n), ...RW, dirty: false },
    made: { address: 0x1234_5000, size: 4096, ...RW, fields: { PAT: 1 } },
  },
  {
    title: '2 MiB, read-only',
    value: 0x4020_00a5n,
    at: { level: 1 },
    is: { ...leaf(1, 2n * MIB, 0x4020_0000n), ...RO, accessed: true, dirty: false },
    made: { address: 0x4020_0000, size: 2n * MIB, ...RO },
  },
  {
    title: '1 GiB with PAT, G and XD',
    value: 0x8000_0000_4000_11e7n,
    at: { level: 2 },
    is: { ...leaf(2, GIB, 0x4000_0000n), ...RW, dirty: true },
    made: { address: 0x4000_0000, size: GIB, ...RW, dirty: true, fields: { PAT: 1, G: 1, XD: 1 } },
  },
  {
    title: 'a table',
    value: 0x765_4027n,
    at: { level: 3 },
    is: { ...table(3, 0x765_4000n), ...RW, accessed: true },
    made: { kind: 'table', address: 0x765_4000 },
  },
  {
    title: 'a table that lets reads only through, not accessed',
    value: 0x765_4005n,
    at: { level: 1 },
    is: { ...table(1, 0x765_4000n), ...RO, accessed: false },
    made: { kind: 'table', address: 0x765_4000, write: false, accessed: false },
  },
];

const RISCV: readonly Vector[] = [
  {
    title: '4 KiB, dirty',
    value: 0x48d_14d7n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0x1234_5000n), ...RW, accessed: true, dirty: true },
    made: { address: 0x1234_5000, size: 4096, ...RW, dirty: true },
  },
  {
    title: '4 KiB, read-only',
    value: 0x48d_1453n,
    at: { level: 0 },
    is: { ...leaf(0, 4n * KIB, 0x1234_5000n), ...RO, accessed: true, dirty: false },
    made: { address: 0x1234_5000, size: 4096, ...RO },
  },
  {
    title: '64 KiB by Svnapot',
    value: 0x8000_0000_048d_20d7n,
    is: { ...leaf(0, 64n * KIB, 0x1234_0000n), ...RW },
    made: { address: 0x1234_0000, size: 65536, ...RW, dirty: true },
  },
  {
    title: '2 MiB, non-cacheable by Svpbmt',
    value: 0x2000_0000_0008_00d7n,
    at: { level: 1 },
    is: leaf(1, 2n * MIB, 0x20_0000n),
    made: { address: 0x20_0000, size: 2n * MIB, ...RW, dirty: true, fields: { PBMT: 1 } },
  },
  {
    title: '256 TiB',
    value: 0x4000_0000_0057n,
    at: { level: 4 },
    is: leaf(4, 256n * TIB, 1n << 48n),
    made: { address: 1n << 48n, size: 256n * TIB, ...RW },
  },
  { title: 'a leaf of an unknown level', value: 0x8_00d7n, is: leaf(null, null, 0x20_0000n) },
  {
    title: 'a table',
    value: 0x48d_1401n,
    is: { ...table(null, 0x1234_5000n), ...RW, accessed: false },
    made: { kind: 'table', address: 0x1234_5000 },
  },
];

const MOCK2K: readonly Vector[] = [
  {
    title: '2 KiB, dirty',
    value: 0x180fn,
    at: { level: 0 },
    is: { ...leaf(0, 2n * KIB, 0x1800n), ...RW, accessed: false, dirty: true },
    made: { address: 0x1800, size: 2048, ...RW, dirty: true },
  },
  {
    title: '1 MiB, read-only',
    value: 0x30_0003n,
    at: { level: 1 },
    is: { ...leaf(1, MIB, 0x30_0000n), ...RO, dirty: false },
    made: { address: 0x30_0000, size: MIB, ...RO },
  },
  { title: 'a leaf of an unknown level', value: 0x30_0005n, is: { ...leaf(null, null, 0x30_0000n), ...WO } },
  {
    title: 'a table',
    value: 0x5017n,
    is: { ...table(null, 0x5000n), ...RW },
    made: { kind: 'table', address: 0x5000 },
  },
];

/** By format. */
export const VECTORS: Readonly<Record<string, readonly Vector[]>> = {
  amdv1: AMDV1,
  vtdss: VTDSS,
  x86_64: X86_64,
  'armv8-s1': ARMV8_S1,
  'armv8-s2': ARMV8_S2,
  riscv: RISCV,
  mock2k: MOCK2K,
};
