// The long form of the property tests: each property runs SOAK times as often (default 20), from a seed that is printed.
// `SOAK=3 SEED=123 npm run soak` repeats a run; further arguments go to vitest.

import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { program } from './checkout-copy.mjs';

const SUITES = [
  'core',
  'bitmap',
  'iommu',
  'device',
  'interleavings',
  'schedule',
  'oracle',
  'workload',
  'migration',
  'units',
];
const soak = process.env.SOAK ?? '20';
const seed = process.env.SEED ?? String(randomInt(2 ** 31));
if (!(Number(soak) > 0)) throw new Error(`SOAK is ${soak}; it must be a number above 0`);
if (!/^-?\d+$/.test(seed)) throw new Error(`SEED is ${seed}; it must be an integer`);
console.log(`soak: SOAK=${soak} SEED=${seed}`);

const folders = SUITES.map((suite) => `test/${suite}/`);
const args = [program('vitest/vitest.mjs'), 'run', '--testTimeout=1800000', ...folders, ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, args, {
  env: { ...process.env, SOAK: soak, SEED: seed },
  stdio: ['ignore', 'inherit', 'inherit'],
});
process.exitCode = status ?? 1;
