import * as layout from '../../assembly/layout.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Instance } from '../../src/wasm/instance.ts';
import type { TableShape } from './table-shape.ts';

/** A page-table entry as it lies in memory. */
export interface Entry {
  readonly offset: number;
  readonly level: number;
  readonly value: bigint;
}

/** Whether an entry of level 1 or higher points to a table, by the formats' specifications. */
const POINTS_TO_TABLE: Record<string, (entry: bigint) => boolean> = {
  // PR set, and NextLevel 1 .. 6.
  amdv1: (entry) => (entry & 1n) === 1n && (entry & 0xe00n) !== 0n && (entry & 0xe00n) !== 0xe00n,
  // R or W set, PS clear.
  vtdss: (entry) => (entry & 3n) !== 0n && (entry & 0x80n) === 0n,
  // Type 3.
  'armv8-s1': (entry) => (entry & 3n) === 3n,
};

/** Walks the tables in the core's memory by hand; the entries from the root on, the last one being where the walk ends. */
export function walkByHand(instance: Instance, domain: Domain, shape: TableShape, iova: number): Entry[] {
  const slot = instance.slot(domain.handle, 'test');
  let table = instance.load32(slot + layout.DOMAIN_ROOT);
  const path: Entry[] = [];
  for (let level = instance.load32(slot + layout.DOMAIN_TOP); ; level--) {
    const index = Math.floor(iova / (shape.granule * shape.entries ** level)) % shape.entries;
    const offset = table + 8 * index;
    const value = instance.loadBig(offset);
    path.push({ offset, level, value });
    if (level === 0 || !POINTS_TO_TABLE[shape.format.name](value)) return path;
    // Tables lie at core offsets, whatever the core's base.
    table = Number(value & 0x000f_ffff_ffff_f000n);
  }
}

/** The entry that ends the way to `iova`. */
export function entryOf(instance: Instance, domain: Domain, shape: TableShape, iova: number): Entry {
  return walkByHand(instance, domain, shape, iova).at(-1)!;
}

/** The `count` entries from `entry` on. */
export function entriesFrom(instance: Instance, entry: Entry, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => instance.loadBig(entry.offset + 8 * i));
}
