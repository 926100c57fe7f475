import { chunksOf, type TraceSource } from './byte-source.ts';
import { MAX_DEVICES } from './device-names.ts';
import { decompressed, GzipError } from './gzip.ts';
import { OPS, type Phase } from './recording.ts';
import { TraceError } from './trace-error.ts';

/** What a meta file says; a field is undefined, and `phases` is empty, where it says nothing. */
export interface Meta {
  readonly ramBytes: number | undefined;
  readonly devices: readonly string[] | undefined;
  readonly phases: readonly Phase[];
  readonly durationNs: number | undefined;
  /** Events in the trace. */
  readonly events: number | undefined;
}

/** Guest RAM is at most this many bytes (16 TiB), so that page numbers fit 32 bits. */
export const MAX_RAM = 2 ** 44;

/** A file longer than this is no meta file. */
const MAX_META = 16 * 1024 * 1024;
const MAX_US = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

/**
 * Reads a meta file: a JSON object with `ram_bytes`, `devices`, and where it has them `phases` ([{t_us, label}], ascending),
 * `duration_us`, `events`, `ops` (must be `OPS`) and `page` (must be 4096). Other fields are ignored. Throws a
 * `TraceError` that names the field, its value and what would be right.
 */
export async function readMeta(source: TraceSource, name: string): Promise<Meta> {
  const meta = asObject(name, parsed(name, await text(source, name)));
  const fail = (field: string, right: string): TraceError => {
    return new TraceError(name, `${field} is ${shown(meta[field])}; it must be ${right}`);
  };
  const whole = (field: string, max: number, right: string): number | undefined => {
    const value = meta[field];
    if (value === undefined) return undefined;
    if (!isWhole(value, max)) throw fail(field, right);
    return value;
  };
  const ramBytes = whole('ram_bytes', MAX_RAM, RAM_RULE);
  if (ramBytes !== undefined && !isRamSize(ramBytes)) throw fail('ram_bytes', RAM_RULE);
  if (meta.page !== undefined && meta.page !== 4096) throw fail('page', '4096');
  if (meta.ops !== undefined && JSON.stringify(meta.ops) !== JSON.stringify(OPS)) {
    throw fail('ops', JSON.stringify(OPS));
  }
  const { devices } = meta;
  if (devices !== undefined && !isDeviceList(devices)) {
    throw fail('devices', `a list of 1 to ${MAX_DEVICES} names`);
  }
  const durationUs = whole('duration_us', MAX_US, 'a whole number of microseconds below 2^53 ns');
  return {
    ramBytes,
    devices,
    phases: phasesOf(name, meta.phases, durationUs ?? MAX_US),
    durationNs: durationUs === undefined ? undefined : durationUs * 1000,
    events: whole('events', Number.MAX_SAFE_INTEGER, 'a whole number of events'),
  };
}

/** What a RAM size must be, for messages. */
export const RAM_RULE = 'a positive multiple of 4096, at most 2^44 bytes (16 TiB)';

/** Whether `value` may be the size of guest RAM. */
export function isRamSize(value: number): boolean {
  return isWhole(value, MAX_RAM) && value > 0 && value % 4096 === 0;
}

async function text(source: TraceSource, name: string): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
    } catch {
      throw new TraceError(name, 'not a meta file: it is not UTF-8 text');
    }
  };
  let result = '';
  let length = 0;
  try {
    for await (const chunk of decompressed(chunksOf(source))) {
      length += chunk.length;
      if (length > MAX_META) throw new TraceError(name, `not a meta file: it is longer than ${MAX_META} bytes`);
      result += decode(chunk);
    }
  } catch (error) {
    if (!(error instanceof GzipError)) throw error;
    throw new TraceError(name, `the gzip data are damaged or truncated: ${error.message}`);
  }
  return result + decode();
}

function parsed(name: string, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new TraceError(name, `not a meta file: it is not JSON (${(error as Error).message})`);
  }
}

function asObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TraceError(name, `not a meta file: it is ${shown(value)}; it must be a JSON object`);
}

function phasesOf(name: string, value: unknown, endUs: number): Phase[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    throw new TraceError(name, `phases is ${shown(value)}; it must be a list of {t_us, label}`);
  }
  let lastUs = 0;
  return value.map((phase: { t_us?: unknown; label?: unknown } | null, i) => {
    const startUs = phase?.t_us;
    const label = phase?.label;
    if (!isWhole(startUs, endUs) || startUs < lastUs) {
      const right = `a whole number of microseconds from ${lastUs} (the phase before it) to ${endUs} (the end)`;
      throw new TraceError(name, `phases[${i}].t_us is ${shown(startUs)}; it must be ${right}`);
    }
    if (typeof label !== 'string' || label === '') {
      throw new TraceError(name, `phases[${i}].label is ${shown(label)}; it must be a name`);
    }
    lastUs = startUs;
    return { label, startNs: startUs * 1000 };
  });
}

function isDeviceList(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_DEVICES) return false;
  return value.every((name) => typeof name === 'string' && name !== '');
}

function isWhole(value: unknown, max: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 60);
}
