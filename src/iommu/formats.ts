import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';

/** Names of the I/O page-table formats. */
export type FormatName = 'amdv1' | 'vtdss' | 'armv8-s1';

/** Translation granule of the Arm formats: the size of the smallest leaf. */
export type GranuleName = '4K' | '64K';

/** What a format (with a granule) can do. */
export interface FormatInfo {
  readonly name: FormatName;
  /** The granule, where the format has more than one. */
  readonly granule?: GranuleName;
  /** Leaf sizes, bytes, ascending. */
  readonly leafSizes: readonly number[];
  /** Bits of an input address, by default. */
  readonly inputBits: number;
  /** Where the format is defined. */
  readonly source: string;
  /** Its number in the core. @internal */
  readonly id: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** All formats; the core's side of the list is assembly/pagetable/dispatch.ts. */
export const FORMATS: readonly FormatInfo[] = [
  {
    name: 'amdv1',
    leafSizes: Array.from({ length: 19 }, (_, i) => 4 * KIB * 2 ** i),
    inputBits: 48,
    source: 'AMD I/O Virtualization Technology specification, 2.2.3',
    id: layout.FORMAT_AMDV1,
  },
  {
    name: 'vtdss',
    leafSizes: [4 * KIB, 2 * MIB, GIB],
    inputBits: 48,
    source: 'Intel VT-d specification, 9.8',
    id: layout.FORMAT_VTDSS,
  },
  {
    name: 'armv8-s1',
    granule: '4K',
    leafSizes: [4 * KIB, 2 * MIB, GIB],
    inputBits: 48,
    source: 'Arm ARM (DDI 0487), D8.3',
    id: layout.FORMAT_ARMV8_S1_4K,
  },
  {
    name: 'armv8-s1',
    granule: '64K',
    leafSizes: [64 * KIB, 512 * MIB],
    inputBits: 48,
    source: 'Arm ARM (DDI 0487), D8.3',
    id: layout.FORMAT_ARMV8_S1_64K,
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
