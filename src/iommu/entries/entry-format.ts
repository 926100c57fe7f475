import type { FormatName, GranuleName } from '../formats.ts';
import type { Field } from './field.ts';

/** A format with one granule. */
export interface Variant {
  /** Its granule, where the format has more than one. */
  readonly granule: GranuleName | null;
  /** log2 of the smallest leaf, bytes. */
  readonly granuleShift: number;
  /** log2 of the entries of a table. */
  readonly tableBits: number;
  /** How many levels of tables there can be. */
  readonly levels: number;
  /** Bits of an output address, at most and by default. */
  readonly outputBits: number;
}

/** Where an entry lies. */
export interface Place {
  readonly variant: Variant;
  /** The level of its table, 0 that of the smallest leaves; null where nobody has said. */
  readonly level: number | null;
  /** Bits of an output address: those above are reserved. */
  readonly outputBits: number;
}

/** What a present entry is. */
export interface Reading {
  readonly kind: 'leaf' | 'table';
  /** The level that was given, or that the entry gives away; null where it does not. */
  readonly level: number | null;
  /** log2 of the leaf's size; null for a table, and where it hangs on a level that is not known. */
  readonly shift: number | null;
  /** log2 of the least size that the leaf can have. */
  readonly leastShift: number;
  /** What a reader has to know beside the fields: what was assumed, and what hardware would refuse. */
  readonly notes: readonly string[];
}

/** The fields of an entry. A bit that is neither in a field nor ignored is reserved. */
export interface Shape {
  readonly fields: readonly Field[];
  /** Bits that hardware ignores, free for software. */
  readonly ignored: bigint;
}

/** What an entry lets through, and what hardware has noted in it. */
export interface Rights {
  readonly read: boolean;
  readonly write: boolean;
  readonly accessed: boolean;
  readonly dirty: boolean;
}

/** A leaf size of a format. */
export interface LeafSize {
  /** log2 of its bytes. */
  readonly shift: number;
  readonly level: number;
  /** log2 of the entries side by side that it fills. */
  readonly run: number;
}

/** A leaf to make an entry for. */
export interface LeafToMake {
  readonly size: LeafSize;
  readonly address: bigint;
  readonly read: boolean;
  readonly write: boolean;
  /** Undefined: as Linux makes it. */
  readonly accessed: boolean | undefined;
  /** Undefined: a leaf that is not made for tracking. */
  readonly dirty: boolean | undefined;
}

/** A table entry to make. */
export interface TableToMake {
  readonly address: bigint;
  /** The level of the entry; null where nobody has said. */
  readonly level: number | null;
  readonly read: boolean;
  readonly write: boolean;
  /** Undefined: as Linux makes it. */
  readonly accessed: boolean | undefined;
}

/**
 * The entries of a format, bit by bit, from its specification. Shares nothing with the tables of the core, so that the two can
 * be held against each other.
 */
export interface EntryFormat {
  readonly name: FormatName;
  /** Where the format is defined. */
  readonly source: string;
  /** One per granule; the first is the default. */
  readonly variants: readonly Variant[];
  /** Whether the entries of a run lead to consecutive addresses, each to its own, instead of all to the first. */
  readonly consecutiveRuns: boolean;
  /** The fields that say that nothing is there; hardware looks at no others then. */
  readonly presence: readonly Field[];
  isPresent(entry: bigint, place: Place): boolean;
  /** Why an entry is not present, where that takes words. */
  absence?(entry: bigint, place: Place): readonly string[];
  /** What a present entry is. */
  read(entry: bigint, place: Place): Reading;
  shape(entry: bigint, reading: Reading, place: Place): Shape;
  /** The output address as the entry holds it, or that of the table that it points to. */
  address(entry: bigint, reading: Reading, place: Place): bigint;
  rights(entry: bigint, reading: Reading): Rights;
  /** Leaf sizes, ascending. */
  leafSizes(place: Place): readonly LeafSize[];
  /** Throws a RangeError, with what would be right, for what the format cannot express. */
  makeLeaf(leaf: LeafToMake, place: Place): bigint;
  /** As `makeLeaf`. */
  makeTable(table: TableToMake, place: Place): bigint;
}

/** log2 of the bytes that an entry of `level` covers. */
export function entryShift({ granuleShift, tableBits }: Variant, level: number): number {
  return granuleShift + level * tableBits;
}
