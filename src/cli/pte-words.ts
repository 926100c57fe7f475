import type { DecodedEntry, DecodedField } from '../iommu/entries/decode.ts';
import { rangesOf } from '../iommu/entries/field.ts';
import { formatBytes } from '../units/quantity.ts';
import { hex } from '../wasm/address.ts';
import { textTable } from './text-table.ts';

/** Fields wider than this are written in hexadecimal, whatever their value. */
const DECIMAL_BITS = 8;

function whatItIs({ kind, size, address, read, write, accessed, dirty }: DecodedEntry): string {
  if (kind === 'none') return 'not present; hardware looks at nothing else in it';
  const what = kind === 'table' ? 'a table' : size === null ? 'a leaf' : `a leaf of ${formatBytes(Number(size))}`;
  const access =
    read && write ? 'reads and writes' : read ? 'reads only' : write ? 'writes only' : 'neither reads nor writes';
  const state = [accessed ? 'accessed' : '', dirty ? 'dirty' : ''].filter((word) => word !== '');
  return [`${what} at ${hex(address)}`, `lets ${access} through`, ...state].join(', ');
}

function fieldRow({ bits, name, width, value, meaning }: DecodedField): string[] {
  return [`  ${bits}`, name, width > DECIMAL_BITS ? hex(value) : String(value), meaning];
}

/** An entry as text that explains it: what it is, a line per field, and what is wrong with it. */
export function entryText(entry: DecodedEntry): string {
  const { format, granule, value, level, fields, notes, reserved, ignored } = entry;
  const granuleName = granule ? ` with the ${granule} granule` : '';
  const levelName = level === null ? '' : `, level ${level}`;
  const remarks = [
    ...notes.map((note) => `Note: ${note}.`),
    ...(ignored ? [`Note: set, and ignored by hardware: ${bitsWord(ignored)}.`] : []),
    ...(reserved ? [`Warning: set, though reserved: ${bitsWord(reserved)}.`] : []),
  ];
  return [
    `${format}${granuleName}${levelName}: ${hex(value)}`,
    whatItIs(entry),
    '',
    textTable([['  bits', 'field', 'value', 'meaning'], ...fields.map(fieldRow)]),
    ...(remarks.length > 0 ? [...remarks, ''] : []),
  ].join('\n');
}

function bitsWord(mask: bigint): string {
  const ranges = rangesOf(mask);
  return `${/[:,]/.test(ranges) ? 'bits' : 'bit'} ${ranges}`;
}

/** An entry as JSON: sizes and small fields as numbers; values, addresses and wide fields as hexadecimal strings. */
export function entryJson(entry: DecodedEntry): string {
  const { format, granule, value, present, kind, level, size, address, read, write, accessed, dirty } = entry;
  const fields = entry.fields.map(
    (field) => [field.name, field.width > DECIMAL_BITS ? hex(field.value) : Number(field.value)] as const,
  );
  const result = {
    format,
    granule,
    value: hex(value),
    present,
    kind,
    level,
    size: size === null ? null : Number(size),
    address: hex(address),
    read,
    write,
    accessed,
    dirty,
    fields: Object.fromEntries(fields),
    ignored: hex(entry.ignored),
    reserved: hex(entry.reserved),
    notes: entry.notes,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}
