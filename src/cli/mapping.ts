import { READ, WRITE } from '../iommu/access.ts';
import type { MapOptions } from '../iommu/domain.ts';
import { parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';
import type { Address } from '../wasm/address.ts';
import { parseBits } from './pte-encode.ts';

/** An option that takes mappings, and what it calls input and output addresses. */
export interface MappingWords {
  readonly option: string;
  readonly from: 'iova' | 'gpa';
  readonly to: 'gpa' | 'pa';
}

/** Of one stage. */
export const ONE_STAGE: MappingWords = { option: '--map', from: 'iova', to: 'pa' };

const ACCESS: Readonly<Record<string, number>> = { r: READ, w: WRITE, rw: READ | WRITE };

/** A number of 64 bits as people write it, as a number where that is exact. */
export function parseAddress(text: string, what: string): Address {
  const value = parseBits(text, what);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function accessOf(option: string, text: string): number {
  const access = ACCESS[text];
  if (access === undefined) throw new UsageError(`${option}: access=${text}; it is r, w or rw`);
  return access;
}

/** `name=value` parts with commas between them, each name at most once; `example` is what an error shows. */
export function parseParts(
  option: string,
  text: string,
  names: readonly string[],
  example: string,
): ReadonlyMap<string, string> {
  const parts = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*(\w+)=(.+?)\s*$/.exec(part) ?? [];
    if (!name || !names.includes(name)) throw new UsageError(`${option}: '${part}'; write for example ${example}`);
    if (parts.has(name)) throw new UsageError(`${option}: ${name} is given twice in '${text}'`);
    parts.set(name, value);
  }
  return parts;
}

function mappingOf(text: string, { option, from, to }: MappingWords): MapOptions {
  const example = `${from}=0x100000,${to}=0x200000,length=2M,access=rw,leaf=4K`;
  const parts = parseParts(option, text, [from, to, 'length', 'access', 'leaf'], example);
  const length = parts.get('length');
  if (length === undefined) throw new UsageError(`${option}: '${text}' has no length; write for example ${example}`);
  const input = parseAddress(parts.get(from) ?? '0', `${option}: ${from}`);
  const output = parts.get(to);
  const leaf = parts.get('leaf');
  return {
    iova: input,
    pa: output === undefined ? input : parseAddress(output, `${option}: ${to}`),
    length: parseSize(length, `${option}: length`),
    access: accessOf(option, parts.get('access') ?? 'rw'),
    ...(leaf === undefined ? {} : { leafSizes: [parseSize(leaf, `${option}: leaf`)] }),
  };
}

/** Mappings as a list: `iova=…,pa=…,length=…,access=…,leaf=…`, one or more with `;` between them. */
export function parseMappings(text: string, words: MappingWords = ONE_STAGE): MapOptions[] {
  return text.split(';').map((part) => mappingOf(part.trim(), words));
}
