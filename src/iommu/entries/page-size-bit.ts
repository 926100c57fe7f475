import type { LeafSize, Place, Reading, Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { bitRange } from './field.ts';
import { sizeHangsOnLevel } from './leaf-words.ts';

/** What the two Intel formats have in common: 512 entries a table, five levels, PS (bit 7) for leaves of levels 1 and 2. */
export const VARIANT: Variant = { granule: null, granuleShift: 12, tableBits: 9, levels: 5, outputBits: 52 };

export const PS = bitRange(7);

/** 4 KiB, 2 MiB, 1 GiB. */
export const LEAF_SIZES: readonly LeafSize[] = [0, 1, 2].map((level) => ({
  shift: entryShift(VARIANT, level),
  level,
  run: 0,
}));

/**
 * What an entry is, by PS and the level of its table. Without a level, PS set is a leaf of level 1 or 2, and PS clear is read as a
 * leaf of level 0.
 */
export function readByPageSizeBit(entry: bigint, { level }: Place): Reading {
  const large = (entry & PS) !== 0n;
  if (level === null && large) {
    const notes = [sizeHangsOnLevel(VARIANT, 1, 2)];
    return { kind: 'leaf', level: null, shift: null, leastShift: 21, notes };
  }
  if (level === null || level === 0) {
    const notes = level === null ? ['bit 7 is clear: a leaf at level 0, a table at any other; read as of level 0'] : [];
    return { kind: 'leaf', level: 0, shift: 12, leastShift: 12, notes };
  }
  const isLeaf = large && level <= 2;
  const shift = entryShift(VARIANT, level);
  return {
    kind: isLeaf ? 'leaf' : 'table',
    level,
    shift: isLeaf ? shift : null,
    leastShift: isLeaf ? shift : 12,
    notes: [],
  };
}
