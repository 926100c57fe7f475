import { compare } from '../../src/compare/compare.ts';
import type { CompareOptions } from '../../src/compare/options.ts';
import type { MigrationRow, WindowsRow } from '../../src/compare/result.ts';
import { openTrace } from '../../src/workload/open-trace.ts';
import type { Recording } from '../../src/workload/recording.ts';

export const PAGE = 4096;

/** A recording with mappings of these lines. */
export function mapped(lines: readonly string[], ramPages: number, meta: object = {}): Promise<Recording> {
  const encoder = new TextEncoder();
  const ramBytes = ramPages * PAGE;
  return openTrace(encoder.encode(lines.join('\n')), {
    name: 'x.iova.csv',
    ramBytes,
    meta: encoder.encode(JSON.stringify({ ram_bytes: ramBytes, ...meta })),
  });
}

/** Rows of a comparison in windows. */
export async function windowsOf(recording: Recording, options: CompareOptions): Promise<readonly WindowsRow[]> {
  return (await compare(recording, { windowNs: 1e6, ...options })).results as WindowsRow[];
}

/** Rows of a migration. */
export async function migrationsOf(recording: Recording, options: CompareOptions): Promise<readonly MigrationRow[]> {
  return (await compare(recording, options)).results as MigrationRow[];
}
