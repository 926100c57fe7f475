import type { EntryFormat, LeafToMake, Place, Reading, Shape, TableToMake } from './entry-format.ts';
import { addressField, bitRange, field, flag, type Field } from './field.ts';
import { LEAF_SIZES, PS, readByPageSizeBit, VARIANT } from './page-size-bit.ts';

const R = bitRange(0);
const W = bitRange(1);
const A = bitRange(8);
const D = bitRange(9);
const ADDRESS = bitRange(51, 12);
const SOFTWARE = bitRange(10) | bitRange(61, 52) | bitRange(63);

const RIGHTS: readonly Field[] = [
  flag('R', 0, 'no reads', 'reads allowed'),
  flag('W', 1, 'no writes', 'writes allowed'),
];
const EXECUTE = flag('X', 2, 'no execute requests', 'execute requests allowed');
const ACCESSED = flag('A', 8, 'not accessed since cleared', 'accessed');

const MEMORY_TYPES = [
  'uncacheable',
  'write-combining',
  'reserved',
  'reserved',
  'write-through',
  'write-protected',
  'write-back',
  'reserved',
];

function leafFields({ level, leastShift }: Reading, outputBits: number): Field[] {
  return [
    ...RIGHTS,
    EXECUTE,
    field('EMT', 5, 3, (type) => `${MEMORY_TYPES[Number(type)]}, where EMTE is set in the PASID entry`),
    flag('IPAT', 6, 'the PAT has a say in the memory type', 'the PAT is ignored'),
    ...(level === 0 ? [] : [flag('PS', 7, '', 'leaf, not a table')]),
    ACCESSED,
    flag('D', 9, 'clean', 'dirty: written since cleared'),
    flag('SNP', 11, 'the device says whether it snoops', 'accesses snoop, whatever the device asks for'),
    addressField('ADDR', outputBits - 1, leastShift),
  ];
}

function tableFields({ level }: Reading, outputBits: number): Field[] {
  return [
    ...RIGHTS,
    EXECUTE,
    ...(level !== null && level <= 2 ? [flag('PS', 7, 'a table, not a leaf', '')] : []),
    ACCESSED,
    addressField('ADDR', outputBits - 1, 12),
  ];
}

function needRights(read: boolean, write: boolean): void {
  if (!read && !write)
    throw new RangeError('neither read nor write is set; a vtdss entry without either is not present');
}

/**
 * VT-d second-stage tables: Intel Virtualization Technology for Directed I/O specification, section 9.8; Linux
 * drivers/iommu/generic_pt/fmt/vtdss.h. There is no present bit. Bit 62 (once TM) is reserved.
 */
export const VTDSS: EntryFormat = {
  name: 'vtdss',
  source: 'Intel VT-d specification, 9.8',
  variants: [VARIANT],
  consecutiveRuns: false,
  presence: RIGHTS,

  isPresent: (entry) => (entry & (R | W)) !== 0n,
  read: readByPageSizeBit,

  shape(_entry, reading, { outputBits }: Place): Shape {
    if (reading.kind === 'leaf') return { fields: leafFields(reading, outputBits), ignored: SOFTWARE };
    return { fields: tableFields(reading, outputBits), ignored: SOFTWARE | bitRange(6, 3) | bitRange(9) };
  },

  address: (entry) => entry & ADDRESS,

  rights: (entry, { kind }) => ({
    read: (entry & R) !== 0n,
    write: (entry & W) !== 0n,
    accessed: (entry & A) !== 0n,
    dirty: kind === 'leaf' && (entry & D) !== 0n,
  }),

  leafSizes: () => LEAF_SIZES,

  makeLeaf({ size, address, read, write, accessed, dirty }: LeafToMake): bigint {
    needRights(read, write);
    const state = (accessed ? A : 0n) | (dirty ? D : 0n);
    return address | state | (size.level > 0 ? PS : 0n) | (read ? R : 0n) | (write ? W : 0n);
  },

  makeTable({ address, read, write, accessed }: TableToMake): bigint {
    needRights(read, write);
    return address | (accessed ? A : 0n) | (read ? R : 0n) | (write ? W : 0n);
  },
};
