import {
  addressFields,
  addressOf,
  AF,
  ARM_VARIANTS,
  armAbsence,
  armLeafSizes,
  DBM,
  isArmPresent,
  leafBits,
  needWritable,
  readDescriptor,
  TABLE_IGNORED,
  tableBits,
  typeField,
  upperLeafFields,
} from './arm-descriptor.ts';
import type { EntryFormat, LeafToMake, Place, Reading, Rights, Shape, TableToMake } from './entry-format.ts';
import { bitRange, choice, field, type Field } from './field.ts';

const MEMATTR_WRITE_BACK = 15n << 2n;
const S2AP_READ = bitRange(6);
const S2AP_WRITE = bitRange(7);

const DEVICE = ['device nGnRnE', 'device nGnRE', 'device nGRE', 'device GRE'];
const CACHEABILITY = ['reserved', 'non-cacheable', 'write-through', 'write-back'];

function memAttrWords(value: bigint): string {
  const outer = Number(value >> 2n);
  const inner = Number(value & 3n);
  if (outer === 0) return DEVICE[inner];
  if (inner === 0) return 'reserved';
  const words = outer === inner ? CACHEABILITY[inner] : `outer ${CACHEABILITY[outer]}, inner ${CACHEABILITY[inner]}`;
  return value === 6n ? `${words}; with FWB: write-back, whatever stage 1 says` : words;
}

/** What S2AP and DBM say together. */
function s2apWords(entry: bigint): string {
  const reads = entry & S2AP_READ ? 'reads allowed' : 'no reads';
  const writable = (entry & S2AP_WRITE) !== 0n;
  if (entry & DBM) return `${reads}, ${writable ? 'writable-dirty' : 'writable-clean: a write sets the upper bit'}`;
  if (writable) return `${reads}, writable, without dirty tracking`;
  return entry & S2AP_READ ? 'read-only' : 'no access';
}

function leafFields(entry: bigint, reading: Reading, place: Place): Field[] {
  return [
    typeField(reading),
    field('MemAttr', 5, 2, memAttrWords),
    field('S2AP', 7, 6, () => s2apWords(entry)),
    ...upperLeafFields(reading),
    ...addressFields('OA', reading, place),
    choice('XN', 54, 53, ['', 'no privileged execution', 'no execution', 'no unprivileged execution']),
  ];
}

function leafRights(entry: bigint): Rights {
  const tracked = (entry & DBM) !== 0n;
  const writable = (entry & S2AP_WRITE) !== 0n;
  return {
    read: (entry & S2AP_READ) !== 0n,
    write: tracked || writable,
    accessed: (entry & AF) !== 0n,
    dirty: tracked && writable,
  };
}

/**
 * Armv8 stage 2 as an SMMUv3 walks it: Arm ARM (DDI 0487) D8.3, SMMUv3 (IHI 0070) 3.13; Linux drivers/iommu/io-pgtable-arm.c.
 * Bits 50:48 and 11 count as reserved: LPA2 is another descriptor format, and bit 11 is FnXS only with FEAT_XS.
 */
export const ARMV8_S2: EntryFormat = {
  name: 'armv8-s2',
  source: 'Arm ARM (DDI 0487), D8.3',
  variants: ARM_VARIANTS,
  consecutiveRuns: true,
  presence: [choice('Type', 1, 0, ['invalid', 'block', 'invalid', ''])],
  absence: armAbsence,

  isPresent: isArmPresent,
  read: readDescriptor,

  shape(entry, reading, place): Shape {
    if (reading.kind === 'leaf') return { fields: leafFields(entry, reading, place), ignored: bitRange(63) };
    return { fields: [typeField(reading), ...addressFields('NLTA', reading, place)], ignored: TABLE_IGNORED };
  },

  address: addressOf,

  /** A table has no rights of its own. */
  rights(entry, { kind }): Rights {
    return kind === 'leaf' ? leafRights(entry) : { read: true, write: true, accessed: false, dirty: false };
  },

  leafSizes: armLeafSizes,

  /** MemAttr is write-back, as Linux makes it; DBM is set where a dirty state is given. */
  makeLeaf(leaf: LeafToMake, place: Place): bigint {
    const { read, write, dirty } = leaf;
    needWritable('armv8-s2', write, dirty);
    const tracked = dirty === undefined ? 0n : DBM;
    const state = write ? tracked | (dirty === false ? 0n : S2AP_WRITE) : 0n;
    return leafBits(leaf, place) | state | (read ? S2AP_READ : 0n) | MEMATTR_WRITE_BACK;
  },

  makeTable({ address, read, write }: TableToMake, place: Place): bigint {
    if (!read || !write) throw new RangeError('a table of armv8-s2 lets everything through; leave read and write out');
    return tableBits(address, place);
  },
};
