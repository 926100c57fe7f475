import { readFileSync } from 'node:fs';
import { openTrace } from '../../src/workload/open-trace.ts';
import type { Recording } from '../../src/workload/recording.ts';

function file(ending: string): Uint8Array {
  return readFileSync(new URL(`../../examples/traces/v86-debian.${ending}`, import.meta.url));
}

/** The bundled recording. */
export function openBundled(): Promise<Recording> {
  return openTrace(file('dma.bin.gz'), {
    name: 'v86-debian.dma.bin.gz',
    meta: file('meta.json'),
    cpuDirty: file('cpu-dirty.bin.gz'),
  });
}

/** The phase with which a migration of it begins by default. */
export const PHASE = 'odirect-loop-3s';
