import { checkSource, type BlobLike, type TraceSource } from './byte-source.ts';
import { DeviceNames } from './device-names.ts';
import { isRamSize, RAM_RULE, readMeta, type Meta } from './meta.ts';
import type { Recording } from './recording.ts';
import { StoredRecording, type TraceFormat } from './stored-recording.ts';
import { TraceBytes } from './trace-bytes.ts';
import { TraceError } from './trace-error.ts';

/** What belongs to a trace, and how to read it. */
export interface OpenTraceOptions {
  /** File name, for messages and for the format. Default: the name of a `File`, else `trace`. A folder is cut off. */
  readonly name?: string | undefined;
  /** The meta file: RAM size, devices, phases, duration. A binary trace needs it. */
  readonly meta?: TraceSource | undefined;
  /** The log of pages that the CPUs wrote. */
  readonly cpuDirty?: TraceSource | undefined;
  /** Size of guest RAM in bytes, in place of the meta file's; a CSV without a meta file needs it. */
  readonly ramBytes?: number | undefined;
  /** Default: `iova-csv` for a name that ends in `.iova.csv` or `.iova.csv.gz`, `csv` for other `.csv`, else `binary`. */
  readonly format?: TraceFormat | undefined;
}

/**
 * Opens a recorded trace (formats: examples/traces/README.md, `CsvDecoder`), gzipped or not. The meta file is read at once,
 * trace and CPU log when segments are asked for, in a memory that does not grow with their length: up to 64 MiB of each are
 * kept, anything longer is read anew each time.
 *
 * Throws a TypeError or RangeError for wrong arguments, and a `TraceError` for damaged or foreign input. What a source
 * itself throws passes through.
 */
export async function openTrace(trace: TraceSource, options: OpenTraceOptions = {}): Promise<Recording> {
  checkSource(trace, 'trace');
  const name = nameOf(trace, options.name);
  const format = options.format ?? formatOf(name);
  if (!FORMATS.includes(format)) {
    const right = FORMATS.map((each) => `'${each}'`).join(', ');
    throw new TypeError(`openTrace: format is ${JSON.stringify(format)}; it must be one of ${right}`);
  }
  const { cpuDirty, ramBytes } = options;
  if (cpuDirty !== undefined) checkSource(cpuDirty, 'cpuDirty');
  if (ramBytes !== undefined && !isRamSize(ramBytes)) {
    throw new RangeError(`openTrace: ramBytes is ${ramBytes}; it must be ${RAM_RULE}`);
  }
  const meta = await metaOf(name, format, options);
  return new StoredRecording({
    name,
    format,
    ramBytes: ramBytes ?? meta.ramBytes!,
    devices: new DeviceNames(meta.devices),
    phases: meta.phases,
    durationNs: meta.durationNs,
    events: meta.events,
    trace: new TraceBytes(trace, name),
    cpuLog: cpuDirty === undefined ? null : new TraceBytes(cpuDirty, `CPU log of ${name}`),
  });
}

const FORMATS: readonly TraceFormat[] = ['binary', 'csv', 'iova-csv'];

function formatOf(name: string): TraceFormat {
  if (/\.iova\.csv(\.gz)?$/i.test(name)) return 'iova-csv';
  return /\.csv(\.gz)?$/i.test(name) ? 'csv' : 'binary';
}

/** The meta file's content, with at least what the format needs. */
async function metaOf(name: string, format: TraceFormat, options: OpenTraceOptions): Promise<Meta> {
  const { meta, ramBytes } = options;
  if (meta !== undefined) {
    checkSource(meta, 'meta');
    const source = `meta file of ${name}`;
    const content = await readMeta(meta, source);
    if (ramBytes === undefined && content.ramBytes === undefined) {
      throw new TraceError(source, `ram_bytes is missing; it must be ${RAM_RULE}`);
    }
    if (format === 'binary' && content.devices === undefined) {
      throw new TraceError(
        source,
        'devices is missing; a binary trace needs a list of the names that its events number',
      );
    }
    return content;
  }
  if (format === 'binary') {
    throw new TypeError(
      `openTrace: meta is missing; a binary trace needs the meta file that names RAM size and devices`,
    );
  }
  if (ramBytes === undefined) {
    throw new TypeError(`openTrace: ramBytes is missing; a CSV trace needs it, or a meta file with ram_bytes`);
  }
  return { ramBytes, devices: undefined, phases: [], durationNs: undefined, events: undefined };
}

function nameOf(trace: TraceSource, given: string | undefined): string {
  const own = typeof trace === 'function' ? undefined : (trace as BlobLike).name;
  const name = given ?? (typeof own === 'string' ? own : '');
  return name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1) || 'trace';
}
