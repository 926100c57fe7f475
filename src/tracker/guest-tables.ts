import type { MappedSpan } from '../workload/mapped-spans.ts';

/** Bytes of a table of stage 1. */
export const TABLE_BYTES = 4096;

/** What one table of each level below the root covers, bytes: 512 entries of what the level below covers. */
const COVERED = [2 ** 21, 2 ** 30, 2 ** 39];

/**
 * The most tables of four levels that map pages of 4 KiB within `spans` (ascending, apart): a root, and below it one wherever there is
 * ever something to map. A guest's driver keeps tables that have become empty.
 */
export function tablesFor(spans: readonly MappedSpan[]): number {
  let tables = 1;
  for (const bytes of COVERED) {
    let next = 0;
    for (const { iova, length } of spans) {
      const first = Math.max(next, Math.floor(iova / bytes));
      const last = Math.floor((iova + length - 1) / bytes);
      tables += Math.max(0, last - first + 1);
      next = Math.max(next, last + 1);
    }
  }
  return tables;
}

/** Bytes of the tables of all devices, one address space each; above 0 also where there is none. */
export function tableBytesFor(spaces: readonly (readonly MappedSpan[])[]): number {
  return (
    TABLE_BYTES *
    Math.max(
      1,
      spaces.reduce((sum, spans) => sum + tablesFor(spans), 0),
    )
  );
}
