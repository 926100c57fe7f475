import type { DecodedEntry } from '../../../src/iommu/entries/decode.ts';
import type { EntryToEncode } from '../../../src/iommu/entries/encode.ts';
import type { PlaceOptions } from '../../../src/iommu/entries/registry.ts';

/** An entry whose bits were put together by hand from the format's specification. */
export interface Vector {
  readonly title: string;
  readonly value: bigint;
  readonly at?: PlaceOptions;
  readonly is: Partial<DecodedEntry>;
  /** What makes it, where it can be made. */
  readonly made?: EntryToEncode;
}

export const KIB = 1024n;
export const MIB = 1024n * KIB;
export const GIB = 1024n * MIB;
export const TIB = 1024n * GIB;

export const RW = { read: true, write: true };
export const RO = { read: true, write: false };
export const WO = { read: false, write: true };

/** What is read of a leaf. */
export function leaf(level: number | null, size: bigint | null, address: bigint): Partial<DecodedEntry> {
  return { present: true, kind: 'leaf', level, size, address };
}

/** What is read of a table. */
export function table(level: number | null, address: bigint): Partial<DecodedEntry> {
  return { present: true, kind: 'table', level, size: null, address, dirty: false };
}

/** Nothing has been accessed or written. */
export const FRESH = { accessed: false, dirty: false };
