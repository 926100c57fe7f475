import { readFileSync } from 'node:fs';
import { openTrace } from '../../src/workload/open-trace.ts';
import type { Recording } from '../../src/workload/recording.ts';

function file(ending: string): Uint8Array {
  return readFileSync(new URL(`../../examples/traces/v86-debian.${ending}`, import.meta.url));
}

let opened: Promise<Recording> | undefined;

/** The bundled recording, opened once per test file: it is only read, and to open it is to survey all of it. */
export function openBundled(): Promise<Recording> {
  opened ??= openTrace(file('dma.bin.gz'), {
    name: 'v86-debian.dma.bin.gz',
    meta: file('meta.json'),
    cpuDirty: file('cpu-dirty.bin.gz'),
  });
  return opened;
}

/** The phase with which a migration of it begins by default. */
export const PHASE = 'odirect-loop-3s';
