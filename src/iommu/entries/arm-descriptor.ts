import type { GranuleName } from '../formats.ts';
import type { LeafSize, LeafToMake, Place, Reading, Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { addressField, bitRange, choice, field, flag, type Field } from './field.ts';
import { sizeHangsOnLevel, sizeName } from './leaf-words.ts';

// What the descriptors of stage 1 and stage 2 have in common: Arm ARM (DDI 0487) D8.3, contiguous runs D8.7.1.

const TYPE = bitRange(1, 0);
const BLOCK = 1n;
const TABLE_OR_PAGE = 3n;
const SH_INNER = 3n << 8n;

export const AF = bitRange(10);
export const DBM = bitRange(51);
const CONTIGUOUS = bitRange(52);

export const ARM_VARIANTS: readonly Variant[] = [
  { granule: '4K', granuleShift: 12, tableBits: 9, levels: 4, outputBits: 48 },
  { granule: '16K', granuleShift: 14, tableBits: 11, levels: 4, outputBits: 48 },
  { granule: '64K', granuleShift: 16, tableBits: 13, levels: 3, outputBits: 52 },
];

/** log2 of the entries of a contiguous run, by level; there are none at the levels beyond. */
const RUN_BITS: Readonly<Record<GranuleName, readonly number[]>> = { '4K': [4, 4, 4], '16K': [7, 5], '64K': [5, 5] };

function runBits({ variant }: Place, level: number): number {
  return RUN_BITS[variant.granule!][level] ?? 0;
}

/** The highest level that can have blocks. Without LPA2 only the 64 KiB granule has another with wide output addresses. */
function highestBlock({ variant, outputBits }: Place): number {
  if (variant.granule === '4K') return 2;
  return variant.granule === '64K' && outputBits > 48 ? 2 : 1;
}

export function isArmPresent(entry: bigint, place: Place): boolean {
  return (entry & 1n) !== 0n && armAbsence(entry, place).length === 0;
}

/** Why a descriptor whose lowest bit is set is invalid all the same. */
export function armAbsence(entry: bigint, place: Place): readonly string[] {
  const { level } = place;
  if ((entry & TYPE) !== BLOCK || level === null) return [];
  if (level > 0 && level <= highestBlock(place)) return [];
  return [`type 1 is reserved at level ${level}: a translation fault`];
}

/** What a descriptor is. Type 3 without a level is a page where bits 11:2 hold attributes, else a table, which has none there. */
export function readDescriptor(entry: bigint, place: Place): Reading {
  const { variant, level } = place;
  const contiguous = (entry & CONTIGUOUS) !== 0n;
  if ((entry & TYPE) === BLOCK && level === null) {
    const notes = [sizeHangsOnLevel(variant, 1, highestBlock(place))];
    if (contiguous) notes.push('one entry of a contiguous run: the leaf is that many times larger');
    return { kind: 'leaf', level, shift: null, leastShift: entryShift(variant, 1), notes };
  }
  const notes: string[] = [];
  if ((entry & TYPE) === TABLE_OR_PAGE) {
    const isPage = level === null ? (entry & bitRange(11, 2)) !== 0n : level === 0;
    if (level === null) notes.push(typeThreeNote(isPage));
    if (!isPage) return { kind: 'table', level, shift: null, leastShift: variant.granuleShift, notes };
  }
  const own = level ?? 0;
  const leastShift = entryShift(variant, own);
  const run = contiguous ? runBits(place, own) : 0;
  if (run > 0) notes.push(`one of the ${2 ** run} entries of a contiguous run, of ${sizeName(leastShift)} each`);
  else if (contiguous) notes.push(`there are no contiguous runs at level ${own}`);
  return { kind: 'leaf', level: own, shift: leastShift + run, leastShift, notes };
}

function typeThreeNote(isPage: boolean): string {
  const read = isPage ? 'a page, as bits 11:2 hold attributes' : 'a table, as bits 11:2 hold no attributes';
  return `type 3 is a page at level 0 and a table at any other; read as ${read}`;
}

/** log2 of what the address bits of an entry are aligned to: the entry's own stretch, whatever run it is in. */
function addressShift({ kind, level, leastShift }: Reading, { variant }: Place): number {
  if (kind === 'table') return variant.granuleShift;
  return level === null ? leastShift : entryShift(variant, level);
}

/** The output address, or that of the next table. With the 64 KiB granule bits 15:12 hold its bits 51:48. */
export function addressFields(name: string, reading: Reading, place: Place): Field[] {
  const high = Math.min(place.outputBits, 48) - 1;
  const fields = [addressField(name, high, addressShift(reading, place))];
  const wide = place.outputBits - 48;
  if (wide <= 0) return fields;
  const top = field(
    `${name}[51:48]`,
    11 + wide,
    12,
    (value) => `address bits ${47 + wide}:48 are 0x${value.toString(16)}`,
  );
  return [top, ...fields];
}

export function addressOf(entry: bigint, reading: Reading, place: Place): bigint {
  const low = entry & bitRange(47, addressShift(reading, place));
  return place.variant.granule === '64K' ? low | ((entry & bitRange(15, 12)) << 36n) : low;
}

function addressBits(address: bigint, { variant }: Place): bigint {
  return variant.granule === '64K' ? (address & bitRange(47, 16)) | ((address >> 36n) & bitRange(15, 12)) : address;
}

export function typeField({ kind, level }: Reading): Field {
  return choice('Type', 1, 0, [
    'invalid',
    'block',
    'invalid',
    kind === 'table' ? 'table' : level === 0 ? 'page' : 'table',
  ]);
}

/** The fields of a leaf from bit 8 on, but for address, permissions and what only one stage has. */
export function upperLeafFields({ level }: Reading): Field[] {
  return [
    choice('SH', 9, 8, ['non-shareable', 'reserved', 'outer shareable', 'inner shareable']),
    flag('AF', 10, 'not accessed: a fault, unless hardware may set it', 'accessed'),
    ...(level === 0 ? [] : [flag('nT', 16, '', 'not cached in a TLB where that would clash (FEAT_BBM)')]),
    flag(
      'DBM',
      51,
      'hardware does not track writes',
      'hardware tracks writes, with HD on; without HD clean is read-only',
    ),
    flag('Contiguous', 52, '', 'one entry of a run that a TLB may cache as one'),
    field('SW', 58, 55, (value) => (value ? 'for software' : '')),
    field('PBHA', 62, 59, (value) => (value ? 'page-based hardware attributes' : '')),
  ];
}

/** Bits that hardware ignores in a table. */
export const TABLE_IGNORED = bitRange(11, 2) | bitRange(58, 51);

export function armLeafSizes(place: Place): LeafSize[] {
  const sizes: LeafSize[] = [];
  for (let level = 0; level <= highestBlock(place); level++) {
    const shift = entryShift(place.variant, level);
    const run = runBits(place, level);
    sizes.push({ shift, level, run: 0 });
    if (run > 0) sizes.push({ shift: shift + run, level, run });
  }
  return sizes;
}

/** Type, address, SH (inner shareable, as in Linux), AF (set, as in Linux) and Contiguous of a leaf. */
export function leafBits({ size, address, accessed = true }: LeafToMake, place: Place): bigint {
  const type = size.level > 0 ? BLOCK : TABLE_OR_PAGE;
  return type | addressBits(address, place) | SH_INNER | (accessed ? AF : 0n) | (size.run > 0 ? CONTIGUOUS : 0n);
}

export function tableBits(address: bigint, place: Place): bigint {
  return TABLE_OR_PAGE | addressBits(address, place);
}

/** What is wrong with a dirty state that was asked for, as one word of HTTU does for read-only leaves. */
export function needWritable(format: string, write: boolean, dirty: boolean | undefined): void {
  if (dirty && !write) {
    throw new RangeError(`dirty is set without write; in ${format} the dirty state is a write permission`);
  }
}
