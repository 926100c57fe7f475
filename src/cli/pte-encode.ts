import type { EntryToEncode } from '../iommu/entries/encode.ts';
import { parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';

/** What `--encode` takes beside the names of fields. */
const WORDS = 'address=, size=, level=, read, write, accessed, dirty, clean, table';

const BIT: Readonly<Record<string, boolean>> = { 0: false, 1: true };

/** A number of 64 bits as people write it: hexadecimal with 0x, else decimal; underscores anywhere between digits. */
export function parseBits(text: string, what: string): bigint {
  const plain = text.trim();
  if (/^(0x[\da-f]+(_[\da-f]+)*|\d+(_\d+)*)$/i.test(plain)) {
    const value = BigInt(plain.replaceAll('_', ''));
    if (value < 1n << 64n) return value;
    throw new UsageError(`${what}: '${text}' has more than 64 bits`);
  }
  const hint = /^[\da-f_]+$/i.test(plain) ? `, hexadecimal needs 0x: 0x${plain}` : ', for example 0x6000000012345001';
  throw new UsageError(`${what}: '${text}' is not a number${hint}`);
}

/** A level as people write it. */
export function parseLevel(text: string, what: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new UsageError(`${what}: '${text}'; it is a number, 0 for the table of the smallest leaves`);
}

function parseSwitch(name: string, text: string | undefined): boolean {
  const value = text === undefined ? true : BIT[text];
  if (value === undefined)
    throw new UsageError(`--encode: ${name}=${text}; write ${name}, or ${name}=0 for the opposite`);
  return value;
}

/** What of an entry a word of the list says. */
function partOf(name: string, text: string | undefined): Partial<EntryToEncode> {
  const needed = (): string => {
    if (text !== undefined && text !== '') return text;
    throw new UsageError(`--encode: ${name} has no value; write ${name}=VALUE`);
  };
  switch (name) {
    case 'address':
      return { address: parseBits(needed(), '--encode: address') };
    case 'size':
      return { size: parseSize(needed(), '--encode: size') };
    case 'level':
      return { level: parseLevel(needed(), '--encode: level') };
    case 'table':
      return { kind: parseSwitch(name, text) ? 'table' : 'leaf' };
    case 'clean':
      return { dirty: !parseSwitch(name, text) };
    case 'read':
    case 'write':
    case 'accessed':
    case 'dirty':
      return { [name]: parseSwitch(name, text) };
    default:
      if (/^[a-z]*$/.test(name)) {
        throw new UsageError(
          `--encode: there is no '${name}'; there are ${WORDS} and the names of the format's fields`,
        );
      }
      return { fields: { [name]: text === undefined ? 1n : parseBits(needed(), `--encode: ${name}`) } };
  }
}

/** The entry that a list such as `address=0x200000,size=2M,read,write` describes. UsageError says what would be right. */
export function parseEntry(list: string): EntryToEncode {
  const seen = new Set<string>();
  let entry: Partial<EntryToEncode> = {};
  for (const word of list.split(',')) {
    const [name, ...rest] = word.trim().split('=');
    const part = partOf(name, rest.length > 0 ? rest.join('=') : undefined);
    const key = part.fields ? name : Object.keys(part)[0];
    if (seen.has(key)) throw new UsageError(`--encode: ${name} says again what was said before; say it once`);
    seen.add(key);
    entry = { ...entry, ...part, ...(part.fields && { fields: { ...entry.fields, ...part.fields } }) };
  }
  const { address } = entry;
  if (address === undefined) throw new UsageError('--encode: address is missing; write address=0x…');
  return { ...entry, address };
}
