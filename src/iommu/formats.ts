import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';

/** Names of the I/O page-table formats. */
export type FormatName = 'amdv1' | 'vtdss' | 'x86_64' | 'armv8-s1' | 'armv8-s2' | 'riscv' | 'mock2k';

/** Translation granule of the Arm formats: the size of the smallest leaf. */
export type GranuleName = '4K' | '16K' | '64K';

/** What a format (with a granule) can do. */
export interface FormatInfo {
  readonly name: FormatName;
  /** The granule, where the format has more than one. */
  readonly granule?: GranuleName;
  /** Leaf sizes in entries of their own or in equal replicas, bytes, ascending. */
  readonly leafSizes: readonly number[];
  /** Leaf sizes that are a hint on a run of smaller ones (Contiguous, NAPOT), bytes, ascending; used where asked for. */
  readonly contiguousSizes: readonly number[];
  /** Bits of an input address, by default, and whether they are sign-extended. */
  readonly inputBits: number;
  readonly signed: boolean;
  /** Input widths that there are, in words. */
  readonly inputWidths: string;
  /** Bits of an output address: the default first. */
  readonly outputBits: readonly number[];
  /** Stage of translation: 1 has ASIDs and global leaves; host tables of a single stage count as 2. */
  readonly stage: 1 | 2;
  /** Where the format is defined. */
  readonly source: string;
  /** Its number in the core. @internal */
  readonly id: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;

const ARM_S1 = 'Arm ARM (DDI 0487), D8.3; SMMUv3 (IHI 0070), 3.13';
const ARM_S2 = 'Arm ARM (DDI 0487), D8.2.2 and D8.3; SMMUv3 (IHI 0070), 3.13';

interface GranuleInfo {
  readonly granule: GranuleName;
  readonly leafSizes: readonly number[];
  readonly contiguousSizes: readonly number[];
  readonly addressBits: number;
}

const GRANULES: readonly GranuleInfo[] = [
  {
    granule: '4K',
    leafSizes: [4 * KIB, 2 * MIB, GIB],
    contiguousSizes: [64 * KIB, 32 * MIB, 16 * GIB],
    addressBits: 48,
  },
  { granule: '16K', leafSizes: [16 * KIB, 32 * MIB], contiguousSizes: [2 * MIB, GIB], addressBits: 48 },
  {
    granule: '64K',
    leafSizes: [64 * KIB, 512 * MIB, 4 * TIB],
    contiguousSizes: [2 * MIB, 16 * GIB],
    addressBits: 52,
  },
];

function arm(name: 'armv8-s1' | 'armv8-s2', source: string, ids: readonly number[]): FormatInfo[] {
  return GRANULES.map(({ granule, leafSizes, contiguousSizes, addressBits }, i) => ({
    name,
    granule,
    leafSizes,
    contiguousSizes,
    inputBits: 48,
    signed: false,
    inputWidths: `25 to ${addressBits} bits`,
    outputBits: addressBits === 48 ? [48] : [48, addressBits],
    stage: name === 'armv8-s1' ? 1 : 2,
    source,
    id: ids[i],
  }));
}

/** All formats; the core's side of the list is assembly/pagetable/dispatch.ts. */
export const FORMATS: readonly FormatInfo[] = [
  {
    name: 'amdv1',
    leafSizes: Array.from({ length: 40 }, (_, i) => 4 * KIB * 2 ** i),
    contiguousSizes: [],
    inputBits: 64,
    signed: false,
    inputWidths: '21 to 64 bits',
    outputBits: [52],
    stage: 2,
    source: 'AMD I/O Virtualization Technology specification, 2.2.3',
    id: layout.FORMAT_AMDV1,
  },
  {
    name: 'vtdss',
    leafSizes: [4 * KIB, 2 * MIB, GIB],
    contiguousSizes: [],
    inputBits: 48,
    signed: false,
    inputWidths: '39, 48 or 57 bits',
    outputBits: [52],
    stage: 2,
    source: 'Intel VT-d specification, 9.8',
    id: layout.FORMAT_VTDSS,
  },
  {
    name: 'x86_64',
    leafSizes: [4 * KIB, 2 * MIB, GIB],
    contiguousSizes: [],
    inputBits: 48,
    signed: true,
    inputWidths: '48 or 57 bits sign-extended, or 47, 48, 56 or 57 bits unsigned',
    outputBits: [52],
    stage: 1,
    source: 'Intel SDM volume 3, 4.5; Intel VT-d specification, 9.7',
    id: layout.FORMAT_X86_64,
  },
  ...arm('armv8-s1', ARM_S1, [layout.FORMAT_ARMV8_S1_4K, layout.FORMAT_ARMV8_S1_16K, layout.FORMAT_ARMV8_S1_64K]),
  ...arm('armv8-s2', ARM_S2, [layout.FORMAT_ARMV8_S2_4K, layout.FORMAT_ARMV8_S2_16K, layout.FORMAT_ARMV8_S2_64K]),
  {
    name: 'riscv',
    leafSizes: [4 * KIB, 2 * MIB, GIB, 512 * GIB, 256 * TIB],
    contiguousSizes: [64 * KIB],
    inputBits: 48,
    signed: true,
    inputWidths: '39, 48 or 57 bits sign-extended (Sv39, Sv48, Sv57)',
    outputBits: [56],
    stage: 1,
    source: 'RISC-V privileged specification, 12.3 to 12.6 and Svnapot; RISC-V IOMMU specification, 3.3',
    id: layout.FORMAT_RISCV,
  },
  {
    name: 'mock2k',
    leafSizes: [2 * KIB, MIB],
    contiguousSizes: [],
    inputBits: 48,
    signed: false,
    inputWidths: '20 to 48 bits',
    outputBits: [52],
    stage: 2,
    source: 'of no hardware: for I/O pages smaller than those of the CPU',
    id: layout.FORMAT_MOCK2K,
  },
];

/** The format with this name, and granule where it has several (default 4K). EINVAL names what there is. */
export function findFormat(op: string, name: string, granule?: string): FormatInfo {
  const named = FORMATS.filter((format) => format.name === name);
  if (named.length === 0) {
    const names = [...new Set(FORMATS.map((format) => format.name))].join(', ');
    throw new IommuError('EINVAL', op, `format is '${name}'; there are ${names}`);
  }
  const wanted = granule ?? named[0].granule;
  const found = named.find((format) => format.granule === wanted);
  if (found) return found;
  const granules = named.map((format) => format.granule ?? 'none').join(', ');
  throw new IommuError('EINVAL', op, `granule is '${granule}'; ${name} has ${granules}`);
}
