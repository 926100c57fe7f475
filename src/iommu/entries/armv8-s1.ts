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
import { bitRange, choice, field, flag, type Field } from './field.ts';

const ATTR_WRITE_BACK = 1n << 2n;
const AP_UNPRIVILEGED = bitRange(6);
const AP_READ_ONLY = bitRange(7);
const NG = bitRange(11);
const APTABLE_READ_ONLY = bitRange(62);

/** The slots of MAIR_EL1 as Linux fills them (io-pgtable-arm.c). */
const LINUX_MAIR = ['non-cacheable (0x44)', 'write-back (0xff)', 'device nGnRE (0x04)'];

function attrIndxWords(slot: bigint): string {
  const linux = LINUX_MAIR[Number(slot)];
  return linux ? `MAIR slot ${slot}: ${linux}, as Linux fills it` : `MAIR slot ${slot}: not used by Linux`;
}

/** What DBM and AP[2] say together: the dirty state is inverted. */
function writeState(entry: bigint): string {
  const readOnly = (entry & AP_READ_ONLY) !== 0n;
  if (entry & DBM) return readOnly ? 'writable-clean: a write clears this bit' : 'writable-dirty';
  return readOnly ? 'read-only' : 'writable, without dirty tracking';
}

function leafFields(entry: bigint, reading: Reading, place: Place): Field[] {
  return [
    typeField(reading),
    field('AttrIndx', 4, 2, attrIndxWords),
    flag('NS', 5, '', 'non-secure output address of a secure stream'),
    flag('AP[1]', 6, 'privileged requests only', 'unprivileged requests too'),
    field('AP[2]', 7, 7, () => writeState(entry)),
    ...upperLeafFields(reading),
    flag('nG', 11, 'global', 'of one ASID'),
    ...addressFields('OA', reading, place),
    flag('PXN', 53, '', 'no privileged execution'),
    flag('UXN', 54, '', 'no unprivileged execution'),
  ];
}

function tableFields(reading: Reading, place: Place): Field[] {
  return [
    typeField(reading),
    ...addressFields('NLTA', reading, place),
    flag('PXNTable', 59, '', 'no privileged execution below'),
    flag('XNTable', 60, '', 'no execution below'),
    choice('APTable', 62, 61, [
      '',
      'no unprivileged requests below',
      'no writes below',
      'no writes, no unprivileged requests below',
    ]),
    flag('NSTable', 63, '', 'non-secure tables below'),
  ];
}

function leafRights(entry: bigint): Rights {
  const writeStateBits = entry & (AP_READ_ONLY | DBM);
  return {
    read: true,
    write: writeStateBits !== AP_READ_ONLY,
    accessed: (entry & AF) !== 0n,
    dirty: writeStateBits === DBM,
  };
}

function readable(read: boolean): void {
  if (!read) throw new RangeError('read is not set; whatever is present in armv8-s1 can be read');
}

/**
 * Armv8 stage 1 as an SMMUv3 walks it: Arm ARM (DDI 0487) D8.3, SMMUv3 (IHI 0070) 3.13; Linux drivers/iommu/io-pgtable-arm.c.
 * Bits 50:48 count as reserved: LPA2 is another descriptor format, and an SMMU has no guarded pages (GP).
 */
export const ARMV8_S1: EntryFormat = {
  name: 'armv8-s1',
  source: 'Arm ARM (DDI 0487), D8.3',
  variants: ARM_VARIANTS,
  consecutiveRuns: true,
  presence: [choice('Type', 1, 0, ['invalid', 'block', 'invalid', ''])],
  absence: armAbsence,

  isPresent: isArmPresent,
  read: readDescriptor,

  shape(entry, reading, place): Shape {
    if (reading.kind === 'leaf') return { fields: leafFields(entry, reading, place), ignored: bitRange(63) };
    return { fields: tableFields(reading, place), ignored: TABLE_IGNORED };
  },

  address: addressOf,

  rights(entry, { kind }): Rights {
    if (kind === 'leaf') return leafRights(entry);
    return { read: true, write: (entry & APTABLE_READ_ONLY) === 0n, accessed: false, dirty: false };
  },

  leafSizes: armLeafSizes,

  /** AttrIndx 1, AP[1] and nG are set, as Linux makes them; DBM where a dirty state is given. */
  makeLeaf(leaf: LeafToMake, place: Place): bigint {
    const { read, write, dirty } = leaf;
    readable(read);
    needWritable('armv8-s1', write, dirty);
    const clean = dirty === false ? AP_READ_ONLY : 0n;
    const state = write ? (dirty === undefined ? 0n : DBM | clean) : AP_READ_ONLY;
    return leafBits(leaf, place) | state | ATTR_WRITE_BACK | AP_UNPRIVILEGED | NG;
  },

  makeTable({ address, read, write }: TableToMake, place: Place): bigint {
    readable(read);
    return tableBits(address, place) | (write ? 0n : APTABLE_READ_ONLY);
  },
};
