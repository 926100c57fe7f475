import { IommuError } from '../../errno/error.ts';
import { checkAddress, hex, type Address } from '../../wasm/address.ts';
import { formatLeaf } from '../../units/quantity.ts';
import { decodeAt, type DecodedEntry } from './decode.ts';
import type { EntryFormat, LeafSize, Place } from './entry-format.ts';
import { entryShift } from './entry-format.ts';
import { bitRange, largestOf, withValue } from './field.ts';
import { findEntryFormat, placeOf, type PlaceOptions } from './registry.ts';

/** A page-table entry to make. */
export interface EntryToEncode extends PlaceOptions {
  /** Default: leaf. */
  readonly kind?: 'leaf' | 'table' | undefined;
  /** Output address of the leaf, a multiple of its size, or of the table. Each entry of a contiguous run has its own. */
  readonly address: Address;
  /** Bytes of the leaf. Default: the natural size of `level`. */
  readonly size?: Address | undefined;
  /** Default false, in a table true. */
  readonly read?: boolean | undefined;
  /** Default false, in a table true. */
  readonly write?: boolean | undefined;
  /** Default: as Linux makes it, which is true where hardware might fault on it otherwise: x86_64, Arm, RISC-V. */
  readonly accessed?: boolean | undefined;
  /** Default false. In the Arm formats true and false both make a leaf that hardware tracks; left out, it does not. */
  readonly dirty?: boolean | undefined;
  /** Values of further fields, by the names that `decodeEntry` gives them; they go over everything else. */
  readonly fields?: Readonly<Record<string, Address>> | undefined;
}

const OP = 'encodeEntry';

function refuse(message: string): never {
  throw new IommuError('EINVAL', OP, message);
}

const LISTED = 8;

function namesOf(sizes: readonly LeafSize[]): string {
  const names = sizes.map(({ shift }) => formatLeaf(2 ** shift));
  return names.length <= LISTED ? names.join(', ') : `every power of two from ${names[0]} to ${names.at(-1)}`;
}

function leafSizeOf(format: EntryFormat, { size }: EntryToEncode, place: Place): LeafSize {
  const sizes = format.leafSizes(place).filter(({ shift }) => shift <= place.outputBits);
  const names = namesOf(sizes);
  const { level } = place;
  if (size === undefined) {
    if (level === null) refuse(`size is missing; ${format.name} has leaves of ${names}`);
    const natural = sizes.find((candidate) => candidate.level === level && candidate.run === 0);
    return natural ?? refuse(`level is ${level}; ${format.name} has no leaves there`);
  }
  const bytes = BigInt(checkAddress(OP, 'size', size));
  const found = sizes.find(({ shift }) => bytes === 1n << BigInt(shift));
  if (!found) refuse(`size is ${bytes}; ${format.name} has leaves of ${names}`);
  if (level !== null && level !== found.level) {
    refuse(`level is ${level}; a leaf of ${formatLeaf(Number(bytes))} has level ${found.level}`);
  }
  return found;
}

function checkedAddress(address: Address, shift: number, { outputBits }: Place): bigint {
  const value = BigInt(checkAddress(OP, 'address', address));
  if (value & bitRange(shift - 1, 0)) {
    refuse(`address is ${hex(value)}; it must be a multiple of ${hex(1n << BigInt(shift))}`);
  }
  if (value >> BigInt(outputBits)) refuse(`address is ${hex(value)}; it must be below 2^${outputBits}`);
  return value;
}

function makeLeaf(format: EntryFormat, entry: EntryToEncode, place: Place): bigint {
  const size = leafSizeOf(format, entry, place);
  const shift = format.consecutiveRuns ? entryShift(place.variant, size.level) : size.shift;
  const address = checkedAddress(entry.address, shift, place);
  const { read = false, write = false, accessed, dirty } = entry;
  return format.makeLeaf({ size, address, read, write, accessed, dirty }, place);
}

function makeTable(format: EntryFormat, entry: EntryToEncode, place: Place): bigint {
  if (entry.size !== undefined) refuse('size is given; a table has none');
  if (entry.dirty !== undefined) refuse('dirty is given; a table has no dirty state');
  if (place.level === 0) refuse('level is 0; the entries of its tables are leaves');
  const address = checkedAddress(entry.address, Math.max(place.variant.granuleShift, 12), place);
  const { read = true, write = true, accessed } = entry;
  return format.makeTable({ address, level: place.level, read, write, accessed }, place);
}

function withFields(format: EntryFormat, value: bigint, { fields = {} }: EntryToEncode, place: Place): bigint {
  const reading = format.read(value, place);
  const shape = format.shape(value, reading, place).fields;
  for (const [name, given] of Object.entries(fields)) {
    const field = shape.find((candidate) => candidate.name === name);
    if (!field) {
      const names = shape.map((candidate) => candidate.name).join(', ');
      refuse(`there is no field '${name}' in a ${reading.kind} of ${format.name}; there are ${names}`);
    }
    const bits = BigInt(checkAddress(OP, name, given));
    const largest = largestOf(field);
    if (field.isAddress ? bits & ~largest : bits > largest) {
      refuse(`${name} is ${hex(bits)}; ${field.isAddress ? 'only bits of' : 'at most'} ${hex(largest)} fit`);
    }
    value = withValue(value, field, bits);
  }
  return value;
}

/** The level at which an entry that was made is read back: that of its leaf, or any that can hold a table. */
function placeOfMade(format: EntryFormat, entry: EntryToEncode, asked: Place): Place {
  const level = entry.kind === 'table' ? (asked.level ?? 1) : leafSizeOf(format, entry, asked).level;
  return { ...asked, level };
}

/** Makes an entry and reads it back, with nothing left open: see `encodeEntry` and `decodeEntry`. */
export function encodeAndDecode(format: string, entry: EntryToEncode): DecodedEntry {
  const found = findEntryFormat(OP, format);
  const asked = placeOf(OP, found, entry);
  const place = placeOfMade(found, entry, asked);
  try {
    const plain = entry.kind === 'table' ? makeTable(found, entry, asked) : makeLeaf(found, entry, place);
    const decoded = decodeAt(found, withFields(found, plain, entry, place), place);
    return entry.kind === 'table' ? { ...decoded, level: asked.level } : decoded;
  } catch (error) {
    if (error instanceof RangeError) refuse(error.message);
    throw error;
  }
}

/**
 * The 64 bits of a page-table entry, as Linux makes it but for what is said otherwise. EINVAL: what the format cannot express,
 * with what would be right.
 */
export function encodeEntry(format: string, entry: EntryToEncode): bigint {
  return encodeAndDecode(format, entry).value;
}
