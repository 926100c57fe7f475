// How much of assembly/ the core's property suites execute: builds the core with Binaryen's log-execution pass, which logs
// each entry of a function, loop and branch, in every format's copy of the generic code; runs the suites with it, and
// prints a table, and the lines that no format's copy has executed.

import { copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CORE_SUITES, copyCheckout, program, runNode } from '../checkout-copy.mjs';
import { placesOf } from './points.mjs';

const BUILD = ['--target', 'debug', '--noAssert', '--runPasses', 'log-execution', '-o', 'build/core.coverage.wasm'];
const LIMIT_MS = 600_000;

async function step(folder, args) {
  const { code, output } = await runNode(folder, args);
  if (code !== 0) throw new Error(`node ${args.join(' ')}: ended with ${code}\n${output}`);
}

async function instrument(folder) {
  await step(folder, [program('assemblyscript/bin/asc.js'), ...BUILD]);
  for (const name of ['core.wasm', 'core.debug.wasm']) {
    copyFileSync(join(folder, 'build/core.coverage.wasm'), join(folder, 'build', name));
  }
  await step(folder, ['src/wasm/embed.mjs']);
  const wasm = readFileSync(join(folder, 'build/core.coverage.wasm'));
  return placesOf(wasm, JSON.parse(readFileSync(join(folder, 'build/core.coverage.wasm.map'), 'utf8')));
}

async function execute(folder) {
  const points = join(folder, 'points');
  mkdirSync(points);
  const args = [program('vitest/vitest.mjs'), 'run', '--config', 'test/coverage/vitest.config.ts', ...CORE_SUITES];
  const { code, output } = await runNode(folder, args, { limitMs: LIMIT_MS, env: { EXECUTED_POINTS: points } });
  if (code !== 0) {
    // What was executed is still worth seeing.
    console.error(`the suites ended with ${code ?? 'the time limit'}\n${output}`);
    process.exitCode = 1;
  }
  const executed = new Set();
  for (const file of readdirSync(points)) {
    readFileSync(join(points, file)).forEach((value, point) => value && executed.add(point));
  }
  return executed;
}

/** Points by source, and the lines on which no copy of the code was executed. */
function tally(places, executed) {
  const sources = new Map();
  places.forEach(({ source, line }, point) => {
    const found = sources.get(source) ?? { points: 0, executed: 0, lines: new Map() };
    const hit = executed.has(point);
    found.points++;
    found.executed += hit ? 1 : 0;
    found.lines.set(line, (found.lines.get(line) ?? false) || hit);
    sources.set(source, found);
  });
  return [...sources].sort(([a], [b]) => (a < b ? -1 : 1));
}

function print(rows) {
  const share = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
  const total = { points: 0, executed: 0 };
  const width = Math.max(...rows.map(([source]) => source.length));
  const line = (...cells) => console.log(cells.map((cell, i) => (i ? cell.padStart(9) : cell.padEnd(width))).join(''));
  line('source', 'points', 'executed', 'share');
  for (const [source, { points, executed }] of rows) {
    line(source, String(points), String(executed), share(executed, points));
    total.points += points;
    total.executed += executed;
  }
  line('all', String(total.points), String(total.executed), share(total.executed, total.points));
  console.log('\nLines with a point that no copy of the code has executed:');
  for (const [source, { lines }] of rows) {
    const never = [...lines].filter(([, hit]) => !hit).map(([number]) => number);
    if (never.length > 0) console.log(`  ${source}: ${never.sort((a, b) => a - b).join(', ')}`);
  }
}

const copy = copyCheckout();
try {
  const places = await instrument(copy.folder);
  print(tally(places, await execute(copy.folder)));
} finally {
  copy.remove();
}
