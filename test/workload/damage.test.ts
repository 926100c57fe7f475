import { expect, test } from 'vitest';
import type { RecordUnit } from '../../src/workload/trace-error.ts';
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
  varint,
  zigzag,
  type Event,
  type Files,
  type Item,
} from './encode.ts';

const GOOD: Event[] = [
  { us: 3, device: 0, op: 0, address: 4096, length: 512 },
  { us: 3, device: 1, op: 4, address: 70000, length: 16 },
  { us: 900, device: 0, op: 2, address: 5000, length: 300 },
];
const GOOD_BYTES = encodeBinary(GOOD);
const RAM = 2 ** 20;

async function failure(files: Files, windowBytes?: number): Promise<TraceError> {
  const result = await collect(recordingOf({ ramBytes: RAM, ...files }, windowBytes)).catch((error: unknown) => error);
  if (result instanceof TraceError) return result;
  throw new Error(`no TraceError but ${String(result)}`);
}

/** Asserts place and reason, for a file in memory and for one that is read through a window. */
async function expectFault(files: Files, place: [RecordUnit, number, number], reason: RegExp): Promise<void> {
  for (const windowBytes of [undefined, 128]) {
    const error = await failure(files, windowBytes);
    expect([error.unit, error.record, error.byteOffset]).toEqual(place);
    expect(error.message).toMatch(reason);
    expect(error.message).toContain(`${error.source}: ${place[0]} ${place[1]} at byte ${place[2]}: `);
  }
}

function binary(...record: number[]): Files {
  return { trace: Uint8Array.from([...GOOD_BYTES, ...record]) };
}

const AFTER: [RecordUnit, number, number] = ['event', GOOD.length, GOOD_BYTES.length];

test('binary: an event that the file cuts off', async () => {
  const next = encodeBinary([{ us: 300, device: 2, op: 0, address: 90000, length: 200 }]);
  for (let kept = 1; kept < next.length; kept++) {
    await expectFault(binary(...next.subarray(0, kept)), AFTER, /ends in the middle of this event/);
  }
  expect((await collect(recordingOf(binary(...next)))).length).toBe(4);
});

test('binary: a varint longer than 8 bytes, or not below 2^53, in each of the four places', async () => {
  const long = [128, 128, 128, 128, 128, 128, 128, 128, 0];
  const large = [...varint(2 ** 53)];
  expect(large.length).toBe(8);
  for (let place = 0; place < 4; place++) {
    for (const bad of [long, large]) {
      const record = [[1], [0], [0], [0]].map((good, i) => (i === place ? bad : good));
      await expectFault(binary(...record.flat()), AFTER, /a varint is longer than 8 bytes or not below 2\^53/);
    }
  }
});

test('binary: eight bytes of one varint, padded ones too, are read', async () => {
  const padded = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
  const items = await collect(
    recordingOf(binary(...padded, 0x88, ...padded.slice(1), 0x82, ...padded.slice(1), ...padded)),
  );
  expect(items[3]).toEqual({ kind: 'dma', timeNs: 901000, device: 1, op: 0, address: 70017, length: 1 });
});

test('binary: an op or a device that does not exist', async () => {
  for (const op of [5, 6, 7])
    await expectFault(binary(0, op, 0, 0), AFTER, new RegExp(`op ${op} is not one of 0 to 4`));
  await expectFault(binary(0, 4 * 8, 0, 0), AFTER, /device 4 is not one of the meta file's devices 0 to 3/);
  const far = varint((2 ** 32 + 1) * 8);
  await expectFault(binary(0, ...far, 0, 0), AFTER, /device 4294967297 is not one of/);
});

test('binary: an access outside RAM', async () => {
  const end = 5300;
  await expectFault(binary(0, 0, ...varint(zigzag(-end - 1)), 1), AFTER, /1 bytes at -0x1 does not lie in RAM/);
  await expectFault(binary(0, 0, ...varint(zigzag(RAM - end)), 1), AFTER, /1 bytes at 0x100000 does not lie in RAM/);
  await expectFault(binary(0, 0, 0, ...varint(RAM - end + 1)), AFTER, /RAM, which is \[0, 0x100000\)/);
  await expectFault(binary(0, 0, ...varint(2 ** 53 - 1), 0), AFTER, /at -0x.* does not lie in RAM/);
  const atEnd = [...varint(zigzag(RAM - end)), 0];
  expect((await collect(recordingOf({ ramBytes: RAM, ...binary(0, 0, ...atEnd) }))).length).toBe(4);
});

test('binary: a time of 2^53 ns or more', async () => {
  const lastUs = Math.floor(Number.MAX_SAFE_INTEGER / 1000);
  await expectFault(binary(...varint(lastUs - 900 + 1), 0, 0, 0), AFTER, /time passes 2\^53 ns/);
  expect((await collect(recordingOf(binary(...varint(lastUs - 900), 0, 0, 0)))).length).toBe(4);
});

test('records of the greatest length are read through a window of any size', async () => {
  const padded = (value: number): number[] => [value + 128, 128, 128, 128, 128, 128, 128, 0];
  const event = [1, 8, 2, 3].flatMap(padded);
  const trace = Uint8Array.from(new Array<number[]>(50).fill(event).flat());
  const pages = [3, 2, 1, 4, 2, 5].flatMap(padded);
  const cpuLog = Uint8Array.from(new Array<number[]>(50).fill(pages).flat());
  const events = Array.from({ length: 50 }, (_, i) => ({ us: i + 1, device: 1, op: 0, address: i * 4 + 1, length: 3 }));
  const windows = Array.from({ length: 50 }, (_, i) => {
    return { kind: 'cpu', startNs: i * 3000, endNs: i * 3000 + 3000, runs: [1, 4, 7, 5] };
  });
  for (let windowBytes = 128; windowBytes < 180; windowBytes++) {
    const items = await collect(recordingOf({ trace, cpuLog }, windowBytes));
    expect(items.filter((item) => item.kind === 'dma')).toEqual(itemsOf(events));
    expect(items.filter((item) => item.kind === 'cpu')).toEqual(windows);
  }
});

test('a fault behind a part that was read before has the same record and offset', async () => {
  const csv = encodeCsv(GOOD);
  const files: [Files, [RecordUnit, number, number]][] = [
    [binary(0, 5, 0, 0), AFTER],
    [{ trace: Uint8Array.from([...csv, 33]), format: 'csv' }, ['line', 7, csv.length]],
    [{ trace: GOOD_BYTES, cpuLog: Uint8Array.of(1, 0, 200, 1, 0, 5) }, ['window', 2, 5]],
  ];
  for (const [damaged, place] of files) {
    const recording = recordingOf(damaged);
    await collect(recording, { fromNs: 3000, toNs: 4000 });
    const error: unknown = await collect(recording, { fromNs: 3000 }).catch((e: unknown) => e);
    const { unit, record, byteOffset } = error as TraceError;
    expect([unit, record, byteOffset]).toEqual(place);
  }
});

test('a trace with fewer or more events than its meta file says', async () => {
  for (const events of [2, 4]) {
    const reason = new RegExp(`ends after 3 events, but its meta file says ${events}`);
    await expectFault({ trace: GOOD_BYTES, events }, AFTER, reason);
  }
  const part = recordingOf({ trace: GOOD_BYTES, events: 4 });
  expect((await collect(part, { toNs: 900_000 })).length).toBe(2);
  await expect(collect(part, { toNs: 900_001 })).rejects.toThrow(TraceError);
  await expect(collect(part, { fromNs: 900_000 })).rejects.toThrow(TraceError);
});

test('CSV: each wrong field is named with its text, and lines count from 1', async () => {
  const head = '# by hand\nt_us,dev,op,gpa,len\r\n1,a,w,0x10,4\n';
  const cases: [string, RegExp][] = [
    ['1,a,w,0', /4 columns instead of the 5 columns t_us,dev,op,gpa,len/],
    ['1,a,w,0,1,2', /6 columns instead/],
    ['1', /1 columns instead/],
    ['1,a', /2 columns/],
    ['1,a,w', /3 columns/],
    ['x,a,w,0,1', /t_us is "x"; it must be a whole number/],
    ['-1,a,w,0,1', /t_us is "-1"; it must be/],
    ['1.5,a,w,0,1', /t_us is "1.5"/],
    [',a,w,0,1', /t_us is ""/],
    ['1,,w,0,1', /dev is ""/],
    ['1,a\u0001,w,0,1', /dev is/],
    ['1,a,W,0,1', /op is "W"; it must be one of wblob, wfield, wzero, rblob, rfield, w, write, r, read/],
    ['1,a,,0,1', /op is ""/],
    ['1,a,writ,0,1', /op is "writ"/],
    ['1,a,w,0x,1', /gpa is "0x"; it must be a whole number below 2\^53, decimal or with 0x/],
    ['1,a,w,1f,1', /gpa is "1f"/],
    ['1,a,w,9007199254740992,1', /gpa is "9007199254740992"/],
    ['1,a,w,0x20000000000000,1', /gpa is/],
    ['1,a,w,0,', /len is ""; it must be a whole number of bytes/],
    ['1,a,w,0,0x4', /len is "0x4"/],
    ['1,a,w,0,4 4', /len is "4 4"/],
    ['1,a,w,1048576,1', /1 bytes at 0x100000 does not lie in RAM, which is \[0, 0x100000\)/],
    ['1,a,w,9007199254740991,9007199254740991', /does not lie in RAM/],
    ['0,a,w,0,1', /the time goes backwards, from 1 to 0 us/],
    ['9007199254741,a,w,0,1', /time passes 2\^53 ns/],
    ['t_us,dev,op,gpa,len', /t_us is "t_us"/],
    ['"1",a,w,0,1', /t_us is/],
  ];
  for (const [line, reason] of cases) {
    for (const rest of ['', '\n', '\r\n', '\n5,5,w,5,5\n']) {
      const trace = new TextEncoder().encode(head + line + rest);
      await expectFault({ trace, format: 'csv' }, ['line', 4, head.length], reason);
    }
  }
});

test('CSV: foreign bytes and lines without end', async () => {
  const foreign = Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0]);
  await expectFault({ trace: foreign, format: 'csv' }, ['line', 1, 0], /1 columns instead/);
  const name = Uint8Array.from([0x31, 0x2c, 0xff, 0xfe, 0x2c, 0x77, 0x2c, 0x30, 0x2c, 0x30]);
  await expectFault({ trace: name, format: 'csv' }, ['line', 1, 0], /dev is .* in UTF-8/);
  const endless = { trace: chunked(new Uint8Array(70000).fill(35), [1000]), format: 'csv' } as const;
  for (const windowBytes of [undefined, 128, 100_000]) {
    const error = await failure(endless, windowBytes);
    expect([error.record, error.byteOffset]).toEqual([1, 0]);
    expect(error.message).toMatch(/line is longer than 65536 bytes/);
  }
});

test('CSV: more devices than the events can number', async () => {
  const lines = Array.from({ length: 2 ** 16 + 1 }, (_, i) => `1,d${i},w,0,1`).join('\n');
  const trace = new TextEncoder().encode(lines);
  const error = await failure({ trace, format: 'csv', devices: [] });
  expect([error.record, error.byteOffset]).toEqual([2 ** 16 + 1, lines.lastIndexOf('\n') + 1]);
  expect(error.message).toMatch(/dev is "d65536"; it must be the name of one of at most 65536 devices/);
});

test('CPU log: cut off, outside RAM, too long a varint, past 2^53 ns', async () => {
  const good = encodeCpuLog([{ us: 100, runs: [[3, 4], [10, 1]] }]); // prettier-ignore
  const log = (...bytes: number[]): Files => ({ trace: GOOD_BYTES, cpuLog: Uint8Array.from([...good, ...bytes]) });
  const after: [RecordUnit, number, number] = ['window', 1, good.length];
  for (const cut of [[5], [5, 1], [5, 1, 3], [0x85], [5, 0x81], [5, 1, 3, 0x81]]) {
    await expectFault(log(...cut), after, /cpu-log: .*ends in the middle of this window/);
  }
  await expectFault(log(5, 1, ...varint(255), 2), after, /a run of 2 pages at page 255 .* RAM, which has 256 pages/);
  await expectFault(log(5, 2, 0, ...varint(256), 1, 0), after, /a run of 0 pages at page 257/);
  await expectFault(log(5, 1, 0, ...varint(2 ** 53 - 1)), after, /does not lie in RAM/);
  await expectFault(log(5, 1, 128, 128, 128, 128, 128, 128, 128, 128, 0, 1), after, /longer than 8 bytes/);
  await expectFault(log(...varint(2 ** 53 - 1), 0), after, /time passes 2\^53 ns/);
  const whole = await collect(recordingOf({ ramBytes: RAM, ...log(5, 2, ...varint(255), 1, 0, 0) }));
  expect(whole.find((item) => item.kind === 'cpu' && item.startNs === 100_000)).toMatchObject({ runs: [255, 1] });
});

test('gzip: truncated, wrong checksum or length, and anything after the end', async () => {
  const z = gzipped(GOOD_BYTES);
  const flipped = (at: number): Uint8Array => changed(z, at, 0x40);
  const joined = (...more: number[]): Uint8Array => Uint8Array.from([...z, ...more]);
  const damaged = [
    ...[1, 4, 8, 9, 12, z.length - 4].map((cut) => z.subarray(0, z.length - cut)),
    ...[8, 7, 6, 5, 4, 3, 2, 1].map((back) => flipped(z.length - back)),
    ...[[0], new Array<number>(100).fill(0), [1], [1, 2, 3, 4, 5, 6, 7, 8, 9], [...z], [0x1f, 0x8b, 8, 0]].map((more) =>
      joined(...more),
    ),
  ];
  for (const bytes of damaged) {
    for (const sizes of [[bytes.length], [z.length], [1]]) {
      for (const windowBytes of [undefined, 128]) {
        const error = await failure({ trace: chunked(bytes, sizes) }, windowBytes);
        expect(error.message).toMatch(/^trace: event \d+ at byte \d+: the gzip data are damaged or truncated: /);
      }
    }
  }
});

test('gzip: truncation is reported at the record that did not come out whole, in each kind of file', async () => {
  // Bytes that deflate stores as they are, so that the cut falls where it is put.
  const events = Array.from({ length: 300 }, (_, i): Event => {
    return {
      us: i * 131,
      device: (i * i) % 4,
      op: i % 5,
      address: (i * 7919 * 7919) % 1000000,
      length: (i * 37) % 5000,
    };
  });
  const windows = [{ us: 7, runs: Array.from({ length: 200 }, (_, i): [number, number] => [i * i, 1]) }];
  const csv = await failure({ trace: cut(encodeCsv(events)), format: 'csv' });
  const bin = await failure({ trace: cut(encodeBinary(events)) });
  const log = await failure({ trace: GOOD_BYTES, cpuLog: cut(encodeCpuLog(windows)), ramBytes: 2 ** 30 });
  for (const error of [csv, bin, log]) expect(error.message).toMatch(/gzip data are damaged or truncated/);
  expect(bin.record).toBeGreaterThan(0);
  expect(bin.byteOffset).toBe(encodeBinary(events.slice(0, bin.record!)).length);
  expect(csv.record).toBeGreaterThan(1);
  expect([log.unit, log.record, log.byteOffset]).toEqual(['window', 0, 0]);
});

function changed(bytes: Uint8Array, at: number, bits: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] ^= bits;
  return copy;
}

function cut(bytes: Uint8Array): Uint8Array {
  const z = gzipped(bytes);
  return z.subarray(0, Math.floor(z.length * 0.7));
}

test('events before the damage are given out', async () => {
  const seen: Item[] = [];
  const recording = recordingOf({ ramBytes: RAM, ...binary(0, 5, 0, 0), cpuLog: encodeCpuLog([{ us: 500, runs: [] }, { us: 400, runs: [] }]) }); // prettier-ignore
  const reading = (async () => {
    for await (const segment of recording.segments()) {
      if (segment.kind === 'dma') seen.push(...Array.from(segment.address.subarray(0, segment.count), item));
    }
  })();
  await expect(reading).rejects.toThrow(TraceError);
  expect(seen).toEqual([4096, 70000].map(item));
});

function item(address: number): Item {
  return { kind: 'dma', timeNs: 0, device: 0, op: 0, address, length: 0 };
}

const SMALL: Event[] = Array.from({ length: 12 }, (_, i) => {
  return { us: i * i * 40, device: i % 4, op: i % 5, address: (i * 99991) % 900000, length: (i * 300) % 1500 };
});
const SMALL_LOG = encodeCpuLog(Array.from({ length: 4 }, (_, i) => ({ us: 900 * i, runs: [[i, 9], [130 + i, 2]] }))); // prettier-ignore

const FILES: [string, Uint8Array, (bytes: Uint8Array) => Files][] = [
  ['a binary trace', encodeBinary(SMALL), (trace) => ({ trace })],
  ['a gzipped binary trace', gzipped(encodeBinary(SMALL)), (trace) => ({ trace })],
  ['a CSV', encodeCsv(SMALL), (trace) => ({ trace, format: 'csv' })],
  ['a CPU log', SMALL_LOG, (cpuLog) => ({ trace: encodeBinary(SMALL), cpuLog })],
  ['a gzipped CPU log', gzipped(SMALL_LOG), (cpuLog) => ({ trace: encodeBinary(SMALL), cpuLog })],
];

/** What reading the damaged file ended with: its items, or the error. */
async function outcome(files: Files, windowBytes?: number): Promise<string> {
  try {
    return JSON.stringify(await collect(recordingOf({ ramBytes: RAM, ...files }, windowBytes)));
  } catch (error) {
    if (error instanceof TraceError) return error.message;
    throw error;
  }
}

test.each(FILES)(
  '%s with any byte changed ends well or with a TraceError, kept or streamed alike',
  async (_, good, files) => {
    for (let at = 0; at < good.length; at++) {
      for (const bits of [0x01, 0x80, 0xff]) {
        const bytes = changed(good, at, bits);
        const [kept, streamed] = [await outcome(files(bytes)), await outcome(files(bytes), 200)];
        expect(streamed).toBe(kept);
      }
    }
  },
);

test.each(FILES)(
  '%s cut off anywhere ends well or with a TraceError, kept or streamed alike',
  async (_, good, files) => {
    for (let length = 0; length < good.length; length++) {
      const bytes = good.slice(0, length);
      const [kept, streamed] = [await outcome(files(bytes)), await outcome(files(bytes), 200)];
      expect(streamed).toBe(kept);
    }
  },
);
