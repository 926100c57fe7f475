import { describe, expect, test } from 'vitest';
import type { MigrationRow, ResizeResult, ResizeWork } from '../../src/compare/result.ts';
import { conclusion } from '../../src/report/conclusion.ts';
import { toTable } from '../../src/report/table.ts';
import { migrationResult, migrationRow, RESIZE, RESIZE_WORK, windowsResult, windowsRow } from './sample.ts';

const COST = [{ name: 'invalidation', value: 1e7, unit: 'ns/command', source: 'assumed' }];
const LENGTH =
  'How long a leaf lies broken is modelled, not measured: what one completed invalidation takes in the cost model ' +
  '(invalidation is 10,000,000 ns/command, assumed).';

const UNTOUCHED: ResizeWork = { ...RESIZE_WORK, faults: 0, lostBytes: 0 };
const UNBROKEN: ResizeWork = { ...UNTOUCHED, windows: 0, windowNs: 0 };

function row(tracker: string, resize: Partial<ResizeResult>): MigrationRow {
  return migrationRow({ tracker, leaf: '2M', resize: { ...RESIZE, ...resize } });
}

const BBM = row('iommu:armv8-s1+split=eager+merge', {});
const SHORT = row('iommu:armv8-s2+split=eager', { splitting: UNTOUCHED, merging: null, merge: false });
const NT = row('iommu:armv8-s1+nt+split=eager', { update: 'nt', splitting: UNBROKEN, merging: null, merge: false });

/** The sentences behind the verdict. */
function said(rows: readonly MigrationRow[]): string[] {
  return conclusion(migrationResult(rows, { cost: COST })).slice(1);
}

describe('what is said of resizing', () => {
  test('how many windows there were, how long, and what met them', () => {
    expect(said([BBM, SHORT, NT])).toEqual([
      'iommu:armv8-s1+split=eager+merge at 2M: splitting left leaves broken in 64 windows of 10 ms, in which 48 DMA events ' +
        'faulted and 2.74 MiB of writes were lost; the merge afterwards left leaves broken in 1 window of 10 ms, in which ' +
        '1 DMA event faulted and no write was among them.',
      'No DMA met a broken leaf with iommu:armv8-s2+split=eager at 2M: the windows are short, and that is chance.',
      LENGTH,
      'No leaf is ever broken with iommu:armv8-s1+nt+split=eager at 2M, so no DMA can fault.',
    ]);
  });

  test('that stalled DMA landed', () => {
    const work = { ...UNTOUCHED, windows: 1, windowNs: 5e6, stalls: 47, stalledNs: 181e6, deepestQueue: 40 };
    expect(
      said([row('iommu:armv8-s1+split=lazy+fault=stall', { fault: 'stall', splitting: work, merging: null })]),
    ).toEqual([
      'iommu:armv8-s1+split=lazy+fault=stall at 2M: splitting left leaves broken in 1 window of 5 ms, in which 47 DMA events ' +
        'waited, up to 40 at once and 181 ms altogether, and landed then.',
      LENGTH,
    ]);
  });

  test('which part met none where the other did', () => {
    const [sentence] = said([row('iommu:amdv1+bbm+split=lazy+merge', { splitting: { ...UNTOUCHED, windows: 2 } })]);
    expect(sentence).toContain(
      'splitting left leaves broken in 2 windows of 320 ms, which no DMA met; the merge afterwards ',
    );
  });

  test('of windows with lazy splits too, and nothing where no leaf is split or broken', () => {
    const lazy = windowsRow({ tracker: BBM.tracker, leaf: '2M', resize: RESIZE });
    expect(conclusion(windowsResult([lazy], { cost: COST })).some((text) => text === LENGTH)).toBe(true);
    expect(said([migrationRow(), migrationRow({ tracker: 'iommu:amdv1', leaf: '4K' })])).toEqual([]);
    expect(said([row('iommu:armv8-s1+split=lazy', { splitting: UNBROKEN, merging: null })])).toEqual([]);
  });

  test('why a row over-reports although its leaves are split', () => {
    const over = { overReportedPages: 2_048, reportedPages: 4_000, extraBytesSent: 2 ** 23 };
    const clause =
      'until its leaf is split a written byte still marks all of it, which made iommu:amdv1+split=lazy at 2M report 2.00 times ' +
      'the pages really written and send 8 MiB for pages that nothing had written.';
    const lazy = migrationRow({ ...over, tracker: 'iommu:amdv1+split=lazy', leaf: '2M', resize: NT.resize });
    expect(said([lazy])[0]).toBe(`U${clause.slice(1)}`);
    const coarse = migrationRow({ ...over, tracker: 'iommu:amdv1', leaf: '2M' });
    expect(said([coarse, lazy])[0]).toContain(`which made iommu:amdv1 report 2.00 times`);
    expect(said([coarse, lazy])[0].endsWith(`; ${clause}`)).toBe(true);
  });
});

describe('the columns of resizing', () => {
  const cells = (text: string, tracker: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${tracker} `))
      .at(0)!
      .split(/ +/);

  test('sum up splitting and merging, and are there only where some row resizes', () => {
    const text = toTable(migrationResult([BBM, NT, migrationRow()], { cost: COST }), { width: 400 });
    expect(cells(text, BBM.tracker).slice(-5)).toEqual(['64', '1,024', '65', '49', '2,804.0']);
    expect(cells(text, NT.tracker).slice(-5)).toEqual(['64', '-', '0', '0', '0.0']);
    expect(cells(text, 'device').slice(-5)).toEqual(['-', '-', '-', '-', '-']);
    expect(text).toMatch(/^met one: /m);
    expect(toTable(migrationResult([migrationRow()]))).not.toMatch(/broken|met one/);
    const windows = toTable(windowsResult([windowsRow({ resize: RESIZE })]), { width: 400 });
    expect(cells(windows, 'device').slice(-5)).toEqual(['64', '1,024', '65', '49', '2,804.0']);
  });

  test('count stalls among what met a window', () => {
    const stalls = { ...RESIZE_WORK, faults: 0, lostBytes: 0, stalls: 7 };
    const text = toTable(migrationResult([row('iommu:a', { splitting: stalls, merging: null })]), { width: 400 });
    expect(cells(text, 'iommu:a').slice(-2)).toEqual(['7', '0.0']);
  });
});
