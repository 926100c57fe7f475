import { describe, expect, it } from 'vitest';
import { open } from '../../src/core/core.ts';
import { tableBytesFor, tablesFor } from '../../src/tracker/guest-tables.ts';
import { IovaLoggingTracker } from '../../src/tracker/iova-logging.ts';
import { logBytesFor, spansToLog } from '../../src/tracker/logged-spans.ts';
import { IDEAL_DEVICE, MLX5_DEVICE } from '../../src/vfio/device-profile.ts';
import { MappedSpans } from '../../src/workload/mapped-spans.ts';
import { MAP_OP, UNMAP_OP, type EventBatch } from '../../src/workload/recording.ts';

const PAGE = 4096;
const WRITES = 0;

type Event = readonly [device: number, op: number, iova: number, length: number, gpa?: number];

function batchOf(events: readonly Event[]): EventBatch {
  return {
    kind: 'dma',
    count: events.length,
    timeNs: Float64Array.from(events, (_, i) => i),
    device: Uint16Array.from(events, ([device]) => device),
    op: Uint8Array.from(events, (event) => event[1]),
    address: Float64Array.from(events, (event) => event[2]),
    length: Float64Array.from(events, (event) => event[3]),
    mapping: {
      gpa: Float64Array.from(events, (event) => event[4] ?? 0),
      access: new Uint8Array(events.length).fill(3),
    },
  };
}

describe('device logs by IOVA', () => {
  it('asks each device for each range, and once for every unmap; what that found stays for the next report', async () => {
    const core = await open({ memory: '4MiB' });
    const spans = [{ iova: 0x10000, length: 2 * PAGE }];
    const spaces = [spans, [...spans, { iova: 0x80000, length: PAGE }], []];
    const tracker = new IovaLoggingTracker({
      core,
      profile: IDEAL_DEVICE,
      ramBytes: 64 * PAGE,
      pageSize: PAGE,
      spaces,
    });
    const report = core.bitmap({ length: 64 * PAGE });
    const feed = (...events: Event[]) => tracker.feed(batchOf(events), 0, events.length);
    const read = () => {
      report.clear();
      tracker.report(report);
      return [...report.pageRuns()].map(({ page, pages }) => [page, pages]);
    };
    tracker.start();
    feed([0, MAP_OP, 0x10000, 2 * PAGE, 3 * PAGE], [0, WRITES, 0x10ff8, 16], [0, UNMAP_OP, 0x10000, PAGE]);
    feed([1, MAP_OP, 0x80000, PAGE, 9 * PAGE], [1, WRITES, 0x80000, 1], [2, WRITES, 0x10000, 1]);
    expect([tracker.work.reportCommands, tracker.mappedBytes]).toEqual([1, 5 * PAGE]);
    expect(read()).toEqual([
      [3, 2],
      [9, 1],
    ]);
    expect(tracker.work).toMatchObject({ queries: 1, reportCommands: 4, logEntriesRead: 3 });
    expect(read()).toEqual([]);
    tracker.start();
    expect(tracker.work.reportCommands).toBe(0);
    // The mappings went as well.
    feed([0, WRITES, 0x11000, 1]);
    expect(read()).toEqual([]);
    tracker.close();
    report.close();
  });

  it('ranges fit the device: whole log pages, and as many as it takes', () => {
    const spans = Array.from({ length: 20 }, (_, i) => ({ iova: 0x100000 * (i + 1) + PAGE, length: PAGE }));
    expect(spansToLog(IDEAL_DEVICE, PAGE, spans)).toEqual(spans);
    expect(spansToLog(IDEAL_DEVICE, 2 * PAGE, spans.slice(0, 1))).toEqual([{ iova: 0x100000, length: 2 * PAGE }]);
    const combined = spansToLog(MLX5_DEVICE, PAGE, spans);
    expect([combined.length, combined[0]]).toEqual([16, { iova: 0x101000, length: 0x400000 + PAGE }]);
    expect(spansToLog(MLX5_DEVICE, PAGE, [])).toEqual([]);
    expect(logBytesFor(IDEAL_DEVICE, PAGE, [[{ iova: 0, length: 2 ** 40 }]])).toBeGreaterThan(2 * 2 ** 25);
  });
});

describe('the IOVA space that is ever mapped', () => {
  it('is kept as spans that lie apart', () => {
    const spans = new MappedSpans();
    spans.add(0, 100, 10);
    spans.add(0, 50, 10);
    spans.add(0, 200, 10);
    spans.add(1, 0, 1);
    spans.add(0, 60, 40);
    spans.add(0, 205, 10);
    spans.add(0, 201, 1);
    const found = [
      { iova: 50, length: 60 },
      { iova: 200, length: 15 },
    ];
    expect([spans.of(0), spans.of(1), spans.of(2)]).toEqual([found, [{ iova: 0, length: 1 }], []]);
  });

  it.each([
    { spans: [], tables: 1 },
    { spans: [[0, PAGE]], tables: 4 },
    { spans: [[2 ** 21 - PAGE, 2 * PAGE]], tables: 5 },
    {
      spans: [
        [0, PAGE],
        [2 * PAGE, PAGE],
      ],
      tables: 4,
    },
    {
      spans: [
        [0, PAGE],
        [2 ** 30, PAGE],
        [2 ** 39, 2 ** 30],
      ],
      tables: 1 + 2 + 3 + 2 + 512,
    },
  ])('takes $tables tables', ({ spans, tables }) => {
    const all = spans.map(([iova, length]) => ({ iova, length }));
    expect(tablesFor(all)).toBe(tables);
    expect(tableBytesFor([all, all])).toBe(2 * tables * PAGE);
  });
});
