import { createReadStream, realpathSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../units/usage-error.ts';
import { openTrace } from '../workload/open-trace.ts';
import type { Recording } from '../workload/recording.ts';

/** The recording that the package brings, and the phase with which a migration of it begins by default. */
export const BUNDLED = {
  path: fileURLToPath(new URL('examples/traces/v86-debian.dma.bin.gz', import.meta.resolve('wasm-iommu/package.json'))),
  phase: 'odirect-loop-3s',
} as const;

/** Whether `path` is the bundled recording, by whatever name. */
export function isBundled(path: string): boolean {
  try {
    return realpathSync(path) === realpathSync(BUNDLED.path);
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function firstOf(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await exists(path)) return path;
  return undefined;
}

async function source(path: string): Promise<() => AsyncIterable<Uint8Array>> {
  const found = await stat(path);
  if (!found.isFile()) throw new UsageError(`${path} is no file; a trace is read more than once, so a pipe won't do`);
  return () => createReadStream(path, { highWaterMark: 1 << 18 });
}

/** Files that belong to a trace, as given. */
export interface TraceFiles {
  readonly trace: string;
  readonly meta: string | undefined;
  readonly cpuDirty: string | undefined;
  readonly ramBytes: number | undefined;
}

/**
 * Opens a trace with what belongs to it: by default its siblings, for `X.dma.bin.gz` (or `X.csv`, `X.iova.csv`, …) `X.meta.json` and
 * `X.cpu-dirty.bin`, gzipped or not. Throws as openTrace does, and what the file system throws.
 */
export async function openTraceFiles(files: TraceFiles): Promise<Recording> {
  const { trace, ramBytes } = files;
  const stem = trace.replace(/(\.dma|\.iova)?\.(bin|csv)(\.gz)?$/i, '');
  const isCsv = /\.csv(\.gz)?$/i.test(trace);
  const read = await source(trace);
  const meta = files.meta ?? (await firstOf([`${stem}.meta.json`]));
  if (meta === undefined && !isCsv) {
    throw new UsageError(`a binary trace needs its meta file, and there is no ${stem}.meta.json; name it with --meta`);
  }
  if (meta === undefined && ramBytes === undefined) {
    throw new UsageError('a CSV trace does not say how much RAM the guest has; give it with --ram');
  }
  const cpuDirty = files.cpuDirty ?? (await firstOf([`${stem}.cpu-dirty.bin.gz`, `${stem}.cpu-dirty.bin`]));
  return openTrace(read, {
    name: basename(trace),
    meta: meta === undefined ? undefined : await source(meta),
    cpuDirty: cpuDirty === undefined ? undefined : await source(cpuDirty),
    ramBytes,
  });
}
