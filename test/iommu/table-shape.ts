import { FORMATS, type FormatInfo } from '../../src/iommu/formats.ts';

/** What a test knows of a format by itself, from the formats' specifications. */
export interface TableShape {
  readonly title: string;
  readonly format: FormatInfo;
  /** Bytes of the smallest leaf. */
  readonly granule: number;
  /** Entries of a table. */
  readonly entries: number;
  /** Entries that a root may have. */
  readonly rootEntries: number;
  /** Whether the root begins with three levels and grows as addresses need it. */
  readonly grows: boolean;
  /** Bytes of the largest leaf of which there are many in 2^40 bytes, and all that are larger than others and worth a try. */
  readonly large: number;
  readonly larges: readonly number[];
  /** Whether `access` WRITE alone lets reads through too. */
  readonly writeMeansRead: boolean;
  /** Whether a writable leaf that was made for tracking starts dirty. */
  readonly startsDirty: boolean;
  /** Whether a domain that was made for tracking tracks with no switch. */
  readonly tracksAlways: boolean;
  /** Whether one that was not made for it is made as if dirty, so that hardware has nothing to write. */
  readonly presetsDirty: boolean;
  /** Input widths in bits that a domain can have, and some that it can't; of which kind, if there are two. */
  readonly signed: boolean;
  readonly widths: readonly number[];
  readonly noWidths: readonly number[];
  /** Bits of an output address. */
  readonly outputBits: number;
}

type Known = Omit<TableShape, 'title' | 'format' | 'signed' | 'outputBits'>;

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const X86: Known = {
  granule: 4096,
  entries: 512,
  rootEntries: 512,
  grows: false,
  large: GIB,
  larges: [GIB],
  writeMeansRead: true,
  startsDirty: false,
  tracksAlways: false,
  presetsDirty: true,
  widths: [48, 57],
  noWidths: [1, 39, 47, 49, 56, 58, 64],
};

const ARM: Known = {
  ...X86,
  startsDirty: true,
  tracksAlways: true,
  presetsDirty: false,
  widths: [25, 31, 32, 36, 39, 40, 48],
  noWidths: [1, 24, 64],
};

const GRANULES: Record<string, Partial<Known>> = {
  '4K': {},
  '16K': { granule: 16384, entries: 2048, rootEntries: 2048, large: 32 * MIB, larges: [32 * MIB, 32 * MIB, GIB] },
  '64K': {
    granule: 65536,
    entries: 8192,
    rootEntries: 8192,
    large: 512 * MIB,
    larges: [512 * MIB],
    widths: [25, 29, 30, 32, 42, 43, 48, 50, 52],
    noWidths: [1, 24, 53, 64],
  },
};

function arm(granule: string, stage: 1 | 2): Known {
  const shape = { ...ARM, ...GRANULES[granule] };
  if (stage === 1) return shape;
  // Up to 16 concatenated tables; a leaf made for tracking starts clean, and writes need no reads.
  return { ...shape, rootEntries: 16 * shape.entries, startsDirty: false, writeMeansRead: false };
}

const KNOWN: Record<string, Known> = {
  amdv1: {
    ...X86,
    grows: true,
    larges: [GIB, 2 ** 39, 2 ** 40],
    writeMeansRead: false,
    presetsDirty: false,
    widths: [21, 30, 31, 32, 39, 40, 48, 57, 63, 64],
    noWidths: [1, 12, 20],
  },
  vtdss: {
    ...X86,
    writeMeansRead: false,
    presetsDirty: false,
    widths: [39, 48, 57],
    noWidths: [1, 38, 40, 47, 49, 56, 64],
  },
  x86_64: X86,
  'armv8-s1 4K': arm('4K', 1),
  'armv8-s1 16K': arm('16K', 1),
  'armv8-s1 64K': arm('64K', 1),
  'armv8-s2 4K': arm('4K', 2),
  'armv8-s2 16K': arm('16K', 2),
  'armv8-s2 64K': arm('64K', 2),
  riscv: { ...X86, larges: [GIB, 2 ** 39], widths: [39, 48, 57], noWidths: [1, 38, 40, 56, 64] },
  mock2k: {
    ...X86,
    granule: 2048,
    large: MIB,
    larges: [MIB],
    writeMeansRead: false,
    presetsDirty: false,
    widths: [20, 21, 29, 38, 48],
    noWidths: [1, 19, 49, 64],
  },
};

/** Every format that there is: the one suite that any format runs. */
export const SHAPES: readonly TableShape[] = FORMATS.map((format) => {
  const title = format.granule ? `${format.name} ${format.granule}` : format.name;
  const known = KNOWN[title];
  if (!known) throw new Error(`test/iommu/table-shape.ts does not know ${title}`);
  const outputBits = format.name.startsWith('armv8') ? 48 : format.name === 'riscv' ? 56 : 52;
  return { title, format, ...known, signed: ['x86_64', 'riscv'].includes(format.name), outputBits };
});

/** The shape with this title. */
export function shapeOf(title: string): TableShape {
  const shape = SHAPES.find((one) => one.title === title);
  if (!shape) throw new Error(`there is no shape ${title}`);
  return shape;
}

/** What `iommu.domain` takes for a shape. */
export function domainOptions({ format }: TableShape): Pick<FormatInfo, 'name'> & { format: FormatInfo['name'] } {
  return { name: format.name, format: format.name, ...(format.granule && { granule: format.granule }) };
}
