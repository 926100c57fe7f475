import { decodeEntry, type DecodedEntry } from '../iommu/entries/decode.ts';
import { encodeAndDecode } from '../iommu/entries/encode.ts';
import { ENTRY_FORMATS, type PlaceOptions } from '../iommu/entries/registry.ts';
import { UsageError } from '../units/usage-error.ts';
import { hex } from '../wasm/address.ts';
import { textOf, type Command, type Values } from './command.ts';
import { parseBits, parseEntry, parseLevel } from './pte-encode.ts';
import { entryJson, entryText } from './pte-words.ts';

type OptionName = 'level' | 'granule' | 'output-bits' | 'encode' | 'format';

const NAMES = ENTRY_FORMATS.map(({ name }) => name).join(', ');

function placeFrom(values: Values<OptionName>): PlaceOptions {
  const level = textOf(values.level);
  const granule = textOf(values.granule)?.toUpperCase();
  const outputBits = textOf(values['output-bits']);
  if (outputBits !== undefined && !/^\d{1,2}$/.test(outputBits)) {
    throw new UsageError(`--output-bits: '${outputBits}'; it is a number such as 48`);
  }
  return {
    level: level === undefined ? undefined : parseLevel(level, '--level'),
    granule,
    outputBits: outputBits === undefined ? undefined : Number(outputBits),
  };
}

function encoded(format: string, list: string, place: PlaceOptions): DecodedEntry {
  const entry = parseEntry(list);
  if (entry.level !== undefined && place.level !== undefined) {
    throw new UsageError('--encode: level= says again what --level says; say it once');
  }
  return encodeAndDecode(format, { ...place, ...entry });
}

/** `wasm-iommu pte`: page-table entries in words, and back. */
export const PTE: Command<OptionName> = {
  name: 'pte',
  summary: 'explain a page-table entry bit by bit, or make one',
  operands: 'FORMAT [VALUE]',
  maxOperands: 2,
  about:
    'Explains the page-table entry VALUE: whether it is present, a leaf or a table, how large, where it leads, what it lets ' +
    'through, whether it is dirty, every field by the name that its specification gives it, and bits that are set although ' +
    'they are reserved. VALUE is 0x and hexadecimal digits, or decimal; underscores may stand between digits. With --encode ' +
    `it goes the other way. FORMAT is ${NAMES}.`,
  options: {
    level: {
      value: 'N',
      help: 'level of the table that the entry is in, 0 where the smallest leaves are; needed where size or kind hang on it',
    },
    granule: { value: '4K|16K|64K', help: 'translation granule of the Arm formats; default 4K' },
    'output-bits': {
      value: 'N',
      help: 'bits of an output address, those above are reserved; default: as many as the format has',
    },
    encode: {
      value: 'LIST',
      help:
        'print the entry with this content, separated by commas: address=, size= (of a leaf), level=, read, write, accessed, ' +
        'dirty or clean, table, and any FIELD=VALUE. What is not said is as Linux makes it',
    },
    format: { value: 'text|json', help: 'default text; json of --encode is the entry explained' },
  },
  examples: [
    ['wasm-iommu pte amdv1 0x6000000012347e41', 'a dirty leaf of 64 KiB'],
    ['wasm-iommu pte vtdss 0x40000083 --level 1', 'a leaf of 2 MiB; of 1 GiB with --level 2'],
    ['wasm-iommu pte armv8-s1 --encode address=0x200000,size=2M,read,write,clean', 'a writable-clean block'],
    [
      "wasm-iommu pte armv8-s2 --encode 'address=0x200000,size=2M,read,MemAttr=1'",
      'the same of device memory, read-only, in stage 2',
    ],
  ],
  async run(values, [name, value]) {
    const format = textOf(values.format) ?? 'text';
    if (format !== 'text' && format !== 'json') throw new UsageError(`--format: '${format}'; it is text or json`);
    if (name === undefined) throw new UsageError(`FORMAT is missing; there are ${NAMES}`);
    const list = textOf(values.encode);
    const place = placeFrom(values);
    if (list !== undefined) {
      if (value !== undefined) throw new UsageError(`'${value}' is one VALUE too many: --encode makes one`);
      const entry = encoded(name, list, place);
      return format === 'json' ? entryJson(entry) : `${hex(entry.value)}\n`;
    }
    if (value === undefined)
      throw new UsageError('VALUE is missing; give the entry, such as 0x6000000012347e41, or --encode');
    const entry = decodeEntry(name, parseBits(value, 'VALUE'), place);
    return format === 'json' ? entryJson(entry) : entryText(entry);
  },
};
