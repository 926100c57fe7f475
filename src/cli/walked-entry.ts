import { decodeEntry, type DecodedEntry } from '../iommu/entries/decode.ts';
import type { FormatInfo } from '../iommu/formats.ts';
import { formatLeaf } from '../units/quantity.ts';
import { hex } from '../wasm/address.ts';

/** What an entry that a walk read at `level` means. */
export function decodeWalked({ name, granule }: FormatInfo, entry: bigint, level: number): DecodedEntry {
  return decodeEntry(name, entry, { level, ...(granule ? { granule } : {}) });
}

/** A format and its granule in words. */
export function formatInWords({ name, granule }: FormatInfo): string {
  return `${name}${granule ? ` with the ${granule} granule` : ''}`;
}

/** An entry in words; `tablesIn`: what the address of a table is. */
export function entryInWords(entry: DecodedEntry, tablesIn: 'core offset' | 'gpa', madeDirty = false): string {
  if (!entry.present) return 'not present: translation fault';
  if (entry.kind === 'table') return `table at ${tablesIn} ${hex(entry.address)}`;
  const access = `${entry.read ? 'r' : '-'}${entry.write ? 'w' : '-'}`;
  const dirty = entry.dirty ? `dirty${madeDirty ? ', by this write' : ''}` : 'clean';
  return `leaf of ${formatLeaf(Number(entry.size))} at ${hex(entry.address)}, ${access}, ${dirty}`;
}

/** The fields of an entry in JSON. */
export function entryAsJson(entry: DecodedEntry) {
  return {
    entry: hex(entry.value),
    present: entry.present,
    kind: entry.kind,
    size: entry.size === null ? null : Number(entry.size),
    address: hex(entry.address),
    read: entry.read,
    write: entry.write,
    accessed: entry.accessed,
    dirty: entry.dirty,
  };
}
