import { describe, expect, test } from 'vitest';
import { layOut, type Column } from '../../src/report/columns.ts';
import { toTable } from '../../src/report/table.ts';
import { wrap } from '../../src/report/wrap.ts';
import { coarseRow, DEFAULT_ROWS, INPUT, migrationResult, migrationRow, windowsResult, windowsRow } from './sample.ts';

/** The line of the table that begins with these cells. */
function rowOf(table: string, tracker: string, leaf: string): string {
  const found = table.split('\n').filter((line) => new RegExp(`^${tracker} +${leaf} `).test(line));
  expect(found).toHaveLength(1);
  return found[0];
}

function cells(line: string): string[] {
  return line.split(/ {2,}/);
}

function longest(table: string): number {
  return Math.max(...table.split('\n').map((line) => line.length));
}

const MIGRATION = toTable(migrationResult(DEFAULT_ROWS));

describe('toTable, migration', () => {
  test('the heading says the input and what was done with it', () => {
    const heading = MIGRATION.slice(0, MIGRATION.indexOf('\n\n')).replaceAll(/\s+/g, ' ');
    expect(heading).toContain(
      'v86-debian.dma.bin.gz: 128 MiB RAM, 833,425 DMA events, of which 186,974 write 756 MiB to 7,649 distinct pages',
    );
    expect(heading).toContain('classic rounds, from phase odirect-loop-3s (at 78 s), repeated until the verdict');
    expect(heading).toContain('link 1 Gbit/s; downtime limit 40 ms; cap 60 s;');
    expect(heading).toContain("the guest's CPUs included");
    expect(heading).toContain('IOTLB 64 sets x 8 ways, LRU');
  });

  test('the heading follows the options', () => {
    const options = { phase: null, startNs: 1_500_000_000, cpuLog: false, seed: 7, pageSize: 65_536 };
    const heading = toTable(migrationResult(DEFAULT_ROWS, options)).replaceAll(/\s+/g, ' ');
    expect(heading).toContain('from 1.50 s of the recording;');
    expect(heading).toContain("no log of the guest's CPUs");
    expect(heading).toContain('seed 7');
    expect(heading).toContain('device log pages 64K');
    const goesOn = toTable(migrationResult(DEFAULT_ROWS, { repeatPhase: false })).replaceAll(/\s+/g, ' ');
    expect(goesOn).toContain('(at 78 s), after which the recording goes on;');
  });

  test('each tracker and leaf has one row with its figures', () => {
    expect(cells(rowOf(MIGRATION, 'iommu:amdv1', '4K'))).toEqual([
      'iommu:amdv1',
      '4K',
      'converged',
      '2',
      '132',
      '1.03',
      '1.107',
      '32.77',
      '0',
      '0.0',
      '0',
      '0',
      '15 us',
    ]);
    expect(cells(rowOf(MIGRATION, 'iommu:amdv1', '2M'))).toEqual([
      ...['iommu:amdv1', '2M', 'not converging', '2', '7,148', '55.8', '60.100', '1,023.45'],
      ...['1,800,000', '6,900.0', '0', '0', '15 us'],
    ]);
    expect(cells(rowOf(MIGRATION, 'cpu-only', '-')).slice(-3)).toEqual(['1,300', '1,012', '15 us']);
  });

  test('an ended input has its own verdict', () => {
    const ended = migrationRow({ converged: false, reason: 'inputEnded' });
    expect(cells(rowOf(toTable(migrationResult([ended])), 'device', '-'))[2]).toBe('input ended');
  });

  test('cells end where their heading ends', () => {
    const lines = MIGRATION.split('\n');
    const rule = lines.findIndex((line) => line.startsWith('---'));
    const rows = lines.slice(rule + 1, rule + 1 + DEFAULT_ROWS.length);
    expect(rows.map((line) => line.length)).toEqual(rows.map(() => lines[rule].length));
    const downtime = lines.find((line) => line.includes('downtime  '))!;
    const end = downtime.indexOf('downtime') + 'downtime'.length;
    expect(rows.map((line) => /[\d.,]$/.test(line.slice(0, end)) && line[end] === ' ')).toEqual(rows.map(() => true));
    expect(rows[0].slice(0, end).endsWith(' 32.77')).toBe(true);
    expect(rows[2].slice(0, end).endsWith(' 1,023.45')).toBe(true);
  });

  test('the cost is called modelled, and the legend says what that means', () => {
    const head = MIGRATION.split('\n').find((line) => line.endsWith('modelled'));
    expect(head).toBeDefined();
    expect(MIGRATION).toContain('modelled:      from the cost model, not measured; print it with `wasm-iommu cost`');
    expect(MIGRATION).toContain('stale:         distinct pages whose copy at the destination is older');
  });

  test('sentences stand between the rows and the legend', () => {
    const sentence = MIGRATION.indexOf('The migration converges with');
    expect(sentence).toBeGreaterThan(MIGRATION.indexOf('\ncpu-only '));
    expect(sentence).toBeLessThan(MIGRATION.indexOf('\nrounds: '));
  });

  test.each([60, 80, 100, 120, 200])('no line is longer than a width of %d', (width) => {
    const rows = [...DEFAULT_ROWS, coarseRow({ tracker: 'iommu:armv8-s1' })];
    const table = toTable(migrationResult(rows), { width });
    expect(longest(table)).toBeLessThanOrEqual(width);
    expect(table.split('\n').filter((line) => line.endsWith(' '))).toEqual([]);
    expect(table.split('\n').filter((line) => line.startsWith('tracker'))).toHaveLength(
      width < 120 ? 2 + +(width < 80) : 1,
    );
  });

  test('large numbers do not break the default width', () => {
    const huge = coarseRow({ totalBytes: 2 ** 52, totalTimeNs: 2 ** 52, downtimeNs: 2 ** 51, extraBytesSent: 2 ** 52 });
    const table = toTable(migrationResult([huge]));
    expect(longest(table)).toBeLessThanOrEqual(120);
    expect(table).toContain(' 4,294,967,296');
  });

  test('what is not 0 is not shown as 0', () => {
    const row = migrationRow({ extraBytesSent: 4_096, downtimeNs: 1, totalTimeNs: 1 });
    expect(cells(rowOf(toTable(migrationResult([row])), 'device', '-')).slice(6, 10)).toEqual([
      '<0.001',
      '<0.01',
      '0',
      '<0.1',
    ]);
  });

  test('a control character in a name does not reach the terminal', () => {
    const result = { ...migrationResult(DEFAULT_ROWS), input: { ...INPUT, name: 'a\u001b[2Jb\nc' } };
    expect(toTable(result)).toContain('a?[2Jb?c: 128 MiB RAM');
  });

  test('is a function of the result alone and ends with one newline', () => {
    expect(toTable(structuredClone(migrationResult(DEFAULT_ROWS)))).toBe(MIGRATION);
    expect(/[^\n]\n$/.test(MIGRATION)).toBe(true);
  });

  test('a result without rows still has its heading', () => {
    expect(toTable(migrationResult([]))).toContain('No tracker was compared.');
  });

  test.each([0, 59, 80.5, NaN])('a width of %d is refused', (width) => {
    expect(() => toTable(migrationResult(DEFAULT_ROWS), { width })).toThrow(`width is ${width}; it must be an integer`);
  });
});

describe('toTable, windows', () => {
  const exact = windowsRow();
  const coarse = windowsRow({
    tracker: 'iommu:amdv1',
    leaf: '2M',
    overReportedPages: 45_000,
    reportedPages: 47_000,
    windows: { count: 881, reportedBytes: 192_512_000, trueBytes: 8_192_000, ratio: 23.5 },
  });
  const table = toTable(windowsResult([exact, coarse]));

  test('each row sets what was reported against what was written', () => {
    expect(cells(rowOf(table, 'iommu:amdv1', '2M'))).toEqual([
      'iommu:amdv1',
      '2M',
      '881',
      '7.8',
      '183.6',
      '23.5',
      '45,000',
      '0',
      '15 us',
    ]);
  });

  test('the heading says the interval and that nothing migrates', () => {
    expect(table).toContain('no migration; dirty state read and cleared every 100 ms through the whole recording');
    expect(table).not.toContain('downtime');
  });

  test('a ratio of nothing to nothing is a dash', () => {
    const nothing = windowsRow({ windows: { count: 3, reportedBytes: 0, trueBytes: 0, ratio: null }, truePages: 0 });
    expect(cells(rowOf(toTable(windowsResult([nothing])), 'device', '-'))[5]).toBe('-');
  });
});

describe('layOut', () => {
  const column = (name: string, width: number): Column<number> => ({
    heading: [name],
    align: 'right',
    cell: (row) => String(row).padStart(width, '0'),
  });
  const columns = [column('k', 3), column('a', 4), column('b', 4)];

  test('narrows the gap before it splits', () => {
    expect(layOut(columns, [7], 15, 1)[2]).toBe('007  0007  0007');
    expect(layOut(columns, [7], 14, 1)[2]).toBe('007 0007 0007');
    expect(layOut(columns, [7], 12, 1)).toEqual([
      ...['  k     a', '---  ----', '007  0007', ''],
      ...['  k     b', '---  ----', '007  0007'],
    ]);
  });

  test('a block takes what just fits', () => {
    const more = [...columns, column('c', 4), column('d', 4)];
    expect(layOut(more, [7], 15, 1).filter((line) => line.startsWith('  k'))).toEqual([
      '  k     a     b',
      '  k     c     d',
    ]);
    expect(layOut(more, [7], 14, 1).filter((line) => line.startsWith('  k'))).toHaveLength(4);
  });

  test('headings stand at the bottom', () => {
    const tall: Column<number> = { heading: ['over', 'two'], align: 'left', cell: String };
    expect(layOut([columns[0], tall], [7], 20, 1)).toEqual(['     over', '  k  two', '---  ----', '007  7']);
  });

  test('a column wider than the line still appears', () => {
    expect(layOut(columns, [7], 2, 1)).toContain('007  0007');
  });
});

describe('wrap', () => {
  test('breaks at spaces and indents what follows the lead', () => {
    expect(wrap('one two three four', 10, 'x: ')).toEqual(['x: one two', '   three', '   four']);
    expect(wrap('one two', 7)).toEqual(['one two']);
    expect(wrap('one two', 6)).toEqual(['one', 'two']);
  });

  test('leaves a long word whole', () => {
    expect(wrap('a incomprehensible b', 5)).toEqual(['a', 'incomprehensible', 'b']);
  });
});
