import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CompareResult } from '../../src/compare/result.ts';
import { toJson } from '../../src/report/json.ts';
import { DEFAULT_ROWS, RESIZE, migrationResult, migrationRow, windowsResult, windowsRow } from './sample.ts';

/** The same value with the keys of every object in an order drawn from `order`, and one more key in each. */
function disturbed(value: unknown, order: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => disturbed(item, order));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, field]) => ({ key, field: disturbed(field, order), rank: order() }));
  entries.sort((a, b) => a.rank - b.rank);
  return Object.fromEntries([['foreign', 1], ...entries.map(({ key, field }) => [key, field])]);
}

describe('toJson', () => {
  test('has the keys in the order of the contract', () => {
    const parsed = JSON.parse(toJson(migrationResult([migrationRow()]))) as Record<string, object>;
    expect(Object.keys(parsed)).toEqual(['schema', 'input', 'options', 'results']);
    expect(Object.keys(parsed.input).join()).toBe('name,events,writeEvents,bytesWritten,pagesWritten,ramBytes');
    expect(Object.keys(parsed.options).join()).toBe(
      'mode,trackers,leaf,qemu,deviceState,pageSize,ramBytes,loop,linkBitsPerSecond,downtimeLimitNs,startNs,phase,repeatPhase,capNs,' +
        'windowNs,seed,cpuLog,setup,iotlb,cost',
    );
    const [row] = parsed.results as unknown as Record<string, object>[];
    expect(Object.keys(row).join()).toBe(
      'tracker,claims,leaf,missedPages,stalePages,overReportedPages,truePages,reportedPages,extraBytesSent,mappedBytes,' +
        'resize,rounds,totalBytes,totalTimeNs,downtimeNs,converged,reason,why,deviceState,iotlb,modelled',
    );
    expect(Object.keys((row.rounds as object[])[0]).join()).toBe('index,pages,bytes,durationNs,dirtiedPages');
    expect(Object.keys(row.modelled).join()).toBe('queryNs,flushNs,iotlbMissNs,dmaStallNs');
  });

  test('has windows where a migration has rounds', () => {
    const parsed = JSON.parse(toJson(windowsResult([windowsRow()])));
    expect(Object.keys(parsed.results[0]).slice(-4).join()).toBe('resize,windows,iotlb,modelled');
    expect(Object.keys(parsed.results[0].windows).join()).toBe('count,reportedBytes,trueBytes,ratio');
  });

  test('has what resizing came to in the order of the contract', () => {
    const shuffled = Object.fromEntries(Object.entries(RESIZE).reverse()) as unknown as typeof RESIZE;
    const { resize } = JSON.parse(toJson(migrationResult([migrationRow({ resize: shuffled })]))).results[0];
    expect(Object.keys(resize).join()).toBe('update,split,merge,fault,splitting,merging');
    expect(Object.keys(resize.merging).join()).toBe(
      'leaves,windows,windowNs,faults,lostBytes,stalls,stalledNs,deepestQueue,flushes,durationNs',
    );
  });

  test('loses nothing', () => {
    const migration = migrationResult([...DEFAULT_ROWS, migrationRow({ resize: RESIZE })]);
    const windows = windowsResult([windowsRow({ windows: { count: 1, reportedBytes: 0, trueBytes: 0, ratio: null } })]);
    expect(JSON.parse(toJson(migration))).toEqual(migration);
    expect(JSON.parse(toJson(windows))).toEqual(windows);
  });

  test('is indented by two spaces and ends with one newline', () => {
    const text = toJson(migrationResult([migrationRow()]));
    expect(text.startsWith('{\n  "schema": "wasm-iommu/compare@1",\n  "input": {\n    "name": ')).toBe(true);
    expect(text.endsWith('}\n')).toBe(true);
    expect(text.endsWith('\n\n')).toBe(false);
  });

  test('gives the same bytes for any order of keys, and no foreign key', () => {
    for (const result of [migrationResult(DEFAULT_ROWS), windowsResult([windowsRow(), windowsRow()])]) {
      const expected = toJson(result);
      fc.assert(
        fc.property(fc.infiniteStream(fc.nat(1_000)), (ranks) => {
          const shuffled = disturbed(result, () => ranks.next().value as number);
          return toJson(shuffled as CompareResult) === expected;
        }),
        { seed: 2, numRuns: 50 },
      );
    }
  });

  test.each([2 ** 53, -1, 0.5, NaN, Infinity])('refuses %d as bytes and names the path', (totalBytes) => {
    const result = migrationResult([migrationRow(), migrationRow({ totalBytes })]);
    expect(() => toJson(result)).toThrow(
      `results[1].totalBytes is ${totalBytes}; it must be an integer from 0 to 2^53 - 1`,
    );
  });

  test('refuses a bad number inside a round', () => {
    const [first, second] = migrationRow().rounds;
    const result = migrationResult([migrationRow({ rounds: [first, { ...second, durationNs: 1.5 }] })]);
    expect(() => toJson(result)).toThrow('results[0].rounds[1].durationNs is 1.5');
  });

  test('lets a ratio and a cost have a fraction, and nothing else than a finite number', () => {
    const row = windowsRow({ windows: { count: 1, reportedBytes: 3, trueBytes: 2, ratio: 1.5 } });
    expect(toJson(windowsResult([row]))).toContain('"ratio": 1.5');
    expect(toJson(windowsResult([row]))).toContain('"value": 3.2');
    const infinite = windowsRow({ windows: { count: 1, reportedBytes: 3, trueBytes: 0, ratio: Infinity } });
    expect(() => toJson(windowsResult([infinite]))).toThrow('results[0].windows.ratio is Infinity');
    const cost = [{ name: 'a', value: NaN, unit: 'ns', source: 'assumed' }];
    expect(() => toJson(windowsResult([row], { cost }))).toThrow('options.cost[0].value is NaN');
  });

  test('names a field that is missing', () => {
    const row = migrationRow({ why: undefined as never });
    expect(() => toJson(migrationResult([row]))).toThrow('results[0].why is missing');
    const holed = migrationResult([migrationRow()], { trackers: [undefined as never] });
    expect(() => toJson(holed)).toThrow('options.trackers[0] is missing');
  });

  test('refuses rows of the other mode', () => {
    expect(() => toJson(migrationResult([windowsRow() as never]))).toThrow('results[0] has no "rounds"');
    expect(() => toJson(windowsResult([windowsRow(), migrationRow() as never]))).toThrow('results[1] has no "windows"');
    expect(() => toJson(migrationResult([], { mode: 'other' as never }))).toThrow('options.mode is "other"');
  });
});
