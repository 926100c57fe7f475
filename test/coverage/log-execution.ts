// Set-up of the suites for a core that was instrumented by Binaryen's log-execution pass: gives the core the import that it
// then has, and notes which points were executed in a file of $EXECUTED_POINTS, one byte per point.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const executed = new Uint8Array(2 ** 16);
const Instance = WebAssembly.Instance;

WebAssembly.Instance = class extends Instance {
  constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
    const log_execution = (point: number) => {
      executed[point] = 1;
    };
    super(module, { ...imports, env: { ...imports?.env, log_execution } });
  }
};

afterAll(() => {
  // One process may run several test files, one after the other.
  const file = join(process.env.EXECUTED_POINTS!, `${process.pid}.points`);
  if (existsSync(file)) readFileSync(file).forEach((value, point) => (executed[point] |= value));
  writeFileSync(file, executed);
});
