#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { CostError } from '../cost/cost-error.ts';
import { IommuError } from '../errno/error.ts';
import { UsageError } from '../units/usage-error.ts';
import { TraceError } from '../workload/trace-error.ts';
import { helpOf, parse, type Command } from './command.ts';
import { COMPARE } from './compare.ts';
import { COST } from './cost.ts';
import { FSM } from './fsm.ts';
import { PTE } from './pte.ts';
import { textTable } from './text-table.ts';
import { TRACKERS_COMMAND } from './trackers.ts';
import { WALK } from './walk.ts';

const COMMANDS: readonly Command[] = [COMPARE, TRACKERS_COMMAND, COST, PTE, WALK, FSM];

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function version(): string {
  const text = readFileSync(new URL(import.meta.resolve('wasm-iommu/package.json')), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function overview(): string {
  return [
    'Usage: wasm-iommu COMMAND [options]',
    '',
    'Dirty-page tracking and an IOMMU model: compare how a live migration finds the pages that devices have written.',
    '',
    'Commands:',
    textTable(COMMANDS.map(({ name, summary }) => [`  ${name}`, summary])),
    '`wasm-iommu COMMAND --help` says more; --version prints the version.',
    '',
  ].join('\n');
}

async function run(args: readonly string[]): Promise<string> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === 'help') return overview();
  if (name === '--version') return `${version()}\n`;
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (!command) {
    throw new UsageError(`there is no command '${name}'; there are ${COMMANDS.map((c) => c.name).join(', ')}`);
  }
  const { values, operands } = parse(command, rest);
  return values.help === true ? helpOf(command) : command.run(values, operands);
}

function isUsage(error: unknown): boolean {
  if (error instanceof UsageError || error instanceof CostError || error instanceof IommuError) return true;
  // What openTrace says of an argument that makes no sense.
  return (error instanceof TypeError || error instanceof RangeError) && error.message.startsWith('openTrace:');
}

function report(error: unknown, args: readonly string[]): number {
  if (isUsage(error)) {
    const command = COMMANDS.some(({ name }) => name === args[0]) ? ` ${args[0]}` : '';
    process.stderr.write(`wasm-iommu${command}: ${(error as Error).message}\n`);
    process.stderr.write(`Try 'wasm-iommu${command} --help'.\n`);
    return EXIT_USAGE;
  }
  const expected = error instanceof TraceError || (error instanceof Error && 'syscall' in error);
  const text = expected ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`wasm-iommu: ${text}\n`);
  return EXIT_FAILED;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever reads the output has read enough of it.
  process.exit(error.code === 'EPIPE' ? 0 : EXIT_FAILED);
});

const args = process.argv.slice(2);
try {
  process.stdout.write(await run(args));
} catch (error) {
  process.exitCode = report(error, args);
}
