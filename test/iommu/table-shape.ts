import { FORMATS, type FormatInfo } from '../../src/iommu/formats.ts';

/** What a test knows of a format by itself, from the formats' specifications. */
export interface TableShape {
  readonly title: string;
  readonly format: FormatInfo;
  /** Bytes of the smallest leaf. */
  readonly granule: number;
  /** Entries of a table. */
  readonly entries: number;
  /** Whether `access` WRITE alone lets reads through too. */
  readonly writeMeansRead: boolean;
  /** Whether a writable leaf that was made for tracking starts dirty. */
  readonly startsDirty: boolean;
  /** Input widths in bits that a domain can have, and some that it can't. */
  readonly widths: readonly number[];
  readonly noWidths: readonly number[];
}

const KNOWN: Record<string, Omit<TableShape, 'title' | 'format'>> = {
  amdv1: {
    granule: 4096,
    entries: 512,
    writeMeansRead: false,
    startsDirty: false,
    widths: [31, 32, 39, 48, 57, 63, 64],
    noWidths: [1, 12, 30],
  },
  vtdss: {
    granule: 4096,
    entries: 512,
    writeMeansRead: false,
    startsDirty: false,
    widths: [39, 48, 57],
    noWidths: [1, 38, 40, 47, 49, 56, 64],
  },
  'armv8-s1 4K': {
    granule: 4096,
    entries: 512,
    writeMeansRead: true,
    startsDirty: true,
    widths: [32, 36, 39, 40, 48],
    noWidths: [1, 31, 49, 64],
  },
  'armv8-s1 64K': {
    granule: 65536,
    entries: 8192,
    writeMeansRead: true,
    startsDirty: true,
    widths: [32, 36, 42, 43, 48],
    noWidths: [1, 31, 49, 64],
  },
};

/** Every format that there is: the one suite that any format runs. */
export const SHAPES: readonly TableShape[] = FORMATS.map((format) => {
  const title = format.granule ? `${format.name} ${format.granule}` : format.name;
  const known = KNOWN[title];
  if (!known) throw new Error(`test/iommu/table-shape.ts does not know ${title}`);
  return { title, format, ...known };
});

/** What `iommu.domain` takes for a shape. */
export function domainOptions({ format }: TableShape): Pick<FormatInfo, 'name'> & { format: FormatInfo['name'] } {
  return { name: format.name, format: format.name, ...(format.granule && { granule: format.granule }) };
}
