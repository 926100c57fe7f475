import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MigrationRow, WindowsRow } from '../../src/compare/result.ts';
import { conclusion } from '../../src/report/conclusion.ts';
import { enumerate, nameRows } from '../../src/report/name-rows.ts';
import { coarseRow, DEFAULT_ROWS, migrationResult, migrationRow, windowsResult, windowsRow } from './sample.ts';

const migration = (rows: readonly MigrationRow[], options = {}) => conclusion(migrationResult(rows, options));
const windows = (rows: readonly WindowsRow[], options = {}) => conclusion(windowsResult(rows, options));

const CPU_ONLY = { tracker: 'cpu-only', claims: 'none', reportedPages: 0, mappedBytes: 0 } as const;

describe('conclusion of a migration', () => {
  test('of the defaults: who converges, why the others do not, what cpu-only costs', () => {
    expect(migration(DEFAULT_ROWS)).toEqual([
      'The migration converges with device, iommu:* at 4K and cpu-only; it does not converge with iommu:* at 2M and type1 ' +
        'within the cap of 60 s.',
      'A dirty bit stands for a whole leaf: at 2M one written byte marks 512 pages, which made iommu:* report 23.5 times ' +
        'the pages really written and send 6.74 GiB each for pages that nothing had written, which is why the migration ' +
        'does not converge (at 4K it does); type1 reports everything mapped at every read, so its 0 missed pages prove ' +
        'only that the mapping covers the trace.',
      'cpu-only ignores what devices write: its shorter downtime (5 ms against 32.8 ms with device and iommu:* at 4K) is ' +
        'bought with 1,012 stale pages, silent corruption at the destination.',
    ]);
  });

  test('when every row converges', () => {
    const rows = [migrationRow(), migrationRow({ tracker: 'iommu:amdv1', leaf: '4K' })];
    expect(migration(rows)).toEqual(['The migration converges in every row.']);
    expect(migration([migrationRow()])).toEqual(['The migration converges with device.']);
  });

  test('when no row converges', () => {
    const rows = [coarseRow({ overReportedPages: 0 }), coarseRow({ tracker: 'iommu:amdv1', overReportedPages: 0 })];
    expect(migration(rows, { capNs: 1_500_000_000 })).toEqual([
      'The migration converges in no row within the cap of 1.50 s.',
    ]);
  });

  test('when the recording ended', () => {
    const ended = { converged: false, reason: 'inputEnded' } as const;
    const two = [migrationRow(ended), migrationRow({ ...ended, tracker: 'iommu:amdv1', leaf: '4K' })];
    expect(migration(two)).toEqual(['The recording ended before the migration had converged in any row.']);
    expect(migration([two[0]])).toEqual(['The migration had not converged with device when the recording ended.']);
    expect(migration([migrationRow({ tracker: 'a' }), two[0], coarseRow({ overReportedPages: 0 })])[0]).toBe(
      'The migration converges with a; it does not converge with device at 2M within the cap of 60 s; it had not ' +
        'converged with device when the recording ended.',
    );
  });

  test('when all of RAM fits the limit at once, and not one byte earlier', () => {
    const [round] = migrationRow().rounds;
    const rows = [migrationRow({ rounds: [round] }), migrationRow({ tracker: 'type1', rounds: [round] })];
    const limit = { ramBytes: 2 ** 27, linkBitsPerSecond: 2 ** 30, downtimeLimitNs: 1_000_000_000 };
    expect(migration(rows, limit)).toEqual([
      'All of RAM (128 MiB) crosses the link within the downtime limit of 1 s: the guest is stopped and copied at once, ' +
        'and neither time nor downtime depends on the tracker.',
    ]);
    expect(migration(rows, { ...limit, ramBytes: 2 ** 27 - 1 })[0]).toContain('All of RAM');
    expect(migration(rows, { ...limit, ramBytes: 2 ** 27 + 1 })[0]).not.toContain('All of RAM');
    expect(migration(rows, { ...limit, linkBitsPerSecond: 2 ** 30 - 1 })[0]).not.toContain('All of RAM');
  });

  test('when no device wrote', () => {
    const nothing = { truePages: 0, reportedPages: 0 };
    expect(migration([migrationRow(nothing), migrationRow({ ...CPU_ONLY, ...nothing })])).toEqual([
      'The migration converges in every row.',
      'No device wrote during the migration, so the rows do not show what a tracker can miss.',
      'cpu-only ignores what devices write; nothing was written while it ran, so it lost nothing this time.',
    ]);
  });

  test('a coarse leaf is the reason only where the same tracker converges with a finer one', () => {
    const coarse = coarseRow({ tracker: 'iommu:amdv1' });
    const alone = migration([coarse])[1];
    expect(alone).toBe(
      'A dirty bit stands for a whole leaf: at 2M one written byte marks 512 pages, which made iommu:amdv1 report 23.5 ' +
        'times the pages really written and send 6.74 GiB for pages that nothing had written.',
    );
    expect(migration([coarse, migrationRow({ tracker: 'iommu:vtdss', leaf: '4K' })])[1]).not.toContain('which is why');
    expect(migration([coarse, migrationRow({ tracker: 'iommu:amdv1', leaf: '64K' })])[1]).toContain('(at 64K it does)');
    expect(migration([coarse, coarseRow({ tracker: 'iommu:amdv1', leaf: '4K' })])[1]).not.toContain('which is why');
    const convergesToo = migrationRow({ tracker: 'iommu:amdv1', leaf: '2M', overReportedPages: 9, extraBytesSent: 9 });
    const fine = migrationRow({ tracker: 'iommu:amdv1', leaf: '4K' });
    expect(migration([fine, convergesToo])[1]).not.toContain('which is why');
    expect(migration([fine, coarse, coarseRow({ tracker: 'iommu:vtdss' })])[1]).not.toContain('which is why');
    const ended = coarseRow({ tracker: 'iommu:amdv1', reason: 'inputEnded' });
    expect(migration([fine, ended])[1]).not.toContain('which is why');
  });

  test('over-reporting that cost nothing on the link is no reason', () => {
    const rows = [
      migrationRow({ tracker: 'iommu:amdv1', leaf: '4K' }),
      coarseRow({ tracker: 'iommu:amdv1', extraBytesSent: 0 }),
    ];
    expect(migration(rows)[1]).toMatch(/report 23\.5 times the pages really written without sending anything extra\.$/);
  });

  test('several coarse leaves have a clause each', () => {
    const rows = [
      coarseRow({ tracker: 'iommu:amdv1', leaf: '64K', reportedPages: 240_000 }),
      coarseRow({ tracker: 'iommu:amdv1' }),
      coarseRow({ tracker: 'iommu:vtdss', reportedPages: 1_600_000 }),
    ];
    const sentence = migration(rows)[1];
    expect(sentence).toContain('at 64K one written byte marks 16 pages, which made iommu:amdv1 report 3.00 times');
    expect(sentence).toContain(
      '; at 2M one written byte marks 512 pages, which made iommu:* report 20.0 to 23.5 times',
    );
  });

  test('over-reporting has no ratio where nothing was written', () => {
    const row = migrationRow({ truePages: 0, reportedPages: 512, overReportedPages: 512, extraBytesSent: 4_096 });
    expect(migration([row])[2]).toBe(
      'Over-reporting made device report 512 pages on which nothing had landed and send 4 KiB for pages that nothing had ' +
        'written.',
    );
  });

  test('over-reporting without a coarse leaf is not put down to one', () => {
    const row = migrationRow({ reportedPages: 3_000, overReportedPages: 1_000, extraBytesSent: 4_096 });
    const sentence = migration([row])[1];
    expect(sentence).toMatch(/^Over-reporting made device report 1\.50 times the pages really written/);
    expect(sentence).not.toContain('leaf');
  });

  test('type1 alone', () => {
    expect(migration([coarseRow({ tracker: 'type1', leaf: 'none' })])).toEqual([
      'The migration does not converge with type1 within the cap of 60 s.',
      'type1 reports everything mapped at every read, so its 0 missed pages prove only that the mapping covers the trace.',
    ]);
    expect(migration([coarseRow({ tracker: 'type1', leaf: '4K' }), coarseRow({ tracker: 'type1' })])[1]).toMatch(
      /^type1 at 4K\/2M reports everything mapped at every read, so its 0 missed pages prove/,
    );
  });

  test('type1 that misses pages proves nothing', () => {
    const sentences = migration([coarseRow({ tracker: 'type1', leaf: 'none', missedPages: 4 })]);
    expect(sentences[0]).toMatch(/^Defect: type1 missed 4 pages/);
    expect(sentences.at(-1)).toBe('type1 reports everything mapped at every read.');
  });

  test('a sound tracker that loses pages is a defect and comes first', () => {
    const rows = [
      migrationRow({ missedPages: 1 }),
      migrationRow({ tracker: 'iommu:amdv1', leaf: '4K', stalePages: 1 }),
    ];
    expect(migration(rows)[0]).toBe(
      'Defect: device missed 1 page and left 0 stale pages at the destination and iommu:amdv1 at 4K missed 0 pages and left ' +
        "1 stale page at the destination, against the claim to be sound; do not trust such a row's other figures.",
    );
  });

  test('an unsound tracker that loses pages is named, but is no defect', () => {
    const [first] = migration([
      migrationRow({ tracker: 'sampling', claims: 'unsound', missedPages: 2, stalePages: 1 }),
    ]);
    expect(first).toBe(
      'Of the trackers that do not claim to be sound, sampling missed 2 pages and left 1 stale page at the destination.',
    );
    expect(migration([migrationRow({ tracker: 'sampling', claims: 'unsound' })])).toHaveLength(1);
  });

  test('cpu-only by what it gained and lost', () => {
    const lost = { ...CPU_ONLY, missedPages: 5, stalePages: 1 };
    const of = (change: Partial<MigrationRow>) =>
      migration([migrationRow(), migrationRow({ ...lost, ...change })]).at(-1);
    expect(of({})).toBe(
      'cpu-only ignores what devices write and leaves 1 stale page, silent corruption at the destination.',
    );
    expect(of({ totalTimeNs: 1_074_000_000 })).toBe(
      'cpu-only ignores what devices write: its shorter total time (1.07 s against 1.11 s with device) is bought with 1 ' +
        'stale page, silent corruption at the destination.',
    );
    expect(of({ downtimeNs: 32_000_000 })).toContain(
      'its shorter downtime (32 ms against 32.8 ms with device) is bought',
    );
    expect(of({ downtimeNs: 33_000_000 })).not.toContain('shorter');
    expect(of({ stalePages: 0 })).toBe(
      'cpu-only ignores what devices write: it missed 5 pages, and that none of them is stale at the destination is chance.',
    );
    expect(of({ stalePages: 0, missedPages: 0 })).toBe(
      'cpu-only ignores what devices write; this time it lost nothing.',
    );
    expect(migration([migrationRow({ ...lost, downtimeNs: 1 })]).at(-1)).not.toContain('shorter');
  });

  test('has no sentence on what is not in the result', () => {
    const sentences = migration([migrationRow(), coarseRow({ tracker: 'iommu:vtdss' })]).join(' ');
    expect(sentences).not.toContain('type1');
    expect(sentences).not.toContain('cpu-only');
    expect(migration([])).toEqual(['No tracker was compared.']);
  });

  test('any result gives whole sentences', () => {
    const verdict = fc.constantFrom(
      { converged: true, reason: 'converged' } as const,
      { converged: false, reason: 'notConverging' } as const,
      { converged: false, reason: 'inputEnded' } as const,
    );
    const row = fc
      .record({
        tracker: fc.constantFrom('device', 'iommu:amdv1', 'iommu:vtdss', 'type1', 'cpu-only', 'sampling'),
        claims: fc.constantFrom('sound', 'unsound', 'none'),
        leaf: fc.constantFrom('none', '4K', '64K', '2M'),
        missedPages: fc.nat(2),
        stalePages: fc.nat(2),
        overReportedPages: fc.nat(2),
        truePages: fc.nat(2),
        reportedPages: fc.nat(2),
        extraBytesSent: fc.nat(2),
        downtimeNs: fc.nat(3),
        totalTimeNs: fc.nat(3),
      } as const)
      .chain((fields) => verdict.map((ending) => migrationRow({ ...fields, ...ending })));
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 6 }), (rows) => {
        const sentences = migration(rows);
        const text = sentences.join(' ');
        return (
          sentences.every((sentence) => /^\S.*[^.]\.$/.test(sentence)) &&
          !/undefined|null|NaN|Infinity| {2}|,,| ,/.test(text) &&
          /type1( at \S+)? reports everything/.test(text) === rows.some((r) => r.tracker === 'type1') &&
          text.includes('Defect') === rows.some((r) => r.claims === 'sound' && r.missedPages + r.stalePages > 0) &&
          text.includes('stands for a whole leaf') ===
            rows.some((r) => /^iommu/.test(r.tracker) && /64K|2M/.test(r.leaf) && r.overReportedPages > 0)
        );
      }),
      { seed: 3, numRuns: 500 },
    );
  });
});

describe('conclusion of windows', () => {
  const { windows: sums } = windowsRow();
  const coarse = windowsRow({
    tracker: 'iommu:amdv1',
    leaf: '2M',
    overReportedPages: 45_000,
    reportedPages: 47_000,
    windows: { ...sums, reportedBytes: 192_512_000, ratio: 23.5 },
  });

  test('who is exact, who is not, what cpu-only lost', () => {
    const cpuOnly = windowsRow({ ...CPU_ONLY, missedPages: 2_000, stalePages: 1 });
    expect(windows([windowsRow(), coarse, windowsRow({ tracker: 'type1', overReportedPages: 9 }), cpuOnly])).toEqual([
      'With device the reports hold exactly the pages that devices wrote (7.81 MiB summed over 881 windows of 100 ms).',
      'A dirty bit stands for a whole leaf: at 2M one written byte marks 512 pages, which made iommu:amdv1 report 23.5 ' +
        'times the pages really written; type1 reports everything mapped at every read, so its 0 missed pages prove only ' +
        'that the mapping covers the trace.',
      'cpu-only ignores what devices write: it missed 2,000 pages summed over windows, and 1 page would be stale if each ' +
        'report were what is copied.',
    ]);
  });

  test('when none is exact', () => {
    expect(windows([coarse])[0]).toBe(
      'No tracker reports exactly the pages that devices wrote in 881 windows of 100 ms.',
    );
  });

  test('when nothing was written', () => {
    const nothing = { truePages: 0, reportedPages: 0 };
    const none = { count: 1, reportedBytes: 0, trueBytes: 0, ratio: null };
    expect(
      windows([windowsRow({ ...nothing, windows: none }), windowsRow({ ...CPU_ONLY, ...nothing, windows: none })]),
    ).toEqual([
      'No device wrote anything in 1 window of 100 ms.',
      'cpu-only ignores what devices write; nothing was written while it ran, so it lost nothing this time.',
    ]);
  });

  test('a sound tracker that misses pages is a defect and not exact', () => {
    const [first, second] = windows([windowsRow({ missedPages: 2 })]);
    expect(first).toMatch(/^Defect: device missed 2 pages/);
    expect(second).toMatch(/^No tracker reports exactly/);
  });

  test('says nothing of verdicts', () => {
    expect(windows([windowsRow(), coarse]).join(' ')).not.toMatch(/converge|downtime|send/);
    expect(windows([])).toEqual(['No tracker was compared.']);
  });
});

describe('nameRows', () => {
  const at = (tracker: string, leaf: string) => ({ tracker, leaf });
  const amd4 = at('iommu:amdv1', '4K');
  const amd2 = at('iommu:amdv1', '2M');
  const vtd4 = at('iommu:vtdss', '4K');
  const vtd2 = at('iommu:vtdss', '2M');
  const device = at('device', 'none');
  const all = [device, amd4, amd2, vtd4, vtd2];

  test('abbreviates the family only where it is whole', () => {
    expect(nameRows([amd4, vtd4], all)).toBe('iommu:* at 4K');
    expect(nameRows(all, all)).toBe('device and iommu:* at 4K/2M');
    expect(nameRows([amd4, vtd4, amd2], all)).toBe('iommu:* at 4K and iommu:amdv1 at 2M');
    expect(nameRows([amd4], [device, amd4])).toBe('iommu:amdv1 at 4K');
  });

  test('joins as English does', () => {
    expect(enumerate([])).toBe('');
    expect(enumerate(['a'])).toBe('a');
    expect(enumerate(['a', 'b'])).toBe('a and b');
    expect(enumerate(['a', 'b', 'c'])).toBe('a, b and c');
  });
});
