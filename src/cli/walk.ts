import { open } from '../core/core.ts';
import { WRITE } from '../iommu/access.ts';
import type { Domain, MapOptions, WalkStep } from '../iommu/domain.ts';
import type { DomainOptions } from '../iommu/domain-options.ts';
import type { Quirks } from '../iommu/quirks.ts';
import { decodeEntry, type DecodedEntry } from '../iommu/entries/decode.ts';
import { FORMATS, type FormatName, type GranuleName } from '../iommu/formats.ts';
import { formatLeaf } from '../units/quantity.ts';
import { UsageError } from '../units/usage-error.ts';
import { hex, type Address } from '../wasm/address.ts';
import { textOf, type Command, type Values } from './command.ts';
import { parseAddress, parseMappings } from './mapping.ts';
import { textTable } from './text-table.ts';

type OptionName =
  | 'map'
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

function domainOptions(format: string, values: Values<OptionName>): DomainOptions {
  const inputBits = bitsOf('input-bits', textOf(values['input-bits']));
  const outputBits = bitsOf('output-bits', textOf(values['output-bits']));
  const granule = textOf(values.granule)?.toUpperCase();
  const quirks = textOf(values.quirks);
  // The domain itself checks names and widths, and says what there is.
  return {
    format: format as FormatName,
    ...(granule === undefined ? {} : { granule: granule as GranuleName }),
    ...(inputBits === undefined ? {} : { inputBits }),
    ...(outputBits === undefined ? {} : { outputBits }),
    ...(values.unsigned === true ? { signed: false } : {}),
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
  const { name, granule } = domain.format;
  return domain.walk(iova).map((step) => ({
    step,
    entry: decodeEntry(name, step.entry, { level: step.level, ...(granule ? { granule } : {}) }),
  }));
}

function words({ entry }: Walked): string {
  if (!entry.present) return 'not present: translation fault';
  if (entry.kind === 'table') return `table at core offset ${hex(entry.address)}`;
  const access = `${entry.read ? 'r' : '-'}${entry.write ? 'w' : '-'}`;
  return `leaf of ${formatLeaf(Number(entry.size))} at ${hex(entry.address)}, ${access}, ${entry.dirty ? 'dirty' : 'clean'}`;
}

function asText(domain: Domain, iova: Address, walked: readonly Walked[]): string {
  const rows = walked.map(({ step, entry }) => [
    String(step.level),
    hex(step.table),
    String(step.index),
    hex(entry.value),
    words({ step, entry }),
  ]);
  const found = domain.translate(iova);
  const { name, granule } = domain.format;
  const to = found ? `${hex(iova)} -> ${hex(found.pa)}` : `${hex(iova)} is not mapped`;
  const beyond = walked.length === 0 ? 'The root does not reach that far: nothing is read.\n' : '';
  return [
    `${name}${granule ? ` with the ${granule} granule` : ''}: ${to}`,
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
      entry: hex(entry.value),
      present: entry.present,
      kind: entry.kind,
      size: entry.size === null ? null : Number(entry.size),
      address: hex(entry.address),
      read: entry.read,
      write: entry.write,
      accessed: entry.accessed,
      dirty: entry.dirty,
    })),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

async function walk(format: string, iova: Address, mappings: readonly MapOptions[], values: Values<OptionName>) {
  const core = await open({ memory: '256MiB' });
  const iommu = core.iommu();
  const domain = iommu.domain(domainOptions(format, values));
  for (const mapping of mappings) domain.map(mapping);
  if (values.write === true) {
    // What starts dirty begins clean, so that the write is what shows.
    domain.setDirtyTracking(true);
    iommu.attach(0, domain).access(iova, 1, WRITE);
  }
  return { domain, walked: explain(domain, iova) };
}

/** `wasm-iommu walk`: what a walk of the I/O page table reads, level by level. */
export const WALK: Command<OptionName> = {
  name: 'walk',
  summary: 'print the walk of an address level by level, for a mapping that you give',
  operands: 'FORMAT IOVA',
  maxOperands: 2,
  about:
    'Builds a page table with the mappings given and prints each entry that a walk to IOVA reads, root first. Level 0 is the table ' +
    `of the smallest leaves. FORMAT is ${NAMES}.`,
  options: {
    map: {
      value: 'LIST',
      help: `what is mapped: iova=,pa=,length=,access=r|w|rw,leaf=; several with ; between them (default ${DEFAULT_MAP}; pa as iova)`,
    },
    granule: { value: '4K|16K|64K', help: 'translation granule of the Arm formats (default 4K)' },
    'input-bits': { value: 'N', help: 'bits of an input address (default: as the format has them)' },
    unsigned: { help: 'input addresses of x86_64 from 0 on instead of sign-extended' },
    'output-bits': { value: 'N', help: 'bits of an output address (52 for the 64K granule; default 48 there)' },
    contiguous: { help: 'use the leaf sizes that are a hint on a run of smaller ones' },
    track: { help: 'make the leaves for dirty tracking' },
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
  ],
  async run(values, [format, address]) {
    const form = textOf(values.format) ?? 'text';
    if (form !== 'text' && form !== 'json') throw new UsageError(`--format: '${form}'; it is text or json`);
    if (format === undefined) throw new UsageError(`FORMAT is missing; there are ${NAMES}`);
    if (address === undefined) throw new UsageError('IOVA is missing; give an address such as 0x12345678');
    const iova = parseAddress(address, 'IOVA');
    const { domain, walked } = await walk(format, iova, parseMappings(textOf(values.map) ?? DEFAULT_MAP), values);
    return form === 'json' ? asJson(domain, iova, walked) : asText(domain, iova, walked);
  },
};
