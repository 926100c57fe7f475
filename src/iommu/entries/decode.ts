import { checkAddress, type Address } from '../../wasm/address.ts';
import type { FormatName, GranuleName } from '../formats.ts';
import type { EntryFormat, Place, Shape } from './entry-format.ts';
import { bitRange, bitsName, valueOf, type Field } from './field.ts';
import { findEntryFormat, placeOf, type PlaceOptions } from './registry.ts';

/** A field of an entry, with its value. */
export interface DecodedField {
  /** As its specification names it. */
  readonly name: string;
  /** Where it lies: `51:12`, or `7`. */
  readonly bits: string;
  /** How many bits it has. */
  readonly width: number;
  /** The field's value; of address bits what they say where they stand. */
  readonly value: bigint;
  /** The value in words; empty where it says nothing. */
  readonly meaning: string;
}

/** A page-table entry in words. */
export interface DecodedEntry {
  readonly format: FormatName;
  /** Null where the format has only one. */
  readonly granule: GranuleName | null;
  readonly value: bigint;
  readonly present: boolean;
  /** `none` where nothing is present. */
  readonly kind: 'leaf' | 'table' | 'none';
  /** The level that was given, or that the entry gives away; null where it does not. */
  readonly level: number | null;
  /** Bytes of the leaf; null where it is none, or where that hangs on a level that is not known. */
  readonly size: bigint | null;
  /** Output address of the leaf's first byte, or the address of the table; 0 where nothing is present. */
  readonly address: bigint;
  /** What this entry by itself lets through. A leaf that hardware may make writable-dirty counts as writable. */
  readonly read: boolean;
  readonly write: boolean;
  readonly accessed: boolean;
  /** What a read of the dirty state would report of it. */
  readonly dirty: boolean;
  /** Every field of this kind of entry, from bit 0 up. */
  readonly fields: readonly DecodedField[];
  /** Bits that are set and that hardware ignores. */
  readonly ignored: bigint;
  /** Bits that are set although the specification reserves them. */
  readonly reserved: bigint;
  /** What was assumed, and what hardware would refuse, in sentences. */
  readonly notes: readonly string[];
}

const ALL = bitRange(63, 0);

function maskOf(fields: readonly Field[]): bigint {
  return fields.reduce((mask, { high, low }) => mask | bitRange(high, low), 0n);
}

function fieldsOf(entry: bigint, { fields }: Shape): DecodedField[] {
  return [...fields]
    .sort((a, b) => a.low - b.low)
    .map((field) => {
      const value = valueOf(field, entry);
      const { name, high, low } = field;
      const meaning = field.meaning?.(value) ?? '';
      return { name, bits: bitsName(field), width: high + 1 - low, value, meaning };
    });
}

function absent(format: EntryFormat, value: bigint, place: Place): DecodedEntry {
  const shape: Shape = { fields: format.presence, ignored: 0n };
  return {
    format: format.name,
    granule: place.variant.granule,
    value,
    present: false,
    kind: 'none',
    level: place.level,
    size: null,
    address: 0n,
    read: false,
    write: false,
    accessed: false,
    dirty: false,
    fields: fieldsOf(value, shape),
    ignored: value & ALL & ~maskOf(shape.fields),
    reserved: 0n,
    notes: format.absence?.(value, place) ?? [],
  };
}

/**
 * Reads a page-table entry: what it is, where it leads, and every field of it. Without `level`, `notes` says what was assumed.
 * EINVAL: no such format, granule or level; `value` is not an integer of 64 bits.
 */
export function decodeEntry(format: string, value: Address, options: PlaceOptions = {}): DecodedEntry {
  const op = 'decodeEntry';
  const found = findEntryFormat(op, format);
  return decodeAt(found, BigInt(checkAddress(op, 'value', value)), placeOf(op, found, options));
}

/** `decodeEntry` with everything checked. */
export function decodeAt(format: EntryFormat, value: bigint, place: Place): DecodedEntry {
  if (!format.isPresent(value, place)) return absent(format, value, place);
  const reading = format.read(value, place);
  const { kind, level, shift, leastShift, notes } = reading;
  const shape = format.shape(value, reading, place);
  const offset = bitRange((shift ?? leastShift) - 1, 0);
  return {
    format: format.name,
    granule: place.variant.granule,
    value,
    present: true,
    kind,
    level,
    size: shift === null ? null : 1n << BigInt(shift),
    address: format.address(value, reading, place) & bitRange(place.outputBits - 1, 0) & ~offset,
    ...format.rights(value, reading),
    fields: fieldsOf(value, shape),
    ignored: value & shape.ignored,
    reserved: value & ~(maskOf(shape.fields) | shape.ignored),
    notes,
  };
}
