import type { EntryFormat, LeafSize, LeafToMake, Place, Reading, Shape, TableToMake, Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { addressField, bitRange, flag, type Field } from './field.ts';
import { sizeHangsOnLevel } from './leaf-words.ts';

const P = bitRange(0);
const R = bitRange(1);
const W = bitRange(2);
const D = bitRange(3);
const TABLE = bitRange(4);
const ADDRESS = bitRange(51, 11);

const VARIANT: Variant = { granule: null, granuleShift: 11, tableBits: 9, levels: 5, outputBits: 52 };

const PRESENT = flag('P', 0, 'not present', 'present');

function readLeaf(level: number | null): Reading {
  if (level === null) {
    const notes = [sizeHangsOnLevel(VARIANT, 0, 1)];
    return { kind: 'leaf', level, shift: null, leastShift: 11, notes };
  }
  if (level > 1) {
    const notes = [`a table of level ${level} has no leaves`];
    return { kind: 'leaf', level, shift: null, leastShift: 11, notes };
  }
  const shift = entryShift(VARIANT, level);
  return { kind: 'leaf', level, shift, leastShift: shift, notes: [] };
}

function fieldsOf({ kind, level, leastShift }: Reading, outputBits: number): Field[] {
  const isLeaf = kind === 'leaf';
  return [
    PRESENT,
    flag('R', 1, 'no reads', 'reads allowed'),
    flag('W', 2, 'no writes', 'writes allowed'),
    ...(isLeaf ? [flag('D', 3, 'clean', 'dirty: written since cleared')] : []),
    ...(level === 0 ? [] : [flag('Table', 4, 'a leaf', 'a table')]),
    addressField('Address', outputBits - 1, isLeaf ? leastShift : 12),
  ];
}

/**
 * A format of no hardware, for domains whose I/O page is smaller than the CPU's: granule 2 KiB, leaves of 2 KiB and 1 MiB. Bits
 * without a use are reserved.
 */
export const MOCK2K: EntryFormat = {
  name: 'mock2k',
  source: 'of no hardware: for I/O pages smaller than those of the CPU',
  variants: [VARIANT],
  consecutiveRuns: false,
  presence: [PRESENT],

  isPresent: (entry) => (entry & P) !== 0n,

  read(entry, { level }: Place): Reading {
    if (level === 0 || !(entry & TABLE)) return readLeaf(level);
    return { kind: 'table', level, shift: null, leastShift: 12, notes: [] };
  },

  shape: (_entry, reading, { outputBits }: Place): Shape => ({ fields: fieldsOf(reading, outputBits), ignored: 0n }),

  address: (entry) => entry & ADDRESS,

  rights: (entry, { kind }) => ({
    read: (entry & R) !== 0n,
    write: (entry & W) !== 0n,
    accessed: false,
    dirty: kind === 'leaf' && (entry & D) !== 0n,
  }),

  leafSizes: (): LeafSize[] => [0, 1].map((level) => ({ shift: entryShift(VARIANT, level), level, run: 0 })),

  makeLeaf({ address, read, write, accessed, dirty }: LeafToMake): bigint {
    if (accessed) throw new RangeError('accessed is set; mock2k has no such bit');
    return P | address | (dirty ? D : 0n) | (read ? R : 0n) | (write ? W : 0n);
  },

  makeTable({ address, read, write, accessed }: TableToMake): bigint {
    if (accessed) throw new RangeError('accessed is set; mock2k has no such bit');
    return P | TABLE | address | (read ? R : 0n) | (write ? W : 0n);
  },
};
