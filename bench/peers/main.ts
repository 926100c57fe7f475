// npm run bench:peers: the core's bitmap against packages that do the same. They are installed here, on demand.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { open } from 'wasm-iommu';
import { loadNative } from '../native.ts';
import { quantiles } from '../quantiles.ts';
import { Random } from '../random.ts';
import { thisMachine } from '../result.ts';
import { keep, wallTime } from '../time-calls.ts';
import { PEERS, coreSets, type MakeSet, type PageSet } from './sets.ts';

const HERE = new URL('bench/peers/', import.meta.resolve('wasm-iommu/package.json'));
const PAGES = 2 ** 24;
const SHARES = [0.1, 5, 50];
const CLUSTER = 64;
/** The first one, which is not counted, is for the compiler. */
const ROUNDS = 6;
const SLICE_NS = 3e6;
const MOST_CALLS = 1000;
/** What takes longer is measured once. */
const SLOW_NS = 0.4e9;
/** So much faster than the fastest peer is the target. */
const TARGET = 4;

const native = loadNative();
const clock = native ? () => native.threadTime() : wallTime;

/** What all contestants are measured on: each gives nanoseconds. */
const OPERATIONS = ['mark', 'range', 'iterate', 'union', 'count'] as const;
type Operation = (typeof OPERATIONS)[number];

interface Input {
  readonly label: string;
  readonly pages: Uint32Array;
  /** The same pages as pairs of first page and pages. */
  readonly pairs: Uint32Array;
}

interface Row {
  readonly operation: Operation;
  readonly input: string;
  /** Milliseconds of the core. */
  readonly coreMs: number;
  /** How many times as long each peer takes. */
  readonly times: Readonly<Record<string, number>>;
}

function inputs(): Input[] {
  return SHARES.flatMap((share) => {
    const count = Math.round((PAGES * share) / 100);
    // As many draws as leave that share, some pages being drawn more than once.
    const pages = new Random(61).list(Math.round(-Math.log1p(-share / 100) * PAGES), PAGES);
    const starts = new Random(62).distinct(count / CLUSTER, PAGES / CLUSTER).map((cluster) => cluster * CLUSTER);
    const singles = Uint32Array.from({ length: 2 * pages.length }, (_, i) => (i % 2 ? 1 : pages[i >> 1]));
    const runs = Uint32Array.from({ length: 2 * starts.length }, (_, i) => (i % 2 ? CLUSTER : starts[i >> 1]));
    const clustered = Uint32Array.from(
      { length: CLUSTER * starts.length },
      (_, i) => starts[(i / CLUSTER) | 0] + (i % CLUSTER),
    );
    return [
      { label: `${share} % at random`, pages, pairs: singles },
      { label: `${share} % in runs of ${CLUSTER}`, pages: clustered, pairs: runs },
    ];
  });
}

/** Runs `operation` a few times; nanoseconds of one. Marks go to an empty set, the others work on `full`. */
function time(operation: Operation, make: MakeSet, full: PageSet, other: PageSet, input: Input): number {
  let ns = 0;
  let calls = 0;
  for (; ns < SLICE_NS && calls < MOST_CALLS; calls++) {
    const empty = operation === 'mark' || operation === 'range' ? make(PAGES) : undefined;
    const start = clock();
    if (operation === 'mark') empty!.mark(input.pages);
    else if (operation === 'range') empty!.markRanges(input.pairs);
    else if (operation === 'iterate') keep(full.iterate());
    else if (operation === 'union') other.union(full);
    else keep(full.count());
    ns += clock() - start;
    empty?.close();
  }
  return ns / calls;
}

/** Each operation on one input, all contestants in turn in each round, in reverse order every other round. */
function compare(contestants: ReadonlyMap<string, MakeSet>, input: Input): Row[] {
  const sets = [...contestants].map(([name, make]) => {
    const full = make(PAGES);
    const other = make(PAGES);
    full.markRanges(input.pairs);
    other.markRanges(Uint32Array.of(0, 1));
    return { name, make, full, other };
  });
  const sums = sets.map(({ name, full }) => `${name}: ${full.count()} pages, sum ${full.iterate()}`);
  const different = sums.filter((sum) => sum.split(': ')[1] !== sums[0].split(': ')[1]);
  if (different.length > 0) throw new Error(`${input.label}: ${sums[0]}, but ${different.join('; ')}`);
  const rows = OPERATIONS.map((operation): Row => {
    const times = sets.map((): number[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      const order = sets.map((_, i) => i);
      if (round % 2) order.reverse();
      for (const i of order) {
        if (times[i].length > 0 && times[i][0] > SLOW_NS) continue;
        const { make, full, other } = sets[i];
        times[i].push(time(operation, make, full, other, input));
      }
    }
    const [core, ...peers] = times.map((taken) => quantiles(taken.length > 1 ? taken.slice(1) : taken).median);
    const ratios = peers.map((ns, i): [string, number] => [sets[i + 1].name, ns / core]);
    return { operation, input: input.label, coreMs: core / 1e6, times: Object.fromEntries(ratios) };
  });
  for (const { full, other } of sets) {
    full.close();
    other.close();
  }
  return rows;
}

function install(): void {
  if (existsSync(new URL('node_modules/', HERE))) return;
  process.stderr.write('installing the peers ...\n');
  const args = ['install', '--no-audit', '--no-fund', '--no-package-lock'];
  const { status } = spawnSync('npm', args, { cwd: fileURLToPath(HERE), stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.stderr.write('npm install failed: is the registry reachable? What is there is compared.\n');
}

/** The core first, then the peers that load; why the others do not. */
async function loadAll(): Promise<{ contestants: Map<string, MakeSet>; absent: Record<string, string> }> {
  const contestants = new Map<string, MakeSet>([['core', coreSets(await open({ memory: '64MiB' }))]]);
  const absent: Record<string, string> = {};
  const require = createRequire(HERE);
  for (const [name, makeSets] of Object.entries(PEERS)) {
    try {
      contestants.set(name, await makeSets(require(name) as never));
    } catch (error) {
      absent[name] = (error as Error).message.split('\n', 1)[0];
      process.stderr.write(`without ${name}: ${absent[name]}\n`);
    }
  }
  return { contestants, absent };
}

/** The fastest of the peers and how many times as long it takes. */
function fastest(row: Row): [string, number] {
  return Object.entries(row.times).reduce((best, entry) => (entry[1] < best[1] ? entry : best), ['', Infinity]);
}

function toText(rows: readonly Row[], absent: Readonly<Record<string, string>>): string {
  const names = Object.keys(rows[0]?.times ?? {});
  const { cpu, node } = thisMachine();
  const head = `${'operation'.padEnd(10)}${'input'.padEnd(22)}${'core'.padStart(11)}${names.map((name) => name.padStart(17)).join('')}`;
  const lines = rows.map((row) => {
    const each = names.map((name) => `x ${row.times[name].toPrecision(3)}`.padStart(17)).join('');
    const verdict = fastest(row)[1] >= TARGET ? 'met' : `NOT MET: ${fastest(row)[0]}`;
    return `${row.operation.padEnd(10)}${row.input.padEnd(22)}${`${row.coreMs.toPrecision(3)} ms`.padStart(11)}${each}  ${verdict}`;
  });
  const without = Object.entries(absent).map(([name, why]) => `without ${name}: ${why}`);
  const what = `${PAGES} pages; how many times as long as the core each takes; target: at least ${TARGET} for the fastest`;
  return [`${cpu}, Node ${node}; ${what}`, head, ...lines, ...without].join('\n') + '\n';
}

const { values } = parseArgs({ options: { format: { type: 'string', default: 'table' } } });
if (values.format !== 'table' && values.format !== 'json') {
  throw new RangeError(`--format is '${values.format}'; it must be table or json`);
}
install();
const { contestants, absent } = await loadAll();
const rows: Row[] = [];
for (const input of contestants.size > 1 ? inputs() : []) {
  process.stderr.write(`${input.label} ...\n`);
  rows.push(...compare(contestants, input));
}
const result = { schema: 'wasm-iommu/peers@1', machine: thisMachine(), rows, absent };
process.stdout.write(values.format === 'json' ? `${JSON.stringify(result, null, 2)}\n` : toText(rows, absent));
