import { open } from '../core/core.ts';
import { WRITE } from '../iommu/access.ts';
import type { Domain, WalkStep } from '../iommu/domain.ts';
import type { DomainOptions } from '../iommu/domain-options.ts';
import type { Quirks } from '../iommu/quirks.ts';
import type { DecodedEntry } from '../iommu/entries/decode.ts';
import { FORMATS, type FormatName, type GranuleName } from '../iommu/formats.ts';
import { UsageError } from '../units/usage-error.ts';
import { hex, type Address } from '../wasm/address.ts';
import { textOf, type Command, type Values } from './command.ts';
import { parseAddress, parseMappings } from './mapping.ts';
import { textTable } from './text-table.ts';
import {
  DEFAULT_GUEST_MAP,
  DEFAULT_HOST_MAP,
  DEFAULT_RAM,
  GUEST_STAGE,
  HOST_STAGE,
  parseRam,
  walkNested,
} from './walk-nested.ts';
import { decodeWalked, entryAsJson, entryInWords, formatInWords } from './walked-entry.ts';

type OptionName =
  | 'map'
  | 'over'
  | 'map-over'
  | 'granule-over'
  | 'ram'
  | 'granule'
  | 'input-bits'
  | 'unsigned'
  | 'output-bits'
  | 'contiguous'
  | 'track'
  | 'write'
  | 'quirks'
  | 'format';

const NAMES = [...new Set(FORMATS.map(({ name }) => name))].join(', ');
const DEFAULT_MAP = 'iova=0,pa=0,length=1G';

function bitsOf(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new UsageError(`--${what}: '${text}'; it is a number such as 48`);
}

function granuleOf(text: string | boolean | undefined): { granule?: GranuleName } {
  const granule = textOf(text)?.toUpperCase();
  // The domain itself checks names and widths, and says what there is.
  return granule === undefined ? {} : { granule: granule as GranuleName };
}

/** What is said of FORMAT itself: of stage 1 where there are two. */
function inputOptions(values: Values<OptionName>) {
  const inputBits = bitsOf('input-bits', textOf(values['input-bits']));
  return {
    ...granuleOf(values.granule),
    ...(inputBits === undefined ? {} : { inputBits }),
    ...(values.unsigned === true ? { signed: false } : {}),
  };
}

/** The rest: of stage 2 where there are two. */
function outputOptions(format: string, values: Values<OptionName>): DomainOptions {
  const outputBits = bitsOf('output-bits', textOf(values['output-bits']));
  const quirks = textOf(values.quirks);
  return {
    format: format as FormatName,
    ...(outputBits === undefined ? {} : { outputBits }),
    ...(values.contiguous === true ? { contiguous: true } : {}),
    ...(quirks === undefined ? {} : { quirks: quirksOf(quirks) }),
    dirtyTracking: values.track === true || values.write === true,
  };
}

function quirksOf(text: string): Quirks {
  if (text === 'strict' || text === 'linux-6.12') return text;
  throw new UsageError(`--quirks: '${text}'; it is strict or linux-6.12`);
}

/** A walk with what each entry means. */
interface Walked {
  readonly step: WalkStep;
  readonly entry: DecodedEntry;
}

function explain(domain: Domain, iova: Address): Walked[] {
  return domain.walk(iova).map((step) => ({ step, entry: decodeWalked(domain.format, step.entry, step.level) }));
}

function asText(domain: Domain, iova: Address, walked: readonly Walked[]): string {
  const rows = walked.map(({ step, entry }) => [
    String(step.level),
    hex(step.table),
    String(step.index),
    hex(entry.value),
    entryInWords(entry, 'core offset'),
  ]);
  const found = domain.translate(iova);
  const { name, granule } = domain.format;
  const to = found ? `${hex(iova)} -> ${hex(found.pa)}` : `${hex(iova)} is not mapped`;
  const beyond = walked.length === 0 ? 'The root does not reach that far: nothing is read.\n' : '';
  return [
    `${formatInWords(domain.format)}: ${to}`,
    '',
    beyond || textTable([['level', 'table', 'index', 'entry', 'meaning'], ...rows]),
    `\`wasm-iommu pte ${name} ENTRY --level N${granule ? ` --granule ${granule}` : ''}\` explains an entry bit by bit.`,
    '',
  ].join('\n');
}

function asJson(domain: Domain, iova: Address, walked: readonly Walked[]): string {
  const found = domain.translate(iova);
  const { name, granule } = domain.format;
  const result = {
    format: name,
    granule: granule ?? null,
    iova: hex(iova),
    mapped: found !== undefined,
    pa: found ? hex(found.pa) : null,
    steps: walked.map(({ step, entry }) => ({
      level: step.level,
      table: hex(step.table),
      index: step.index,
      ...entryAsJson(entry),
    })),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

async function walkOne(format: string, iova: Address, values: Values<OptionName>, json: boolean): Promise<string> {
  const unused = (['map-over', 'granule-over', 'ram'] as const).find((name) => values[name] !== undefined);
  if (unused) throw new UsageError(`--${unused}: it is about two stages; say with --over what stage 2 is`);
  const mappings = parseMappings(textOf(values.map) ?? DEFAULT_MAP);
  const core = await open({ memory: '256MiB' });
  const iommu = core.iommu();
  const domain = iommu.domain({ ...outputOptions(format, values), ...inputOptions(values) });
  for (const mapping of mappings) domain.map(mapping);
  if (values.write === true) {
    // What starts dirty begins clean, so that the write is what shows.
    domain.setDirtyTracking(true);
    iommu.attach(0, domain).access(iova, 1, WRITE);
  }
  return (json ? asJson : asText)(domain, iova, explain(domain, iova));
}

function walkTwo(format: string, iova: Address, values: Values<OptionName>, json: boolean): Promise<string> {
  return walkNested({
    guest: {
      format: format as FormatName,
      ...inputOptions(values),
      mappings: parseMappings(textOf(values.map) ?? DEFAULT_GUEST_MAP, GUEST_STAGE),
    },
    host: { ...outputOptions(textOf(values.over)!, values), ...granuleOf(values['granule-over']) },
    hostMappings: parseMappings(textOf(values['map-over']) ?? DEFAULT_HOST_MAP, HOST_STAGE),
    ram: parseRam(textOf(values.ram)),
    iova,
    write: values.write === true,
    json,
  });
}

/** `wasm-iommu walk`: what a walk of the I/O page table reads, level by level. */
export const WALK: Command<OptionName> = {
  name: 'walk',
  summary: 'print the walk of an address level by level, for mappings that you give, in one stage or two',
  operands: 'FORMAT IOVA',
  maxOperands: 2,
  about:
    'Builds a page table with the mappings given and prints each entry that a walk to IOVA reads, root first. Level 0 is the table ' +
    `of the smallest leaves. FORMAT is ${NAMES}. With --over, FORMAT is stage 1, which a guest keeps in its memory, and each entry ` +
    'of it comes after the entries of stage 2 that lead to where it lies: armv8-s1 over armv8-s2, x86_64 over vtdss or amdv1.',
  options: {
    map: {
      value: 'LIST',
      help:
        `what is mapped: iova=,pa=,length=,access=r|w|rw,leaf=; several with ; between them (default ${DEFAULT_MAP}; pa as iova); ` +
        `with --over what the guest maps: iova=,gpa=, the rest alike (default ${DEFAULT_GUEST_MAP})`,
    },
    over: { value: 'FORMAT', help: 'format of stage 2, below FORMAT as stage 1' },
    'map-over': {
      value: 'LIST',
      help: `what stage 2 maps: gpa=,pa=,length=,access=,leaf= (default ${DEFAULT_HOST_MAP})`,
    },
    ram: {
      value: 'PLACE',
      help: `memory for the guest's tables: gpa=,pa=,length= (default ${DEFAULT_RAM}; pa as stage 2 maps gpa)`,
    },
    granule: { value: '4K|16K|64K', help: 'translation granule of the Arm formats (default 4K)' },
    'granule-over': { value: '4K|16K|64K', help: 'that of stage 2 (default 4K)' },
    'input-bits': { value: 'N', help: 'bits of an input address (default: as the format has them)' },
    unsigned: { help: 'input addresses of x86_64 from 0 on instead of sign-extended' },
    'output-bits': {
      value: 'N',
      help: 'bits of an output address (52 for the 64K granule; default 48 there); with --over in stage 2',
    },
    contiguous: { help: 'use the leaf sizes that are a hint on a run of smaller ones; with --over in stage 2' },
    track: { help: 'make the leaves for dirty tracking; with --over in both stages' },
    write: { help: 'have a device write to IOVA first, with dirty tracking' },
    quirks: { value: 'strict|linux-6.12', help: 'default strict' },
    format: { value: 'text|json', help: 'default text' },
  },
  examples: [
    ['wasm-iommu walk amdv1 0x12345678', 'a walk of one GiB that is mapped one to one'],
    [
      'wasm-iommu walk vtdss 0x201000 --map iova=0x200000,pa=0x40000000,length=2M,leaf=4K --write',
      'a 4K leaf, made dirty',
    ],
    ['wasm-iommu walk armv8-s2 0x3000 --contiguous --map length=64K,access=r', 'a contiguous run of 16 entries'],
    [
      'wasm-iommu walk armv8-s1 0x5000 --over armv8-s2 --map iova=0,gpa=0x200000,length=64K --write',
      'two stages, and the entries of each that a write makes dirty',
    ],
  ],
  async run(values, [format, address]) {
    const form = textOf(values.format) ?? 'text';
    if (form !== 'text' && form !== 'json') throw new UsageError(`--format: '${form}'; it is text or json`);
    if (format === undefined) throw new UsageError(`FORMAT is missing; there are ${NAMES}`);
    if (address === undefined) throw new UsageError('IOVA is missing; give an address such as 0x12345678');
    const iova = parseAddress(address, 'IOVA');
    return (values.over === undefined ? walkOne : walkTwo)(format, iova, values, form === 'json');
  },
};
