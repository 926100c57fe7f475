import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bitmap } from './areas/bitmap.ts';
import { dma } from './areas/dma.ts';
import { log } from './areas/log.ts';
import { memory } from './areas/memory.ts';
import { nativeBitmap } from './areas/native-bitmap.ts';
import { nativeDma } from './areas/native-dma.ts';
import { nativePagetable } from './areas/native-pagetable.ts';
import { nativeState } from './areas/native-state.ts';
import { pagetable } from './areas/pagetable.ts';
import { replay } from './areas/replay.ts';
import { scale } from './areas/scale.ts';
import { measure, type Measurement } from './harness.ts';
import { compareInTurn, type Ratio } from './ratio.ts';
import { thisMachine, type AreaResult, type BenchResult, type Failure } from './result.ts';
import { narrow, select, type Selection } from './selection.ts';
import { runSweep, type SweepResult } from './sweep.ts';
import { toText } from './table.ts';
import { judge } from './targets.ts';

const AREAS = [
  memory,
  bitmap,
  pagetable,
  dma,
  log,
  replay,
  scale,
  nativeBitmap,
  nativePagetable,
  nativeDma,
  nativeState,
];
/** So that all areas together take less than five minutes. */
const SECONDS = { all: 0.12, named: 1 };

const USAGE = `npm run bench -- [options] [AREA | AREA/TEXT]...

Measures all areas, or those named; with /TEXT only the cases and ratios whose names hold TEXT.

  --format table|json  default table
  --out FILE           writes there instead of to the standard output
  --seconds S          per case, default ${SECONDS.named}, or ${SECONDS.all} where all areas run
  --list               lists the areas

Areas:
${AREAS.map(({ name, about }) => `  ${name.padEnd(16)} ${about}`).join('\n')}
`;

/** Runs `task`; what it throws becomes a failure in `failures`, and undefined. */
async function attempt<T>(
  area: string,
  name: string,
  failures: Failure[],
  task: () => Promise<T>,
): Promise<T | undefined> {
  process.stderr.write(`${area}: ${name} ...\n`);
  try {
    return await task();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${area}: ${name} FAILED: ${message}\n`);
    failures.push({ name, message });
    return undefined;
  }
}

async function runArea({ area, texts }: Selection, seconds: number): Promise<AreaResult> {
  const failures: Failure[] = [];
  const cases: Measurement[] = [];
  const ratios: Ratio[] = [];
  const sweeps: SweepResult[] = [];
  const opened = await attempt(area.name, 'set-up', failures, async () => {
    const bench = await area.open();
    return { bench, chosen: narrow(bench, texts, area.name) };
  });
  if (!opened) return { area: area.name, cases, ratios, sweeps, failures, absent: null };
  const { bench, chosen } = opened;
  for (const test of chosen.cases) {
    const measured = await attempt(area.name, test.name, failures, () => measure(test, seconds));
    if (measured) cases.push(measured);
  }
  for (const claim of chosen.claims) {
    const ratio = await attempt(area.name, claim.name, failures, () =>
      compareInTurn(claim, [...bench.cases, ...(bench.contestants ?? [])], seconds),
    );
    if (ratio) ratios.push(ratio);
  }
  for (const sweep of chosen.sweeps ?? []) {
    const swept = await attempt(area.name, sweep.name, failures, () => runSweep(sweep, seconds));
    if (swept) sweeps.push(swept);
  }
  return { area: area.name, cases, ratios, sweeps, failures, absent: bench.absent ?? null };
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      format: { type: 'string', default: 'table' },
      out: { type: 'string' },
      seconds: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const seconds = Number(values.seconds ?? (positionals.length > 0 ? SECONDS.named : SECONDS.all));
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
  const result: BenchResult = {
    schema: 'wasm-iommu/bench@2',
    machine: thisMachine(),
    seconds: asked.seconds,
    areas,
    targets: judge(areas),
  };
  const text = asked.format === 'json' ? `${JSON.stringify(result, null, 2)}\n` : toText(result);
  if (asked.out === undefined) process.stdout.write(text);
  else writeFileSync(asked.out, text);
  return areas.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

process.exitCode = await main();
