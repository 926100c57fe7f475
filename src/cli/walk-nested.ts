import { open } from '../core/core.ts';
import { WRITE } from '../iommu/access.ts';
import type { Domain, MapOptions, WalkStep } from '../iommu/domain.ts';
import type { DomainOptions } from '../iommu/domain-options.ts';
import type { DecodedEntry } from '../iommu/entries/decode.ts';
import type { FormatInfo, FormatName, GranuleName } from '../iommu/formats.ts';
import { GuestPageTable } from '../iommu/guest-page-table.ts';
import type { NestedDomain, NestedWalk } from '../iommu/nested-domain.ts';
import type { Requester } from '../iommu/requester.ts';
import { parseSize } from '../units/units.ts';
import { hex, type Address } from '../wasm/address.ts';
import { parseAddress, parseParts, type MappingWords } from './mapping.ts';
import { textTable } from './text-table.ts';
import { decodeWalked, entryAsJson, entryInWords, formatInWords } from './walked-entry.ts';

export const GUEST_STAGE: MappingWords = { option: '--map', from: 'iova', to: 'gpa' };
export const HOST_STAGE: MappingWords = { option: '--map-over', from: 'gpa', to: 'pa' };
export const DEFAULT_GUEST_MAP = 'iova=0,gpa=0,length=1G';
export const DEFAULT_HOST_MAP = 'gpa=0,pa=0x100000000,length=2G';
export const DEFAULT_RAM = 'gpa=0x40000000,length=4M';

/** Stage 1, as the command line has it. */
export interface GuestStage {
  readonly format: FormatName;
  readonly granule?: GranuleName;
  readonly inputBits?: number;
  readonly signed?: boolean;
  /** `pa` is guest-physical here. */
  readonly mappings: readonly MapOptions[];
}

/** Where the guest's tables lie. */
interface TablePlace {
  readonly gpa: Address;
  /** Undefined: as stage 2 maps it. */
  readonly pa: Address | undefined;
  readonly length: number;
}

/** A walk of two stages to print. */
export interface NestedRequest {
  readonly guest: GuestStage;
  /** Stage 2. */
  readonly host: DomainOptions;
  readonly hostMappings: readonly MapOptions[];
  readonly ram: TablePlace;
  readonly iova: Address;
  /** A device writes to `iova` before the walk. */
  readonly write: boolean;
  readonly json: boolean;
}

/** `gpa=…,pa=…,length=…` of `--ram`; what is not given, and all where `text` is undefined, as DEFAULT_RAM has it. */
export function parseRam(text: string | undefined): TablePlace {
  const example = 'gpa=0x40000000,pa=0x140000000,length=4M';
  const names = ['gpa', 'pa', 'length'];
  const given = parseParts('--ram', text ?? DEFAULT_RAM, names, example);
  const usual = parseParts('--ram', DEFAULT_RAM, names, example);
  const pa = given.get('pa');
  return {
    gpa: parseAddress(given.get('gpa') ?? usual.get('gpa')!, '--ram: gpa'),
    pa: pa === undefined ? undefined : parseAddress(pa, '--ram: pa'),
    length: parseSize(given.get('length') ?? usual.get('length')!, '--ram: length'),
  };
}

/** The largest leaf that all of a mapping is a multiple of: a guest's table takes leaves of one size at a time. */
function leafFor(format: FormatInfo, { iova, pa, length }: MapOptions): number {
  const all = BigInt(iova) | BigInt(pa) | BigInt(length);
  return [...format.leafSizes].reverse().find((size) => all % BigInt(size) === 0n) ?? format.leafSizes[0];
}

function fill(table: GuestPageTable, mappings: readonly MapOptions[]): void {
  for (const mapping of mappings) {
    const { iova, pa: gpa, length, access, leafSizes } = mapping;
    const leafSize = leafSizes?.[0] ?? leafFor(table.format, mapping);
    table.map({ iova, gpa, length, access, leafSize });
  }
}

/** Where stage 2 leads `gpa`; undefined where it does not, or where there is no such input address. */
function underneath(parent: Domain, gpa: Address): Address | undefined {
  const reaches = parent.inputRanges.some(({ first, last }) => gpa >= first && gpa <= last);
  return reaches ? parent.translate(gpa)?.pa : undefined;
}

/** What was built, and what a write came to. */
interface Built {
  readonly domain: NestedDomain;
  readonly before: NestedWalk;
  readonly after: NestedWalk;
  /** Why the write was refused. */
  readonly fault: Requester['fault'];
}

async function build({ guest, host, hostMappings, ram: place, iova, write }: NestedRequest): Promise<Built> {
  const core = await open({ memory: '256MiB' });
  // Stage 2 says where the tables lie, and its IOMMU must know that when it is made.
  const trial = core.iommu().domain(host);
  for (const mapping of hostMappings) trial.map(mapping);
  const pa = place.pa ?? underneath(trial, place.gpa) ?? place.gpa;
  trial.close();
  const ram = core.ram({ length: place.length, pa, va: place.gpa });
  const iommu = core.iommu({ ram });
  const parent = iommu.domain(host);
  for (const mapping of hostMappings) parent.map(mapping);
  const { mappings, signed, ...shape } = guest;
  const stage1 = { ...shape, dirtyTracking: host.dirtyTracking === true };
  const tables = { gpa: place.gpa, length: place.length };
  const table = new GuestPageTable({ ...stage1, memory: ram, tables });
  fill(table, mappings);
  const domain = iommu.nested(parent, { ...stage1, ...(signed === undefined ? {} : { signed }), root: table.root });
  // What starts dirty begins clean, so that the write is what shows.
  if (write) parent.setDirtyTracking(true);
  const before = domain.walk(iova);
  const device = iommu.attach(0, domain);
  if (write) device.access(iova, 1, WRITE);
  return { domain, before, after: domain.walk(iova), fault: device.fault };
}

/** An entry that the walk read, in the order of reading. */
interface Row {
  readonly stage: 1 | 2;
  readonly level: number;
  readonly index: number;
  /** Core offset, or for stage 1 guest-physical address, of its table. */
  readonly table: Address;
  /** What the stage looks up: an IOVA, or a guest-physical address. */
  readonly looksUp: string;
  readonly entry: DecodedEntry;
  readonly madeDirty: boolean;
}

function stage2Rows(format: FormatInfo, gpa: Address, steps: readonly WalkStep[], before: readonly WalkStep[]): Row[] {
  return steps.map(({ level, index, table, entry: word }, i) => {
    const entry = decodeWalked(format, word, level);
    const madeDirty = entry.dirty && !decodeWalked(format, before[i].entry, level).dirty;
    return { stage: 2, level, index, table, looksUp: `gpa ${hex(gpa)}`, entry, madeDirty };
  });
}

/** The groups of a walk: for each entry of stage 1 the way there and itself, then what stage 2 makes of where it leads. */
function groupsOf({ domain, before, after }: Built, iova: Address): Row[][] {
  const under = domain.parent.format;
  const groups = after.steps.map(({ level, index, ipa, under: way, entry: word }, i): Row[] => {
    const rows = stage2Rows(under, ipa, way, before.steps[i].under);
    if (word === undefined) return rows;
    const entry = decodeWalked(domain.format, word, level);
    const madeDirty = entry.dirty && !decodeWalked(domain.format, before.steps[i].entry!, level).dirty;
    const table = Number(ipa) - index * 8;
    return [...rows, { stage: 1, level, index, table, looksUp: `iova ${hex(iova)}`, entry, madeDirty }];
  });
  if (after.ipa === undefined) return groups;
  return [...groups, stage2Rows(under, after.ipa, after.under, before.under)];
}

interface Refusal {
  readonly stage: 1 | 2;
  readonly reason: string;
  /** What stage 2 was asked for. */
  readonly gpa: Address | undefined;
}

/** Which stage ends the walk, if one does; then why the write was refused, if it was. */
function refusalOf({ domain, after, fault }: Built): Refusal | undefined {
  const last = after.steps.at(-1)!;
  if (last.entry === undefined) {
    const stage = last.pa === undefined ? 2 : 1;
    return { stage, reason: stage === 2 ? 'translation' : 'walk-abort', gpa: last.ipa };
  }
  if (after.ipa === undefined) return { stage: 1, reason: 'translation', gpa: undefined };
  if (underneath(domain.parent, after.ipa) === undefined) return { stage: 2, reason: 'translation', gpa: after.ipa };
  return fault && { stage: fault.stage === 2 ? 2 : 1, reason: fault.reason, gpa: fault.ipa };
}

function refusalInWords({ stage, reason, gpa }: Refusal): string {
  if (reason === 'walk-abort') return `the table at gpa ${hex(gpa!)} lies where there is no memory: walk-abort`;
  return `stage ${stage} refuses${gpa === undefined ? '' : ` gpa ${hex(gpa)}`}: ${reason} fault`;
}

function asText(built: Built, iova: Address): string {
  const { domain, after } = built;
  const refusal = refusalOf(built);
  const pa = domain.translate(iova)?.pa;
  const way = [hex(iova), ...(after.ipa === undefined ? [] : [`gpa ${hex(after.ipa)}`])];
  const to = [...way, ...(pa === undefined ? [] : [`pa ${hex(pa)}`])].join(' -> ');
  const rows = groupsOf(built, iova).flatMap((group) =>
    group.map((row) => [
      String(row.stage),
      row.looksUp,
      String(row.level),
      `${row.stage === 1 ? 'gpa ' : ''}${hex(row.table)}`,
      String(row.index),
      hex(row.entry.value),
      entryInWords(row.entry, row.stage === 1 ? 'gpa' : 'core offset', row.madeDirty),
    ]),
  );
  return [
    `${formatInWords(domain.format)} over ${formatInWords(domain.parent.format)}: ${to}`,
    ...(refusal ? [refusalInWords(refusal)] : []),
    '',
    textTable([['stage', 'looks up', 'level', 'table', 'index', 'entry', 'meaning'], ...rows]),
  ].join('\n');
}

function rowAsJson({ level, index, table, entry, madeDirty }: Row) {
  return { level, index, table: hex(table), ...entryAsJson(entry), madeDirty };
}

function asJson(built: Built, iova: Address): string {
  const { domain, after } = built;
  const refusal = refusalOf(built);
  const pa = domain.translate(iova)?.pa;
  const { format, parent } = domain;
  const groups = groupsOf(built, iova);
  const stage1 = groups.slice(0, after.steps.length);
  const result = {
    format: format.name,
    granule: format.granule ?? null,
    over: { format: parent.format.name, granule: parent.format.granule ?? null },
    iova: hex(iova),
    mapped: pa !== undefined,
    gpa: after.ipa === undefined ? null : hex(after.ipa),
    pa: pa === undefined ? null : hex(pa),
    fault: refusal
      ? { stage: refusal.stage, reason: refusal.reason, gpa: refusal.gpa === undefined ? null : hex(refusal.gpa) }
      : null,
    steps: stage1.map((group, i) => {
      const own = group.find(({ stage }) => stage === 1);
      return {
        gpa: hex(after.steps[i].ipa),
        pa: after.steps[i].pa === undefined ? null : hex(after.steps[i].pa!),
        under: group.filter(({ stage }) => stage === 2).map(rowAsJson),
        entry: own ? rowAsJson(own) : null,
      };
    }),
    under: (groups[after.steps.length] ?? []).map(rowAsJson),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

/** Prints a walk of both stages. Errors as those of `iommu.domain`, `domain.map`, `guestPageTable.map` and `iommu.nested`. */
export async function walkNested(request: NestedRequest): Promise<string> {
  const built = await build(request);
  return (request.json ? asJson : asText)(built, request.iova);
}
