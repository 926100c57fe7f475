import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  chunked,
  chunkSizes,
  collect,
  encodeBinary,
  encodeCsv,
  eventList,
  gzipped,
  itemsOf,
  recordingOf,
  windowSize,
} from './encode.ts';

const options = fc.record({ gzip: fc.boolean(), sizes: chunkSizes, window: windowSize });

test('binary: what was written is read, however it is cut into chunks, gzipped or not', async () => {
  await fc.assert(
    fc.asyncProperty(eventList, options, async (events, { gzip, sizes, window }) => {
      const bytes = encodeBinary(events);
      const trace = chunked(gzip ? gzipped(bytes) : bytes, sizes);
      const recording = recordingOf({ trace, events: events.length }, window);
      expect([await collect(recording), await collect(recording)]).toEqual([itemsOf(events), itemsOf(events)]);
    }),
    { seed: 20, numRuns: 250 },
  );
});

test('CSV: what was written is read, however it is cut into chunks, gzipped or not', async () => {
  await fc.assert(
    fc.asyncProperty(eventList, options, async (events, { gzip, sizes, window }) => {
      const bytes = encodeCsv(events);
      const trace = chunked(gzip ? gzipped(bytes) : bytes, sizes);
      const recording = recordingOf({ trace, format: 'csv', events: events.length }, window);
      expect([await collect(recording), await collect(recording)]).toEqual([itemsOf(events), itemsOf(events)]);
    }),
    { seed: 21, numRuns: 250 },
  );
});

test('more events than a batch holds come in full batches', async () => {
  const events = Array.from({ length: 20000 }, (_, i) => ({
    us: i >> 2,
    device: i % 4,
    op: i % 5,
    address: i,
    length: 9,
  }));
  const counts: number[] = [];
  const recording = recordingOf({ trace: encodeBinary(events) });
  for await (const segment of recording.segments()) if (segment.kind === 'dma') counts.push(segment.count);
  expect(counts).toEqual([8192, 8192, 20000 - 2 * 8192]);
  expect(await collect(recording)).toEqual(itemsOf(events));
});

test('CSV: devices are numbered as they appear, after those of a meta file', async () => {
  const csv = '5,b,w,0,4\n5,a,r,0x1F,1\n6,17,read,4,4\n6,b,write,0X2c,4\n7,z,wzero,1,1';
  const recording = recordingOf({ trace: new TextEncoder().encode(csv), format: 'csv', devices: ['z'] });
  expect(recording.devices).toEqual(['z']);
  expect(await collect(recording)).toEqual(
    itemsOf([
      { us: 5, device: 1, op: 0, address: 0, length: 4 },
      { us: 5, device: 2, op: 3, address: 31, length: 1 },
      { us: 6, device: 3, op: 3, address: 4, length: 4 },
      { us: 6, device: 1, op: 0, address: 44, length: 4 },
      { us: 7, device: 0, op: 2, address: 1, length: 1 },
    ]),
  );
  expect(recording.devices).toEqual(['z', 'b', 'a', '17']);
});

test('CSV: a thousand devices keep their names and numbers', async () => {
  const names = Array.from({ length: 1000 }, (_, i) => `device ${i}`);
  const csv = [...names, ...names].map((name) => `1,${name},w,0,1`).join('\n');
  const recording = recordingOf({ trace: new TextEncoder().encode(csv), format: 'csv', devices: [] });
  const items = await collect(recording);
  expect(items.map((item) => item.kind === 'dma' && item.device)).toEqual([...names.keys(), ...names.keys()]);
  expect(recording.devices).toEqual(names);
});

test('CSV: a byte order mark, a spaced header and a file without events are all right', async () => {
  const encoder = new TextEncoder();
  const marked = recordingOf({ trace: encoder.encode('\ufeffT_us, dev, op, gpa, len\n1,a,w,2,3'), format: 'csv' });
  const one = [{ us: 1, device: 4, op: 0, address: 2, length: 3 }];
  expect(await collect(marked)).toEqual(itemsOf(one));
  const bare = recordingOf({ trace: encoder.encode('\ufeff1,a,w,2,3'), format: 'csv' });
  expect(await collect(bare)).toEqual(itemsOf(one));
  for (const text of ['', '\n', '# nothing', 't_us,dev,op,gpa,len']) {
    expect(await collect(recordingOf({ trace: encoder.encode(text), format: 'csv' }))).toEqual([]);
  }
});
