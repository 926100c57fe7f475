import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import type { CompareResult, MigrationRow, WindowsRow } from '../../src/compare/result.ts';
import { toJson } from '../../src/report/json.ts';
import { openBundled, PHASE } from './bundled.ts';
import { plainIotlb } from './plain-iotlb.ts';

/** Golden files are rewritten by `npx vitest run test/compare --update`, where a change of the JSON is meant. */
const GOLDEN = '../golden';

const FORMATS = ['iommu:amdv1', 'iommu:vtdss', 'iommu:x86_64', 'iommu:armv8-s1', 'iommu:armv8-s2', 'iommu:riscv'];

describe('the default comparison of the bundled recording', () => {
  let result: CompareResult;
  let rows: readonly MigrationRow[];
  const row = (tracker: string, leaf: string) => rows.find((r) => r.tracker === tracker && r.leaf === leaf)!;

  beforeAll(async () => {
    result = await compare(openBundled(), { phase: PHASE });
    rows = result.results as readonly MigrationRow[];
  });

  it('has a row per tracker and leaf', () => {
    expect(rows.map((r) => `${r.tracker} ${r.leaf}`)).toEqual([
      'device none',
      'device:mlx5 none',
      'iommu:amdv1 4K',
      'iommu:amdv1 2M',
      'iommu:vtdss 4K',
      'iommu:vtdss 2M',
      'iommu:x86_64 4K',
      'iommu:x86_64 2M',
      'iommu:armv8-s1 4K',
      'iommu:armv8-s1 2M',
      'iommu:armv8-s2 4K',
      'iommu:armv8-s2 2M',
      'iommu:riscv 4K',
      'iommu:riscv 2M',
      'type1 none',
      'cpu-only none',
    ]);
  });

  it('knows the recording', () => {
    expect(result.input).toEqual({
      name: 'v86-debian.dma.bin.gz',
      events: 833_425,
      writeEvents: 186_974,
      bytesWritten: 792_833_171,
      pagesWritten: 7_649,
      ramBytes: 134_217_728,
    });
  });

  it('loses nothing wherever a tracker claims to be sound', () => {
    const lost = rows.filter((r) => r.claims === 'sound' && (r.missedPages || r.stalePages));
    expect(lost).toEqual([]);
    expect(rows.filter((r) => r.claims === 'sound')).toHaveLength(15);
  });

  it('converges at 4K, and neither at 2M nor with type1', () => {
    const expected = rows.map((r) => (r.leaf === '2M' || r.tracker === 'type1' ? 'notConverging' : 'converged'));
    expect(rows.map((r) => r.reason)).toEqual(expected);
  });

  it('shows what cpu-only loses, and that it looks best', () => {
    const cpuOnly = row('cpu-only', 'none');
    const converged = rows.filter((r) => r.converged && r !== cpuOnly);
    expect(cpuOnly.stalePages).toBe(1024);
    expect(cpuOnly.missedPages).toBeGreaterThan(0);
    expect(converged.every((r) => r.totalTimeNs > cpuOnly.totalTimeNs && r.downtimeNs > cpuOnly.downtimeNs)).toBe(true);
  });

  it('reports exactly at 4K, and the same far too much at 2M in all formats', () => {
    for (const tracker of FORMATS) {
      expect(row(tracker, '4K').overReportedPages).toBe(0);
      expect(row(tracker, '2M').overReportedPages).toBe(row('iommu:amdv1', '2M').overReportedPages);
    }
    expect(row('device', 'none').overReportedPages).toBe(0);
    expect(row('iommu:amdv1', '2M').reportedPages).toBeGreaterThan(2 * row('iommu:amdv1', '2M').truePages);
  });

  it('without the modelled cost and the IOTLB, device and iommu at 4K are the same row', () => {
    const plain = ({ tracker: _t, leaf: _l, iotlb: _i, modelled: _m, ...rest }: MigrationRow) => rest;
    expect(plain(row('iommu:vtdss', '4K'))).toEqual(plain(row('device', 'none')));
    expect(row('iommu:vtdss', '4K').modelled).not.toEqual(row('device', 'none').modelled);
  });

  it('counts the IOTLB as a plain LRU does, the same in all formats', async () => {
    const { iotlb, rounds } = row('iommu:amdv1', '4K');
    expect(iotlb).toEqual(await plainIotlb(await openBundled(), PHASE, rounds));
    for (const tracker of FORMATS) expect([tracker, row(tracker, '4K').iotlb]).toEqual([tracker, iotlb]);
  });

  it('adds up', () => {
    for (const r of rows) {
      const last = r.rounds[r.rounds.length - 1];
      expect(r.rounds.reduce((sum, round) => sum + round.bytes, 0)).toBe(r.totalBytes);
      expect(r.rounds.reduce((sum, round) => sum + round.durationNs, 0)).toBe(r.totalTimeNs);
      expect(last.durationNs).toBe(r.downtimeNs);
      expect(r.rounds.every((round) => round.durationNs === Math.ceil((round.bytes * 8e9) / 1e9))).toBe(true);
      expect(r.rounds[0].pages).toBe(32_768);
    }
  });

  // The whole of it comes once more in test/cli and test/browser, against the same file.
  it('is byte for byte what it was, and its rows the same again without the others', async () => {
    await expect(toJson(result)).toMatchFileSnapshot(`${GOLDEN}/compare.json`);
    const again = await compare(openBundled(), { phase: PHASE, trackers: ['device:mlx5', 'iommu:riscv', 'cpu-only'] });
    const rest = rows.filter(({ tracker }) => again.results.some((row) => row.tracker === tracker));
    expect(JSON.stringify(again.results) === JSON.stringify(rest)).toBe(true);
    expect(rest).toHaveLength(4);
  });
});

describe('the JSON of the bundled recording', () => {
  const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));

  it.each(['compare.json', 'windows.json'])('%s is what the schema says', (name) => {
    const ajv = new Ajv2020({ strict: true, allErrors: true });
    const validate = ajv.compile(read('../../src/report/compare.schema.json') as object);
    validate(read(`../golden/${name}`));
    expect(validate.errors).toBeNull();
  });
});

describe('other parts of the bundled recording', () => {
  const sound = ['device', 'device:mlx5', ...FORMATS, 'type1'];

  it('windows of 100 ms: exact at 4K, far above 1 at 2M, the same in all formats', async () => {
    const result = await compare(openBundled(), { windowNs: 100e6 });
    await expect(toJson(result)).toMatchFileSnapshot(`${GOLDEN}/windows.json`);
    const rows = result.results as readonly WindowsRow[];
    const of = (leaf: string) => rows.filter((r) => r.leaf === leaf).map((r) => r.windows.ratio!);
    expect(of('4K')).toEqual(FORMATS.map(() => 1));
    expect(new Set(of('2M')).size).toBe(1);
    expect(of('2M')[0]).toBeGreaterThan(5);
    expect(rows.filter((r) => r.claims === 'sound').every((r) => r.missedPages === 0 && r.stalePages === 0)).toBe(true);
  });

  it.each([
    { leaf: ['1G'], windowNs: 37e6, trackers: sound },
    { leaf: ['4K', '2M'], windowNs: 37e6, trackers: ['iommu:amdv1', 'iommu:armv8-s1'] },
    { leaf: ['4K', '1G'], phase: 'wget-16MB', trackers: sound },
    { leaf: ['2M'], phase: 'mixed-net-disk-9p', pageSize: '64K', trackers: sound, linkBitsPerSecond: 10e9 },
    { leaf: ['4K'], startNs: 36_180_311_000, trackers: sound, seed: 7 },
    { leaf: ['8K', '64K', '512K', '32M'], phase: PHASE, trackers: ['iommu:amdv1'] },
    { leaf: ['16K', '64K', '32M', '512M'], phase: PHASE, trackers: ['iommu:armv8-s1', 'iommu:armv8-s2'] },
    { leaf: ['64K'], phase: PHASE, trackers: ['iommu:riscv'] },
    { leaf: ['4K'], windowNs: 1e9, pageSize: '2M', trackers: ['device', 'device:mlx5'] },
  ])('nothing is lost with %o', async (options) => {
    const { results } = await compare(openBundled(), options);
    expect(results.length).toBeGreaterThan(0);
    expect(results.filter((r) => r.missedPages !== 0 || r.stalePages !== 0)).toEqual([]);
  });

  it('the recording goes on and ends without a loop', async () => {
    const { results } = await compare(openBundled(), {
      phase: 'tar-to-ram',
      loop: false,
      trackers: ['type1', 'cpu-only'],
    });
    const [type1, cpuOnly] = results as readonly MigrationRow[];
    expect([type1.reason, type1.converged]).toEqual(['inputEnded', false]);
    expect(cpuOnly.reason).toBe('converged');
  });

  it('says so when all of RAM fits the limit at once', async () => {
    const { results } = await compare(openBundled(), { phase: PHASE, downtimeLimitNs: 2e9, trackers: ['device'] });
    const [row] = results as readonly MigrationRow[];
    expect(row.rounds).toHaveLength(1);
    expect(row.why).toMatch(/RAM/);
  });
});
