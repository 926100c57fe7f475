import type { EntryFormat, LeafSize, LeafToMake, Place, Reading, Shape, TableToMake, Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { bitRange, choice, field, flag, type Field } from './field.ts';
import { sizeHangsOnLevel } from './leaf-words.ts';

const V = bitRange(0);
const R = bitRange(1);
const W = bitRange(2);
const X = bitRange(3);
const U = bitRange(4);
const A = bitRange(6);
const D = bitRange(7);
const PPN = bitRange(53, 10);
const N = bitRange(63);
const PPN_LOW_NIBBLE = bitRange(13, 10);
const NAPOT_64K = bitRange(13);
const NAPOT_RUN = 4;

const VARIANT: Variant = { granule: null, granuleShift: 12, tableBits: 9, levels: 5, outputBits: 56 };

const PRESENT = flag('V', 0, 'not present', 'present');

function leaf(entry: bigint, level: number | null, shift: number | null, notes: string[]): Reading {
  if ((entry & (R | W)) === W) notes.push('W without R is reserved: a page fault');
  const unaligned = shift !== null && !(entry & N) && ((entry & PPN) << 2n) & bitRange(shift - 1, 0);
  if (unaligned) notes.push('the address is not aligned to the size of the leaf: a page fault');
  if ((entry & bitRange(62, 61)) === bitRange(62, 61)) notes.push('PBMT 3 is reserved: a page fault');
  return { kind: 'leaf', level, shift, leastShift: 12, notes };
}

function readLeaf(entry: bigint, level: number | null): Reading {
  const natural = level === null ? null : entryShift(VARIANT, level);
  if (!(entry & N)) return leaf(entry, level, natural, level === null ? [sizeHangsOnLevel(VARIANT, 0, 4)] : []);
  if ((entry & PPN_LOW_NIBBLE) === NAPOT_64K && !level) {
    return leaf(entry, 0, 12 + NAPOT_RUN, ['one of 16 equal entries side by side']);
  }
  const at = level ? `at level ${level}` : 'with this PPN';
  return leaf(entry, level, natural, [
    `N ${at} is reserved: a page fault; Svnapot has 64 KiB at level 0 only, PPN ending in 1000`,
  ]);
}

function ppnField({ kind, shift }: Reading, entry: bigint, outputBits: number): Field {
  const napot = kind === 'leaf' && (entry & N) !== 0n && shift === 16;
  return field('PPN', outputBits - 3, 10, (value) =>
    napot ? 'page number; its lowest nibble 1000 says 64 KiB' : `page number: address 0x${(value << 12n).toString(16)}`,
  );
}

function leafFields(entry: bigint, reading: Reading, outputBits: number): Field[] {
  return [
    PRESENT,
    flag('R', 1, 'no reads', 'reads allowed'),
    flag('W', 2, 'no writes', 'writes allowed'),
    flag('X', 3, 'no execute requests', 'execute requests allowed'),
    flag('U', 4, 'supervisor requests only', 'user requests'),
    flag('G', 5, '', 'global: in every address space'),
    flag('A', 6, 'not accessed: a fault, unless hardware may set it', 'accessed'),
    flag('D', 7, 'clean: a write faults, unless hardware may set it', 'dirty: written since cleared'),
    field('RSW', 9, 8, (value) => (value ? 'for software' : '')),
    ppnField(reading, entry, outputBits),
    choice('PBMT', 62, 61, ['memory type as the platform says', 'non-cacheable', 'I/O', 'reserved']),
    flag('N', 63, '', 'size in the PPN (Svnapot)'),
  ];
}

function tableFields(entry: bigint, reading: Reading, outputBits: number): Field[] {
  return [
    PRESENT,
    flag('R', 1, 'a table: R, W and X are clear', ''),
    flag('W', 2, '', ''),
    flag('X', 3, '', ''),
    flag('G', 5, '', 'global: all below is in every address space'),
    field('RSW', 9, 8, (value) => (value ? 'for software' : '')),
    ppnField(reading, entry, outputBits),
  ];
}

/**
 * RISC-V Sv39, Sv48 and Sv57 as the RISC-V IOMMU walks them: RISC-V privileged specification, sections 12.3 to 12.6, Svnapot and
 * Svpbmt; RISC-V IOMMU specification, 3.3; Linux drivers/iommu/generic_pt/fmt/riscv.h.
 */
export const RISCV: EntryFormat = {
  name: 'riscv',
  source: 'RISC-V privileged specification, 12.3 to 12.6',
  variants: [VARIANT],
  consecutiveRuns: false,
  presence: [PRESENT],

  isPresent: (entry) => (entry & V) !== 0n,

  read(entry, { level }: Place): Reading {
    if (entry & (R | W | X)) return readLeaf(entry, level);
    const notes = level === 0 ? ['R, W and X are clear at level 0, where no table can follow: a page fault'] : [];
    return { kind: 'table', level, shift: null, leastShift: 12, notes };
  },

  shape(entry, reading, { outputBits }: Place): Shape {
    const fields = reading.kind === 'leaf' ? leafFields : tableFields;
    return { fields: fields(entry, reading, outputBits), ignored: 0n };
  },

  address: (entry) => (entry & PPN) << 2n,

  /** A table has no rights of its own. */
  rights: (entry, { kind }) => {
    if (kind === 'table') return { read: true, write: true, accessed: false, dirty: false };
    return {
      read: (entry & R) !== 0n,
      write: (entry & W) !== 0n,
      accessed: (entry & A) !== 0n,
      dirty: (entry & D) !== 0n,
    };
  },

  leafSizes(): LeafSize[] {
    const natural = [0, 1, 2, 3, 4].map((level) => ({ shift: entryShift(VARIANT, level), level, run: 0 }));
    return [natural[0], { shift: 12 + NAPOT_RUN, level: 0, run: NAPOT_RUN }, ...natural.slice(1)];
  },

  /** U and A are set, as Linux makes them. */
  makeLeaf({ size, address, read, write, accessed = true, dirty }: LeafToMake): bigint {
    if (!read) throw new RangeError('read is not set; a riscv leaf that can be written can be read too');
    const state = (accessed ? A : 0n) | (dirty ? D : 0n);
    return V | R | U | state | (write ? W : 0n) | (size.run > 0 ? N | NAPOT_64K : 0n) | (address >> 2n);
  },

  makeTable({ address, read, write, accessed }: TableToMake): bigint {
    if (!read || !write) throw new RangeError('a table of riscv lets everything through; leave read and write out');
    if (accessed) throw new RangeError('accessed is set; in a table of riscv that bit is reserved');
    return V | (address >> 2n);
  },
};
