import { formatBytes } from '../../units/quantity.ts';
import type { Variant } from './entry-format.ts';
import { entryShift } from './entry-format.ts';

/** 2^shift bytes, as people write them: `2 MiB`. */
export function sizeName(shift: number): string {
  return formatBytes(2 ** shift);
}

/** The natural leaf sizes of levels `first` to `last`: `4 KiB at level 0, 2 MiB at level 1`. */
export function sizesByLevel(variant: Variant, first: number, last: number): string {
  const names: string[] = [];
  for (let level = first; level <= last; level++)
    names.push(`${sizeName(entryShift(variant, level))} at level ${level}`);
  return names.join(', ');
}

/** The same as a note, for an entry that does not say its level. */
export function sizeHangsOnLevel(variant: Variant, first: number, last: number): string {
  return `the leaf's size hangs on the level of its table: ${sizesByLevel(variant, first, last)}`;
}
