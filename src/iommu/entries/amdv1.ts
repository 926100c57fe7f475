import type { EntryFormat, LeafSize, LeafToMake, Place, Reading, Shape, TableToMake, Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { addressField, bitRange, field, flag, type Field } from './field.ts';
import { sizeHangsOnLevel, sizeName } from './leaf-words.ts';

const PR = bitRange(0);
const A = bitRange(5);
const D = bitRange(6);
const NEXT_LEVEL = bitRange(11, 9);
const ADDRESS = bitRange(51, 12);
const IR = bitRange(61);
const IW = bitRange(62);

const LARGEST_SHIFT = 51;
const ENCODED = 7;

const VARIANT: Variant = { granule: null, granuleShift: 12, tableBits: 9, levels: 6, outputBits: 52 };

const PRESENT = flag('PR', 0, 'not present', 'present');

function nextLevelOf(entry: bigint): number {
  return Number((entry & NEXT_LEVEL) >> 9n);
}

/** log2 of the size in a leaf of NextLevel 7: one more than the lowest clear address bit. */
function encodedShift(entry: bigint): number {
  let bit = 12;
  while (bit < 52 && entry & bitRange(bit)) bit++;
  return bit + 1;
}

function levelOf(shift: number): number {
  return Math.floor((shift - 12) / 9);
}

function leaf(level: number | null, shift: number | null, notes: string[]): Reading {
  if (shift === 39) notes.push('Linux makes no leaves of 512 GiB: hardware has a bug with them');
  return { kind: 'leaf', level, shift, leastShift: 12, notes };
}

function readEncoded(entry: bigint, level: number | null): Reading {
  const shift = encodedShift(entry);
  if (shift > LARGEST_SHIFT) return leaf(level, null, ['the address bits encode no size: the largest leaf is 2 PiB']);
  const own = levelOf(shift);
  const entries = 2 ** ((shift - 12) % 9);
  const notes =
    entries > 1 ? [`one of ${entries} equal entries side by side; D in any one makes all of them dirty`] : [];
  if (level !== null && level !== own) notes.push(`a leaf of ${sizeName(shift)} belongs in a table of level ${own}`);
  return leaf(level ?? own, shift, notes);
}

function readNatural(level: number | null): Reading {
  if (level === null) return leaf(null, null, [sizeHangsOnLevel(VARIANT, 0, 4)]);
  if (level === 5) return leaf(5, null, ['a table of level 5 has no leaves']);
  return leaf(level, entryShift(VARIANT, level), []);
}

function readTable(next: number, level: number | null): Reading {
  if (level === 0) {
    return leaf(0, 12, [`NextLevel ${next} in a table of level 0: Linux reads whatever is present there as a leaf`]);
  }
  const notes: string[] = [];
  if (next === 6) notes.push('NextLevel 6: only the device table entry can point to a table that high');
  else if (level !== null && next > level) notes.push(`NextLevel ${next} in a table of level ${level} leads up again`);
  else if (level !== null && next < level)
    notes.push(`NextLevel ${next} in a table of level ${level} skips levels; Linux never does`);
  return { kind: 'table', level: level ?? (next < 6 ? next : null), shift: null, leastShift: 12, notes };
}

function nextLevelField({ kind, shift }: Reading): Field {
  return field('NextLevel', 11, 9, (next) => {
    if (kind === 'table') return `points to a table of AMD level ${next}, which is level ${next - 1n} here`;
    if (next === 0n) return "leaf of its table's natural size";
    if (Number(next) !== ENCODED) return 'not looked at in a table of level 0';
    return shift === null
      ? 'leaf, size encoded in the address'
      : `leaf, size encoded in the address: ${sizeName(shift)}`;
  });
}

/**
 * AMD IOMMU host page tables ("v1"): AMD I/O Virtualization Technology specification (48882), section 2.2.3; Linux
 * drivers/iommu/generic_pt/fmt/amdv1.h. Leaf and table entries share their layout. A level here is AMD's less one.
 */
export const AMDV1: EntryFormat = {
  name: 'amdv1',
  source: 'AMD I/O Virtualization Technology specification, 2.2.3',
  variants: [VARIANT],
  consecutiveRuns: false,
  presence: [PRESENT],

  isPresent: (entry) => (entry & PR) !== 0n,

  read(entry, { level }): Reading {
    const next = nextLevelOf(entry);
    if (next === 0) return readNatural(level);
    return next === ENCODED ? readEncoded(entry, level) : readTable(next, level);
  },

  shape(_entry, reading, { outputBits }: Place): Shape {
    const isLeaf = reading.kind === 'leaf';
    return {
      fields: [
        PRESENT,
        flag('A', 5, 'not accessed since cleared', 'accessed'),
        ...(isLeaf ? [flag('D', 6, 'clean', 'dirty: written since cleared')] : []),
        nextLevelField(reading),
        addressField(isLeaf ? 'PageAddress' : 'NextTableAddress', outputBits - 1, 12),
        flag('U', 59, '', 'ATS requests get the attribute U (legacy)'),
        flag('FC', 60, 'the device says whether it snoops', 'accesses are coherent, whatever the device asks for'),
        flag('IR', 61, 'no reads', 'reads allowed'),
        flag('IW', 62, 'no writes', 'writes allowed'),
      ],
      ignored: bitRange(4, 1) | bitRange(8, 7) | bitRange(63) | (isLeaf ? 0n : D),
    };
  },

  address: (entry) => entry & ADDRESS,

  rights: (entry, { kind }) => ({
    read: (entry & IR) !== 0n,
    write: (entry & IW) !== 0n,
    accessed: (entry & A) !== 0n,
    dirty: kind === 'leaf' && (entry & D) !== 0n,
  }),

  leafSizes: (): LeafSize[] =>
    Array.from({ length: LARGEST_SHIFT - 11 }, (_, i) => ({ shift: 12 + i, level: levelOf(12 + i), run: i % 9 })),

  makeLeaf({ size, address, read, write, accessed, dirty }: LeafToMake): bigint {
    const encoded = size.run === 0 ? 0n : NEXT_LEVEL | bitRange(size.shift - 2, 12);
    const state = (accessed ? A : 0n) | (dirty ? D : 0n);
    return PR | encoded | address | state | (read ? IR : 0n) | (write ? IW : 0n);
  },

  makeTable({ address, level, read, write, accessed }: TableToMake): bigint {
    if (level === null) throw new RangeError('level is missing; a table entry of amdv1 says where it points: 1 to 5');
    return PR | (BigInt(level) << 9n) | address | (accessed ? A : 0n) | (read ? IR : 0n) | (write ? IW : 0n);
  },
};
