// Applies each mutant to a copy of assembly/, builds it, and runs the core's property suites until one test fails. Prints a
// table; ends with 1 where a mutant survives. Arguments: names of mutants, or parts of them; none: all.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CORE_SUITES, copyCheckout, program, runNode } from '../checkout-copy.mjs';
import { MUTANTS } from './mutants.mjs';

const LIMIT_MS = 180_000;
const VITEST = [program('vitest/vitest.mjs'), 'run', '--bail=1', '--reporter=json', '--outputFile=result.json'];

async function build(folder) {
  for (const args of [
    [program('assemblyscript/bin/asc.js'), '--target', 'release'],
    [program('assemblyscript/bin/asc.js'), '--target', 'debug'],
    ['src/wasm/embed.mjs'],
  ]) {
    const { code, output } = await runNode(folder, args);
    if (code !== 0) throw new Error(`node ${args.join(' ')}: ended with ${code}\n${output}`);
  }
}

/** The first test that fails, `time limit`, or undefined where all pass. */
async function firstFailure(folder) {
  writeFileSync(join(folder, 'result.json'), '');
  const { code, output } = await runNode(folder, [...VITEST, ...CORE_SUITES], { limitMs: LIMIT_MS });
  if (code === 0) return undefined;
  if (code === null) return 'time limit';
  const text = readFileSync(join(folder, 'result.json'), 'utf8');
  if (text === '') throw new Error(`vitest ended with ${code} and no result\n${output}`);
  const files = JSON.parse(text).testResults.filter(({ status }) => status === 'failed');
  const tests = files.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => status === 'failed');
  return tests[0]?.fullName ?? files[0]?.message ?? `vitest ended with ${code}`;
}

/** The file with the mutant's mistake in it. Throws where what it replaces does not stand there exactly once. */
function mutate(text, { name, find, replace }) {
  const count = text.split(find).length - 1;
  if (count !== 1)
    throw new Error(`mutant '${name}': ${JSON.stringify(find)} stands ${count} times; make it fit again`);
  return text.replace(find, () => replace);
}

async function survives(folder, mutant) {
  const file = join(folder, 'assembly', mutant.file);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, mutate(text, mutant));
  try {
    await build(folder);
    const killer = await firstFailure(folder);
    console.log(`${killer === undefined ? 'SURVIVES' : 'killed  '}  ${mutant.name.padEnd(56)}  ${killer ?? ''}`);
    return killer === undefined;
  } finally {
    writeFileSync(file, text);
  }
}

const wanted = process.argv.slice(2);
const chosen = MUTANTS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
if (chosen.length === 0) throw new Error(`no mutant is called ${wanted.join(' or ')}`);
const copy = copyCheckout();
try {
  for (const mutant of chosen) mutate(readFileSync(join(copy.folder, 'assembly', mutant.file), 'utf8'), mutant);
  await build(copy.folder);
  const broken = await firstFailure(copy.folder);
  if (broken !== undefined) throw new Error(`the suites fail without any mutant: ${broken}`);
  let survivors = 0;
  for (const mutant of chosen) survivors += (await survives(copy.folder, mutant)) ? 1 : 0;
  console.log(`${chosen.length} mutants, ${chosen.length - survivors} killed, ${survivors} survive`);
  process.exitCode = survivors > 0 ? 1 : 0;
} finally {
  copy.remove();
}
