import { READ, WRITE } from '../iommu/access.ts';
import type { MapOptions } from '../iommu/domain.ts';
import { parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';
import type { Address } from '../wasm/address.ts';
import { parseBits } from './pte-encode.ts';

const EXAMPLE = 'iova=0x100000,pa=0x200000,length=2M,access=rw,leaf=4K';

const ACCESS: Readonly<Record<string, number>> = { r: READ, w: WRITE, rw: READ | WRITE };

/** A number of 64 bits as people write it, as a number where that is exact. */
export function parseAddress(text: string, what: string): Address {
  const value = parseBits(text, what);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function accessOf(text: string): number {
  const access = ACCESS[text];
  if (access === undefined) throw new UsageError(`--map: access=${text}; it is r, w or rw`);
  return access;
}

function partsOf(text: string): Map<string, string> {
  const parts = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*(\w+)=(.+?)\s*$/.exec(part) ?? [];
    if (!name || !['iova', 'pa', 'length', 'access', 'leaf'].includes(name)) {
      throw new UsageError(`--map: '${part}'; write for example ${EXAMPLE}`);
    }
    if (parts.has(name)) throw new UsageError(`--map: ${name} is given twice in '${text}'`);
    parts.set(name, value);
  }
  return parts;
}

function mappingOf(text: string): MapOptions {
  const parts = partsOf(text);
  const length = parts.get('length');
  if (length === undefined) throw new UsageError(`--map: '${text}' has no length; write for example ${EXAMPLE}`);
  const iova = parseAddress(parts.get('iova') ?? '0', '--map: iova');
  const pa = parts.get('pa');
  const leaf = parts.get('leaf');
  return {
    iova,
    pa: pa === undefined ? iova : parseAddress(pa, '--map: pa'),
    length: parseSize(length, '--map: length'),
    access: accessOf(parts.get('access') ?? 'rw'),
    ...(leaf === undefined ? {} : { leafSizes: [parseSize(leaf, '--map: leaf')] }),
  };
}

/** Mappings as a list: `iova=…,pa=…,length=…,access=…,leaf=…`, one or more with `;` between them. */
export function parseMappings(text: string): MapOptions[] {
  return text.split(';').map((part) => mappingOf(part.trim()));
}
