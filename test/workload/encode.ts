import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { DeviceNames } from '../../src/workload/device-names.ts';
import type { TraceSource } from '../../src/workload/byte-source.ts';
import { OPS, type Recording, type SegmentOptions } from '../../src/workload/recording.ts';
import { StoredRecording } from '../../src/workload/stored-recording.ts';
import { TraceBytes } from '../../src/workload/trace-bytes.ts';

/** An event as a plain object; times in microseconds, as the files have them. */
export interface Event {
  us: number;
  device: number;
  op: number;
  address: number;
  length: number;
}

/** A window of the CPU log, starting where the one before it ends. */
export interface Window {
  us: number;
  runs: [first: number, pages: number][];
}

/** What `collect` flattens segments to. */
export type Item =
  | { kind: 'dma'; timeNs: number; device: number; op: number; address: number; length: number }
  | { kind: 'cpu'; startNs: number; endNs: number; runs: number[] };

export const RAM = 2 ** 36;
export const DEVICES = ['disk', 'nic.q0', 'nic.q1', 'ünïcode'];

export function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

export function zigzag(value: number): number {
  return value >= 0 ? 2 * value : -2 * value - 1;
}

export function encodeBinary(events: readonly Event[]): Uint8Array {
  const ends = new Map<number, number>();
  let us = 0;
  const bytes = events.flatMap((e) => {
    const delta = e.address - (ends.get(e.device) ?? 0);
    const record = [varint(e.us - us), varint(e.device * 8 + e.op), varint(zigzag(delta)), varint(e.length)];
    ends.set(e.device, e.address + e.length);
    us = e.us;
    return record.flat();
  });
  return Uint8Array.from(bytes);
}

export function encodeCsv(events: readonly Event[]): Uint8Array {
  const lines = events.map((e, i) => {
    const gpa = i % 2 === 0 ? `0x${e.address.toString(16)}` : `${e.address}`;
    const line = `${e.us},${DEVICES[e.device]},${OPS[e.op]},${gpa},${e.length}`;
    return i % 3 === 0 ? `${line}\r\n` : i % 3 === 1 ? ` ${line.replaceAll(',', ' ,\t')}  \n` : `# note\n\n${line}\n`;
  });
  return new TextEncoder().encode(`t_us,dev,op,gpa,len\n${lines.join('')}`);
}

export function encodeCpuLog(windows: readonly Window[]): Uint8Array {
  return Uint8Array.from(
    windows.flatMap(({ us, runs }) => {
      let end = 0;
      const pairs = runs.flatMap(([first, pages]) => {
        const pair = [...varint(first - end), ...varint(pages)];
        end = first + pages;
        return pair;
      });
      return [...varint(us), ...varint(runs.length), ...pairs];
    }),
  );
}

/** `bytes` cut into chunks of the given sizes, again and again; opens anew at each call. */
export function chunked(bytes: Uint8Array, sizes: readonly number[], opened?: () => void): TraceSource {
  return async function* () {
    opened?.();
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length];
      yield bytes.slice(at, at + size);
      at += size;
    }
  };
}

export interface Files {
  trace: TraceSource;
  cpuLog?: TraceSource;
  format?: 'binary' | 'csv';
  ramBytes?: number;
  events?: number;
  devices?: string[];
}

/** A recording that is kept in memory, or, with `windowBytes`, read through a window of that size each time. */
export function recordingOf(files: Files, windowBytes?: number): Recording {
  const bytes = (source: TraceSource, name: string): TraceBytes =>
    windowBytes === undefined ? new TraceBytes(source, name) : new TraceBytes(source, name, 0, windowBytes);
  return new StoredRecording({
    name: 'trace',
    ramBytes: files.ramBytes ?? RAM,
    devices: new DeviceNames(files.devices ?? DEVICES),
    phases: [],
    durationNs: undefined,
    events: files.events,
    format: files.format ?? 'binary',
    trace: bytes(files.trace, 'trace'),
    cpuLog: files.cpuLog === undefined ? null : bytes(files.cpuLog, 'cpu-log'),
  });
}

export async function collect(recording: Recording, options?: SegmentOptions): Promise<Item[]> {
  const items: Item[] = [];
  for await (const s of recording.segments(options)) {
    if (s.kind === 'cpu') {
      const runs = [...s.runs.subarray(0, s.runCount * 2)];
      items.push({ kind: 'cpu', startNs: s.startNs, endNs: s.endNs, runs });
      continue;
    }
    if (s.count === 0) throw new Error('an empty batch was yielded');
    for (let i = 0; i < s.count; i++) {
      const [device, op, address, length] = [s.device[i], s.op[i], s.address[i], s.length[i]];
      items.push({ kind: 'dma', timeNs: s.timeNs[i], device, op, address, length });
    }
  }
  return items;
}

export function itemsOf(events: readonly Event[]): Item[] {
  return events.map(({ us, device, op, address, length }) => {
    return { kind: 'dma', timeNs: us * 1000, device, op, address, length };
  });
}

export function gzipped(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(gzipSync(bytes));
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.nat(3) },
  { weight: 2, arbitrary: fc.nat(100_000) },
  { weight: 1, arbitrary: fc.nat(2 ** 31 - 1) },
);

const event = fc
  .record({
    step,
    device: fc.nat(DEVICES.length - 1),
    op: fc.nat(OPS.length - 1),
    address: fc.oneof(fc.nat(8192), fc.integer({ min: 0, max: RAM })),
    length: fc.oneof(fc.nat(5), fc.nat(5000), fc.integer({ min: 0, max: RAM })),
  })
  .map((e) => ({ ...e, length: Math.min(e.length, RAM - e.address) }));

export const eventList: fc.Arbitrary<Event[]> = fc.array(event, { maxLength: 80 }).map((list) => {
  let us = 0;
  return list.map(({ step, ...rest }) => ({ us: (us += step), ...rest }));
});

const runs = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 1000 })), { maxLength: 12 }).map((gaps) => {
  let end = 0;
  return gaps.map(([gap, pages]): [number, number] => {
    const first = end + gap;
    end = first + pages;
    return [first, pages];
  });
});

export const windowList: fc.Arbitrary<Window[]> = fc.array(fc.record({ us: step, runs }), { maxLength: 12 });

export const chunkSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 400 })), {
  minLength: 1,
  maxLength: 6,
});

/** undefined: kept in memory; a number: the size of the window through which it is read each time. */
export const windowSize = fc.option(fc.integer({ min: 128, max: 300 }), { nil: undefined });
