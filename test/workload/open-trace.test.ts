import { expect, test } from 'vitest';
import type { TraceSource } from '../../src/workload/byte-source.ts';
import { openTrace, type OpenTraceOptions } from '../../src/workload/open-trace.ts';
import { phaseSpan } from '../../src/workload/phase-span.ts';
import { survey } from '../../src/workload/survey.ts';
import { TraceError } from '../../src/workload/trace-error.ts';
import {
  chunked,
  collect,
  encodeBinary,
  encodeCpuLog,
  encodeCsv,
  gzipped,
  itemsOf,
  recordingOf,
  type Event,
} from './encode.ts';

const EVENTS: Event[] = [
  { us: 3, device: 0, op: 0, address: 4096, length: 8192 },
  { us: 9, device: 1, op: 1, address: 12000, length: 500 },
  { us: 9, device: 1, op: 0, address: 90000, length: 0 },
  { us: 12, device: 1, op: 3, address: 0, length: 100 },
];
const META = {
  ram_bytes: 2 ** 20,
  page: 4096,
  devices: ['disk', 'nic.q0'],
  ops: ['wblob', 'wfield', 'wzero', 'rblob', 'rfield'],
  events: 4,
  duration_us: 50,
  phases: [
    { t_us: 0, label: 'boot' },
    { t_us: 9, label: 'work', insn: 1 },
  ],
};

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function meta(change: Record<string, unknown> = {}): Uint8Array {
  return json({ ...META, ...change });
}

test('bytes, a Blob, a File and a function are sources alike, gzipped or not', async () => {
  const bytes = gzipped(encodeBinary(EVENTS));
  const blob = new Blob([bytes as BlobPart]);
  const sources: TraceSource[] = [bytes, encodeBinary(EVENTS), blob, chunked(bytes, [5])];
  for (const source of sources) {
    const recording = await openTrace(source, {
      meta: new Blob([gzipped(meta()) as BlobPart]),
      cpuDirty: blob.slice(0, 0),
    });
    expect(await collect(recording)).toEqual(itemsOf(EVENTS));
    expect(recording.name).toBe('trace');
  }
  const file = Object.assign(blob, { name: 'x.dma.bin.gz' });
  expect((await openTrace(file, { meta: meta() })).name).toBe('x.dma.bin.gz');
});

test('the name loses its folder and decides on the format, unless the format is given', async () => {
  const csv = encodeCsv(EVENTS);
  for (const name of ['a/b.csv', 'C:\\b.CSV', 'b.csv.gz']) {
    const recording = await openTrace(csv, { name, ramBytes: 2 ** 20, meta: json({ devices: ['disk', 'nic.q0'] }) });
    expect(recording.name).toBe(name.replace(/^.*[/\\]/, ''));
    expect(await collect(recording)).toEqual(itemsOf(EVENTS));
  }
  const told = await openTrace(csv, { name: 'b.txt', format: 'csv', ramBytes: 2 ** 20 });
  expect((await collect(told)).length).toBe(4);
  expect(told.durationNs).toBeUndefined();
  expect(told.phases).toEqual([]);
  const binary = await openTrace(encodeBinary(EVENTS), { name: 'b.csv', format: 'binary', meta: meta() });
  expect((await collect(binary)).length).toBe(4);
});

test('ramBytes stands in place of the meta file, and events are checked against it', async () => {
  const bytes = encodeBinary(EVENTS);
  const larger = await openTrace(bytes, { meta: meta(), ramBytes: 2 ** 30 });
  expect(larger.ramBytes).toBe(2 ** 30);
  const smaller = await openTrace(bytes, { meta: meta(), ramBytes: 8192 });
  await expect(collect(smaller)).rejects.toThrow(/trace: event 0 at byte 0: .* RAM, which is \[0, 0x2000\)/);
});

test('wrong arguments are named, with their value and what would be right', async () => {
  const bytes = encodeBinary(EVENTS);
  const refused = (trace: unknown, options?: object): Promise<unknown> =>
    openTrace(trace as TraceSource, options as OpenTraceOptions).catch((error: unknown) => error);
  const cases: [unknown, RegExp][] = [
    [await refused('file.bin'), /trace is string; it must be a Uint8Array, a Blob, or a function/],
    [await refused(null), /trace is null/],
    [await refused(bytes), /meta is missing; a binary trace needs/],
    [await refused(bytes, { meta: 5 }), /meta is number/],
    [await refused(bytes, { meta: meta(), cpuDirty: [] }), /cpuDirty is an array/],
    [await refused(bytes, { name: 'x.csv' }), /ramBytes is missing; a CSV trace needs it/],
    [
      await refused(bytes, { meta: meta(), ramBytes: 5000 }),
      /ramBytes is 5000; it must be a positive multiple of 4096/,
    ],
    [await refused(bytes, { meta: meta(), ramBytes: 0 }), /ramBytes is 0/],
    [await refused(bytes, { meta: meta(), ramBytes: 2 ** 45 }), /at most 2\^44/],
    [
      await refused(bytes, { meta: meta(), format: 'pcap' }),
      /format is "pcap"; it must be one of 'binary', 'csv', 'iova-csv'/,
    ],
  ];
  for (const [error, message] of cases) {
    expect((error as Error).message).toMatch(message);
    expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
  }
});

test('a foreign or wrong meta file is named with the field, its value and what would be right', async () => {
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array([1, 2, 3]), /not a meta file: it is not JSON/],
    [new Uint8Array([0xff, 0xfe]), /not a meta file: it is not UTF-8/],
    [new Uint8Array([0x22, 0xc3]), /not a meta file: it is not UTF-8/],
    [gzipped(meta()).subarray(0, 50), /gzip data are damaged or truncated/],
    [new Uint8Array(0), /not JSON/],
    [json([1]), /it is \[1\]; it must be a JSON object/],
    [json(null), /it is null/],
    [new Uint8Array(17 * 2 ** 20).fill(32), /longer than 16777216 bytes/],
    [meta({ ram_bytes: undefined }), /ram_bytes is missing; it must be a positive multiple of 4096/],
    [meta({ ram_bytes: 4097 }), /ram_bytes is 4097/],
    [meta({ ram_bytes: 0 }), /ram_bytes is 0/],
    [meta({ ram_bytes: '128M' }), /ram_bytes is "128M"/],
    [meta({ page: 65536 }), /page is 65536; it must be 4096/],
    [meta({ ops: ['r', 'w'] }), /ops is \["r","w"\]; it must be \["wblob",/],
    [meta({ devices: undefined }), /devices is missing/],
    [meta({ devices: [] }), /devices is \[\]; it must be a list of 1 to 65536 names/],
    [meta({ devices: ['a', 5] }), /devices is \["a",5\]/],
    [meta({ devices: ['a', ''] }), /devices is/],
    [meta({ duration_us: -1 }), /duration_us is -1; it must be a whole number of microseconds/],
    [meta({ duration_us: 2 ** 53 }), /duration_us is/],
    [meta({ events: 1.5 }), /events is 1.5; it must be a whole number/],
    [meta({ phases: {} }), /phases is \{\}; it must be a list/],
    [meta({ phases: [null] }), /phases\[0\].t_us is missing/],
    [meta({ phases: [{ t_us: 1, label: 5 }] }), /phases\[0\].label is 5/],
    [meta({ phases: [{ t_us: 5, label: 'a' }, { t_us: 4, label: 'b' }] }), /phases\[1\].t_us is 4; .* from 5 \(/], // prettier-ignore
    [meta({ phases: [{ t_us: 51, label: 'a' }] }), /phases\[0\].t_us is 51; .* to 50 \(the end\)/],
  ];
  for (const [bytes, message] of cases) {
    const error: unknown = await openTrace(encodeBinary(EVENTS), { meta: bytes, name: 'x.bin' }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(TraceError);
    expect((error as Error).message).toMatch(message);
    expect((error as TraceError).source).toBe('meta file of x.bin');
  }
});

test("a source's own error passes through, from plain and from gzipped bytes", async () => {
  const gone = new Error('EIO: the disk went away');
  for (const bytes of [encodeBinary(EVENTS), gzipped(encodeBinary(EVENTS))]) {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 8);
      throw gone;
    };
    for (const windowBytes of [undefined, 128]) {
      await expect(collect(recordingOf({ trace: source }, windowBytes))).rejects.toBe(gone);
    }
  }
  const text = async function* (): AsyncGenerator<Uint8Array> {
    yield meta();
    throw gone;
  };
  await expect(openTrace(new Uint8Array(0), { meta: text })).rejects.toBe(gone);
});

test('a function that opens something else is told so', async () => {
  const wrong = (() => 5) as unknown as TraceSource;
  await expect(collect(recordingOf({ trace: wrong }))).rejects.toThrow(/returned no AsyncIterable/);
  const text = async function* (): AsyncGenerator<Uint8Array> {
    yield 'text' as unknown as Uint8Array;
  };
  await expect(collect(recordingOf({ trace: text }))).rejects.toThrow(
    /a chunk of type string; it must be a Uint8Array/,
  );
  await expect(openTrace(new Uint8Array(0), { meta: text })).rejects.toThrow(/a chunk of type string/);
});

test('a short trace is opened once, one above 64 MiB at each reading', async () => {
  let opened = 0;
  const short = recordingOf({ trace: chunked(encodeBinary(EVENTS), [3], () => opened++) });
  await collect(short);
  await collect(short, { fromNs: 9000 });
  expect(opened).toBe(1);

  // 65 MiB of events `dt 1, device 0 op 0, delta 0, length 0`.
  const block = new Uint8Array(2 ** 20);
  for (let at = 0; at < block.length; at += 4) block[at] = 1;
  opened = 0;
  const long = recordingOf({
    trace: async function* () {
      opened++;
      for (let i = 0; i < 65; i++) yield block;
    },
  });
  const total = (65 * 2 ** 20) / 4;
  expect(await survey(long)).toMatchObject({ events: total, writeEvents: total, pagesWritten: 0, endNs: total * 1000 });
  expect((await collect(long, { fromNs: (total - 2) * 1000 })).length).toBe(3);
  expect(opened).toBe(2);
});

test('leaving a reading early closes the source', async () => {
  const events = Array.from({ length: 40000 }, (_, i) => ({
    us: i,
    device: 0,
    op: 0,
    address: (i * 7919) % 9999,
    length: i,
  }));
  for (const bytes of [encodeBinary(events), gzipped(encodeBinary(events))]) {
    let closed: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (closed = resolve));
    const source = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
      } finally {
        closed();
      }
    };
    let first = 0;
    for await (const segment of recordingOf({ trace: source }, 4096).segments()) {
      if (segment.kind === 'dma') first = segment.count;
      break;
    }
    await done;
    expect(first).toBe(8192);
  }
});

test('survey: reads and empty writes touch no page, and the end is the latest of three', async () => {
  const counts = { events: 4, writeEvents: 3, bytesWritten: 8692, pagesWritten: 3 };
  const open = (change: Record<string, unknown>, cpuDirty?: Uint8Array): ReturnType<typeof openTrace> =>
    openTrace(encodeBinary(EVENTS), { meta: meta(change), cpuDirty });
  const untimed = { duration_us: undefined };
  expect(await survey(await open({}))).toEqual({ ...counts, endNs: 50_000 });
  expect(await survey(await open(untimed))).toEqual({ ...counts, endNs: 12_000 });
  expect(await survey(await open(untimed, encodeCpuLog([{ us: 13, runs: [] }])))).toEqual({ ...counts, endNs: 13_000 });
});

test('survey: pages are counted once, over word and chunk borders', async () => {
  const page = 4096;
  const spans = [[0, 1], [31, 34], [32, 33], [2 ** 20 - 2, 2 ** 20 + 40], [2 ** 24 - 1, 2 ** 24 - 1], [31, 31]]; // prettier-ignore
  const events = spans.map(([first, last]): Event => {
    return { us: 0, device: 0, op: 0, address: first * page + 4095, length: (last - first) * page + 1 };
  });
  const pages = new Set(
    spans.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
  );
  expect((await survey(recordingOf({ trace: encodeBinary(events) }))).pagesWritten).toBe(pages.size);
});

test('phaseSpan: a phase ends where the next one starts, the last at the end; an unknown label lists the known ones', async () => {
  const recording = await openTrace(encodeBinary(EVENTS), { meta: meta() });
  expect(phaseSpan(recording, 'boot')).toEqual({ startNs: 0, endNs: 9000 });
  expect(phaseSpan(recording, 'work')).toEqual({ startNs: 9000, endNs: 50_000 });
  expect(phaseSpan(recording, 'work', 60_000)).toEqual({ startNs: 9000, endNs: 60_000 });
  expect(() => phaseSpan(recording, 'Boot')).toThrow(
    /phase is "Boot", which trace does not have; its phases are boot, work/,
  );

  const phases = [{ t_us: 1, label: 'a' }, { t_us: 2, label: 'a' }, { t_us: 3, label: 'b' }]; // prettier-ignore
  const untimed = await openTrace(encodeBinary(EVENTS), { meta: meta({ duration_us: undefined, phases }) });
  expect(() => phaseSpan(untimed, 'a')).toThrow(/more than one/);
  expect(() => phaseSpan(untimed, 'b')).toThrow(/give endNs/);
  expect(phaseSpan(untimed, 'b', 12_000)).toEqual({ startNs: 3000, endNs: 12_000 });
  const csv = await openTrace(encodeCsv(EVENTS), { name: 'x.csv', ramBytes: 2 ** 20 });
  expect(() => phaseSpan(csv, 'boot')).toThrow(/x.csv does not have; it has no phases/);
});
