import { rename, rm, writeFile } from 'node:fs/promises';
import { compare } from '../compare/compare.ts';
import type { CompareOptions } from '../compare/options.ts';
import { toJson } from '../report/json.ts';
import { toTable } from '../report/table.ts';
import { parseDuration, parsePositiveDuration, parseRate, parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';
import { textOf, type Command, type Values } from './command.ts';
import { costModelOf } from './cost-file.ts';
import { ProgressLine } from './progress.ts';
import { BUNDLED, isBundled, openTraceFiles } from './trace-files.ts';

const OPTIONS = {
  trackers: {
    value: 'a,b,…',
    help: 'trackers to compare (default: all; `wasm-iommu trackers` lists them, and suffixes that split leaves: iommu:FORMAT[+POLICY]+split=eager|lazy[+merge][+fault=abort|stall])',
  },
  leaf: {
    value: '4K,2M',
    help: 'leaf sizes of the I/O page tables, a row each; where leaves are split, for those above 4K (default 4K,2M)',
  },
  devices: {
    value: 'SET',
    help: "for trackers qemu: which of the recording's devices log their own DMA, in its order, as 3xlog,1xnolog; the last entry may go without a number, for all that are left (default log)",
  },
  'device-state': {
    value: 'SIZE',
    help: 'local memory that migrates with each device, or NAME=SIZE,… for some; SIZE:stop-copy where it is sent only once the device is stopped (default: no state)',
  },
  'page-size': { value: 'SIZE', help: "page of the devices' own logs (default 4K)" },
  link: { value: 'RATE', help: 'bandwidth of the link, decimal (default 1Gbit)' },
  'downtime-limit': { value: 'TIME', help: 'switch over when what remains takes no longer than this (default 40ms)' },
  phase: {
    value: 'LABEL',
    help: `begin with this phase and repeat it until the verdict (default for the bundled recording: ${BUNDLED.phase})`,
  },
  start: { value: 'TIME', help: "begin at this time of the recording's clock and go on to its end (default 0s)" },
  'no-loop': { help: 'with a phase: let the recording go on behind it instead of repeating it' },
  cap: { value: 'TIME', help: 'simulated time after which no further round begins (default 60s)' },
  windows: { value: 'TIME', help: 'no migration: read and clear at this interval through the whole trace' },
  seed: {
    value: 'N',
    help: 'order of events of different devices with the same time stamp: 0 as recorded, else shuffled (default 0)',
  },
  ram: { value: 'SIZE', help: 'guest RAM (default: as the meta file says; a CSV without one needs it)' },
  meta: { value: 'FILE', help: 'meta file (default: X.meta.json beside the trace X.…)' },
  'cpu-dirty': { value: 'FILE', help: "log of the CPUs' writes (default: X.cpu-dirty.bin[.gz] beside the trace)" },
  cost: { value: 'FILE', help: 'JSON with prices of the cost model (`wasm-iommu cost` prints them)' },
  format: { value: 'table|json', help: 'default table' },
  out: { value: 'FILE', help: 'write to this file instead of standard output' },
} as const;

type Name = keyof typeof OPTIONS;

function listOf(what: string, text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const items = text.split(',').map((item) => item.trim());
  if (items.includes('')) throw new UsageError(`--${what}: '${text}' holds an empty name; write for example a,b`);
  return items;
}

function seedOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seed = /^\d+$/.test(text) ? Number(text) : NaN;
  if (seed <= 0xffffffff) return seed;
  throw new UsageError(`--seed: '${text}' is not a whole number from 0 to 4294967295`);
}

function given<T>(text: string | boolean | undefined, read: (text: string) => T): T | undefined {
  return typeof text === 'string' ? read(text) : undefined;
}

async function optionsOf(values: Values<Name>, trace: string): Promise<CompareOptions> {
  const defaultPhase = isBundled(trace) && values.start === undefined && values.windows === undefined;
  return {
    trackers: listOf('trackers', textOf(values.trackers)),
    devices: textOf(values.devices),
    deviceState: textOf(values['device-state']),
    leaf: listOf('leaf', textOf(values.leaf)),
    pageSize: given(values['page-size'], (text) => parseSize(text, '--page-size')),
    linkBitsPerSecond: given(values.link, (text) => parseRate(text, '--link')),
    downtimeLimitNs: given(values['downtime-limit'], (text) => parseDuration(text, '--downtime-limit')),
    phase: textOf(values.phase) ?? (defaultPhase ? BUNDLED.phase : undefined),
    startNs: given(values.start, (text) => parseDuration(text, '--start')),
    loop: values['no-loop'] === true ? false : undefined,
    capNs: given(values.cap, (text) => parsePositiveDuration(text, '--cap')),
    windowNs: given(values.windows, (text) => parsePositiveDuration(text, '--windows')),
    seed: seedOf(textOf(values.seed)),
    cost: await costModelOf(textOf(values.cost)),
  };
}

/** Writes a whole file or none of it. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.part`;
  try {
    await writeFile(draft, text);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function run(values: Values<Name>, operands: readonly string[]): Promise<string> {
  const format = textOf(values.format) ?? 'table';
  if (format !== 'table' && format !== 'json') throw new UsageError(`--format: '${format}'; it is table or json`);
  const trace = operands[0] ?? BUNDLED.path;
  const options = await optionsOf(values, trace);
  const recording = await openTraceFiles({
    trace,
    meta: textOf(values.meta),
    cpuDirty: textOf(values['cpu-dirty']),
    ramBytes: given(values.ram, (text) => parseSize(text, '--ram')),
  });
  const progress = new ProgressLine();
  const result = await compare(recording, { ...options, onProgress: progress.update }).finally(() => progress.done());
  const text = format === 'json' ? toJson(result) : toTable(result);
  const out = textOf(values.out);
  if (out === undefined) return text;
  await writeWhole(out, text);
  return '';
}

/** `wasm-iommu compare`: the main job. */
export const COMPARE: Command<Name> = {
  name: 'compare',
  summary: 'compare dirty trackers on a DMA trace',
  operands: '[TRACE]',
  maxOperands: 1,
  about:
    'Replays a recording of DMA through every tracker and migrates the guest with each: what it reports against what the ' +
    'devices really wrote, rounds, downtime, pages lost, and what the tracking costs. TRACE is a recording in the binary ' +
    'form of examples/traces or a CSV t_us,dev,op,gpa,len, gzipped or not; without it the bundled recording of a Debian ' +
    'guest is taken. In X.iova.csv devices name IOVAs, and lines map (t_us,dev,map,iova,len,gpa,access) and unmap them. Sizes are binary (4K, 128MiB), rates decimal (1Gbit), times have a unit (40ms).',
  options: OPTIONS,
  examples: [
    ['wasm-iommu compare', 'all trackers on the bundled recording'],
    ['wasm-iommu compare --trackers device,iommu:amdv1 --leaf 4K,64K,2M --link 10Gbit', 'what a leaf size costs'],
    [
      'wasm-iommu compare --leaf 2M --trackers iommu:armv8-s1,iommu:armv8-s1+bbm+split=eager',
      'what it costs and breaks to split leaves for a migration',
    ],
    [
      'wasm-iommu compare --trackers qemu:amdv1,qemu:none --devices 1xnolog,log',
      'what QEMU falls back to where one device has no log',
    ],
    [
      'wasm-iommu compare --trackers device --device-state ide-primary-master=64M:stop-copy',
      'downtime where a device sends its state only once it is stopped',
    ],
    ['wasm-iommu compare --windows 100ms --format json --out pattern.json', 'the memory access pattern, as JSON'],
    ['wasm-iommu compare --ram 4G my-trace.csv', 'a trace of your own'],
    ['wasm-iommu compare --ram 4G my-trace.iova.csv', 'one in which the guest maps and unmaps'],
  ],
  run,
};
