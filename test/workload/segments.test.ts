import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SegmentOptions } from '../../src/workload/recording.ts';
import {
  chunked,
  chunkSizes,
  collect,
  encodeBinary,
  encodeCpuLog,
  encodeCsv,
  eventList,
  itemsOf,
  recordingOf,
  windowList,
  windowSize,
  type Event,
  type Item,
  type Window,
} from './encode.ts';

/** The contract of `segments` (seed 0), on plain arrays. */
function oracle(events: Event[], windows: Window[], { fromNs = 0, toNs = Infinity }: SegmentOptions): Item[] {
  let us = 0;
  const cpu = windows.flatMap((window): (Item & { kind: 'cpu' })[] => {
    const startNs = us * 1000;
    us += window.us;
    if (window.us === 0 && window.runs.length === 0) return [];
    const endNs = window.us === 0 ? startNs + 1 : us * 1000;
    if (endNs <= fromNs || startNs >= toNs) return [];
    const runs = window.runs.flat();
    return [{ kind: 'cpu', startNs: Math.max(startNs, fromNs), endNs: Math.min(endNs, toNs), runs }];
  });
  const dma = itemsOf(events).filter((e) => e.kind === 'dma' && e.timeNs >= fromNs && e.timeNs < toNs);
  // The sort is stable: at equal times windows come before events, and each kind keeps its order.
  return [...cpu, ...dma].sort((a, b) => timeOf(a) - timeOf(b));
}

function timeOf(item: Item): number {
  return item.kind === 'cpu' ? item.startNs : item.timeNs;
}

/** Moments that lie near those of the recording. */
function moments(events: Event[], windows: Window[]): number[] {
  let us = 0;
  const ends = windows.map((window) => (us += window.us));
  return [0, ...events.map((e) => e.us), ...ends].flatMap((at) => [
    at * 1000,
    at * 1000 + 1,
    Math.max(0, at * 1000 - 1),
  ]);
}

const parts = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.boolean()), { minLength: 1, maxLength: 5 });
const file = fc.record({ sizes: chunkSizes, window: windowSize, csv: fc.boolean() });

test('events and CPU windows come in time order, clipped to the part that was asked for, any part after any other', async () => {
  await fc.assert(
    fc.asyncProperty(eventList, windowList, parts, file, async (events, windows, parts, { sizes, window, csv }) => {
      const trace = chunked(csv ? encodeCsv(events) : encodeBinary(events), sizes);
      const cpuLog = chunked(encodeCpuLog(windows), sizes);
      const recording = recordingOf({ trace, cpuLog, format: csv ? 'csv' : 'binary' }, window);
      const times = moments(events, windows);
      const asked = parts.map(([a, b, open]): SegmentOptions => {
        const [fromNs, toNs] = [times[a % times.length], times[b % times.length]].sort((x, y) => x - y);
        return open ? { fromNs } : { fromNs, toNs };
      });
      const got: Item[][] = [];
      for (const options of asked) got.push(await collect(recording, options));
      expect(got).toEqual(asked.map((options) => oracle(events, windows, options)));
    }),
    { seed: 30, numRuns: 400 },
  );
});

test('a batch does not reach past the start of the next CPU window', async () => {
  await fc.assert(
    fc.asyncProperty(eventList, windowList, async (events, windows) => {
      const recording = recordingOf({ trace: encodeBinary(events), cpuLog: encodeCpuLog(windows) });
      let lastWindow = 0;
      let ordered = true;
      let newest = 0;
      for await (const segment of recording.segments()) {
        if (segment.kind === 'cpu') {
          ordered &&= segment.startNs >= lastWindow && (newest < segment.startNs || newest === 0);
          lastWindow = segment.startNs;
        } else {
          ordered &&= segment.timeNs[0] >= lastWindow;
          newest = segment.timeNs[segment.count - 1];
        }
      }
      expect(ordered).toBe(true);
    }),
    { seed: 31, numRuns: 100 },
  );
});

test('two readings of one recording at once do not disturb each other', async () => {
  const events = Array.from({ length: 30000 }, (_, i) => ({ us: i, device: i % 4, op: 0, address: i * 3, length: 2 }));
  const recording = recordingOf({ trace: encodeBinary(events) });
  const [all, part] = await Promise.all([collect(recording), collect(recording, { fromNs: 9_000_000 })]);
  expect(all).toEqual(itemsOf(events));
  expect(part).toEqual(itemsOf(events.slice(9000)));
});

test('a CPU window that part of the recording cuts is clipped, an empty one of length 0 left out, one with pages 1 ns long', async () => {
  const windows: Window[] = [
    { us: 10, runs: [[1, 2]] },
    { us: 0, runs: [] },
    { us: 0, runs: [[7, 1]] },
    { us: 5, runs: [] },
  ];
  const recording = recordingOf({ trace: new Uint8Array(0), cpuLog: encodeCpuLog(windows) });
  expect(await collect(recording)).toEqual([
    { kind: 'cpu', startNs: 0, endNs: 10000, runs: [1, 2] },
    { kind: 'cpu', startNs: 10000, endNs: 10001, runs: [7, 1] },
    { kind: 'cpu', startNs: 10000, endNs: 15000, runs: [] },
  ]);
  expect(await collect(recording, { fromNs: 4000, toNs: 10000 })).toEqual([
    { kind: 'cpu', startNs: 4000, endNs: 10000, runs: [1, 2] },
  ]);
});

test('options out of range are refused at once, with the value and what would be right', () => {
  const recording = recordingOf({ trace: new Uint8Array(0) });
  const refused =
    (options: SegmentOptions): (() => unknown) =>
    () =>
      recording.segments(options);
  expect(refused({ fromNs: -1 })).toThrow(/fromNs is -1; it must be a whole number/);
  expect(refused({ fromNs: 0.5 })).toThrow(RangeError);
  expect(refused({ fromNs: 5, toNs: 4 })).toThrow(/toNs is 4; it must be .* at least fromNs \(5\)/);
  expect(refused({ seed: 2 ** 32 })).toThrow(/seed is 4294967296; it must be a whole number from 0 to 2\^32 - 1/);
  expect(refused({ fromNs: 5, toNs: Infinity, seed: 2 ** 32 - 1 })).not.toThrow();
});
