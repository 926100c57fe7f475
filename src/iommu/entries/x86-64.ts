import type { EntryFormat, LeafToMake, Place, Reading, Shape, TableToMake } from './entry-format.ts';
import { addressField, bitRange, flag, type Field } from './field.ts';
import { LEAF_SIZES, PS, readByPageSizeBit, VARIANT } from './page-size-bit.ts';

const P = bitRange(0);
const RW = bitRange(1);
const U = bitRange(2);
const A = bitRange(5);
const D = bitRange(6);
const ADDRESS = bitRange(51, 12);

const PRESENT = flag('P', 0, 'not present', 'present');
const COMMON: readonly Field[] = [
  PRESENT,
  flag('RW', 1, 'read only', 'writes allowed'),
  flag('U', 2, 'supervisor requests only', 'user requests too'),
  flag('PWT', 3, '', 'write-through, or as the PAT says'),
  flag('PCD', 4, '', 'cache disabled, or as the PAT says'),
  flag('A', 5, 'not accessed since cleared', 'accessed'),
];
const EXECUTE_DISABLE = flag('XD', 63, 'execute requests allowed', 'no execute requests');

function leafFields({ level, leastShift }: Reading, outputBits: number): Field[] {
  const pat = (bit: number): Field => flag('PAT', bit, '', 'high bit of the PAT index');
  const size = level === 0 ? [pat(7)] : [flag('PS', 7, '', 'leaf, not a table'), pat(12)];
  return [
    ...COMMON,
    flag('D', 6, 'clean', 'dirty: written since cleared'),
    ...size,
    flag('G', 8, '', 'global: stays when its address space is flushed'),
    addressField('Address', outputBits - 1, leastShift),
    EXECUTE_DISABLE,
  ];
}

function tableFields({ level }: Reading, outputBits: number): Field[] {
  return [
    ...COMMON,
    ...(level !== null && level <= 2 ? [flag('PS', 7, 'a table, not a leaf', '')] : []),
    addressField('Address', outputBits - 1, 12),
    EXECUTE_DISABLE,
  ];
}

function readable(read: boolean): void {
  if (!read) throw new RangeError('read is not set; whatever is present in x86_64 can be read');
}

/**
 * x86-64 paging, as VT-d's first stage and AMD's v2 tables use it: Intel SDM volume 3, section 4.5; Intel VT-d specification,
 * section 9.7; Linux drivers/iommu/generic_pt/fmt/x86_64.h. Protection keys (62:59) count as ignored: an IOMMU has none.
 */
export const X86_64: EntryFormat = {
  name: 'x86_64',
  source: 'Intel SDM volume 3, 4.5; Intel VT-d specification, 9.7',
  variants: [VARIANT],
  consecutiveRuns: false,
  presence: [PRESENT],

  isPresent: (entry) => (entry & P) !== 0n,

  read(entry, place): Reading {
    const reading = readByPageSizeBit(entry, place);
    if (place.level !== null || reading.shift !== null) return reading;
    return { ...reading, notes: [...reading.notes, 'at level 0 bit 7 is PAT, and the leaf has 4 KiB'] };
  },

  shape(_entry, reading, { outputBits }: Place): Shape {
    const software = bitRange(62, 52);
    if (reading.kind === 'leaf')
      return { fields: leafFields(reading, outputBits), ignored: software | bitRange(11, 9) };
    return { fields: tableFields(reading, outputBits), ignored: software | bitRange(11, 8) | D };
  },

  address: (entry) => entry & ADDRESS,

  rights: (entry, { kind }) => ({
    read: true,
    write: (entry & RW) !== 0n,
    accessed: (entry & A) !== 0n,
    dirty: kind === 'leaf' && (entry & D) !== 0n,
  }),

  leafSizes: () => LEAF_SIZES,

  /** U and A are set, as Linux makes them. */
  makeLeaf({ size, address, read, write, accessed = true, dirty }: LeafToMake): bigint {
    readable(read);
    const state = (accessed ? A : 0n) | (dirty ? D : 0n);
    return P | U | address | state | (size.level > 0 ? PS : 0n) | (write ? RW : 0n);
  },

  makeTable({ address, read, write, accessed = true }: TableToMake): bigint {
    readable(read);
    return P | U | address | (accessed ? A : 0n) | (write ? RW : 0n);
  },
};
