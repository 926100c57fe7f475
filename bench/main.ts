import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bitmap } from './areas/bitmap.ts';
import { dma } from './areas/dma.ts';
import { log } from './areas/log.ts';
import { memory } from './areas/memory.ts';
import { pagetable } from './areas/pagetable.ts';
import { replay } from './areas/replay.ts';
import { measure, type Measurement } from './harness.ts';
import { compareInTurn, type Ratio } from './ratio.ts';
import { thisMachine, type AreaResult, type BenchResult, type Failure } from './result.ts';
import { narrow, select, type Selection } from './selection.ts';
import { toText } from './table.ts';

const AREAS = [memory, bitmap, pagetable, dma, log, replay];

const USAGE = `npm run bench -- [options] [AREA | AREA/TEXT]...

Measures all areas, or those named; with /TEXT only the cases and ratios whose names hold TEXT.

  --format table|json  default table
  --out FILE           writes there instead of to the standard output
  --seconds S          per case, default 1
  --list               lists the areas

Areas:
${AREAS.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n')}
`;

/** Runs `task`; what it throws becomes a failure in `failures`, and undefined. */
async function attempt<T>(name: string, failures: Failure[], task: () => Promise<T>): Promise<T | undefined> {
  process.stderr.write(`${name} ...\n`);
  try {
    return await task();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${name} FAILED: ${message}\n`);
    failures.push({ name, message });
    return undefined;
  }
}

async function runArea({ area, texts }: Selection, seconds: number): Promise<AreaResult> {
  const failures: Failure[] = [];
  const cases: Measurement[] = [];
  const ratios: Ratio[] = [];
  const opened = await attempt(`${area.name}: set-up`, failures, async () => {
    const bench = await area.open();
    return { bench, chosen: narrow(bench, texts, area.name) };
  });
  if (!opened) return { area: area.name, cases, ratios, failures };
  const { bench, chosen } = opened;
  for (const test of chosen.cases) {
    const measured = await attempt(`${area.name}: ${test.name}`, failures, () => measure(test, seconds));
    if (measured) cases.push(measured);
  }
  for (const claim of chosen.claims) {
    const ratio = await attempt(`${area.name}: ${claim.name}`, failures, () =>
      compareInTurn(claim, bench.cases, seconds),
    );
    if (ratio) ratios.push(ratio);
  }
  return { area: area.name, cases, ratios, failures };
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      format: { type: 'string', default: 'table' },
      out: { type: 'string' },
      seconds: { type: 'string', default: '1' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new RangeError(`--seconds is '${values.seconds}'; it must be a number above 0, at most 3600`);
  }
  if (values.format !== 'table' && values.format !== 'json') {
    throw new RangeError(`--format is '${values.format}'; it must be table or json`);
  }
  return { ...values, seconds, selections: select(AREAS, positionals) };
}

async function main(): Promise<number> {
  let asked: ReturnType<typeof readArguments>;
  try {
    asked = readArguments();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (asked.help || asked.list) {
    process.stdout.write(USAGE);
    return 0;
  }
  const areas: AreaResult[] = [];
  for (const selection of asked.selections) areas.push(await runArea(selection, asked.seconds));
  const result: BenchResult = { schema: 'wasm-iommu/bench@1', machine: thisMachine(), seconds: asked.seconds, areas };
  const text = asked.format === 'json' ? `${JSON.stringify(result, null, 2)}\n` : toText(result);
  if (asked.out === undefined) process.stdout.write(text);
  else writeFileSync(asked.out, text);
  return areas.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

process.exitCode = await main();
