import { describe, expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import type { CompareOptions } from '../../src/compare/options.ts';
import type { CompareResult, MigrationRow } from '../../src/compare/result.ts';
import { toJson } from '../../src/report/json.ts';
import { toTable } from '../../src/report/table.ts';
import { QEMU_TRACKERS } from '../../src/tracker/qemu.ts';
import { openTrace } from '../../src/workload/open-trace.ts';
import type { Recording } from '../../src/workload/recording.ts';

const CSV = [
  't_us,dev,op,gpa,len',
  '0,nic,w,0x1000,64',
  '500,disk,w,8192,9000',
  '900,nic,r,0,4096',
  '4000,gpu,w,0x80000,100000',
  '9000,disk,w,0x2000,1',
  '',
].join('\n');

function trace(): Promise<Recording> {
  return openTrace(new TextEncoder().encode(CSV), { name: 'three.csv', ramBytes: 2 ** 22 });
}

function run(options: CompareOptions): Promise<CompareResult> {
  return compare(trace(), { linkBitsPerSecond: 1e10, downtimeLimitNs: 1000, ...options });
}

/** The rows, without the names of their trackers. */
function figures({ results }: CompareResult): unknown[] {
  return (results as MigrationRow[]).map((row) => ({ ...row, tracker: '' }));
}

const ALL_NAMES = QEMU_TRACKERS.map(({ name }) => name);

describe('trackers qemu', () => {
  it.each([
    ['log', ['device']],
    ['3xlog', ['device']],
    ['1xnolog,log', undefined],
    ['nolog', undefined],
  ] as const)('with devices %s are the trackers of the rule', async (devices, all) => {
    for (const name of ['qemu', ...ALL_NAMES]) {
      const container = name === 'qemu' ? 'amdv1' : name.slice('qemu:'.length);
      if (container === 'none' && !all) continue;
      const uses = all ? 'device' : container === 'type1' ? 'type1' : `iommu:${container}`;
      const qemu = await run({ trackers: [name], devices });
      expect([name, figures(qemu)]).toEqual([name, figures(await run({ trackers: [uses] }))]);
      expect(qemu.options.qemu).toMatchObject({ devices, chosen: [{ tracker: name, uses }] });
      expect((qemu.results as MigrationRow[]).every((row) => row.tracker === name)).toBe(true);
    }
  });

  it('report all of RAM where nothing tracks, at the cost of no read', async () => {
    const result = await run({ trackers: ['qemu:none', 'type1'], devices: '2xlog,nolog' });
    const [none, type1] = result.results as MigrationRow[];
    expect(none).toEqual({ ...type1, tracker: 'qemu:none', modelled: none.modelled });
    expect([none.reportedPages / 1024, none.missedPages, none.stalePages]).toEqual([none.rounds.length - 1, 0, 0]);
    expect(none.modelled.queryNs).toBeLessThan(type1.modelled.queryNs);
    expect(result.options.qemu?.chosen).toEqual([
      {
        tracker: 'qemu:none',
        uses: 'all-dirty',
        why: 'of 3 devices 1 has no log of DMA, and the container does not track: all of RAM counts as dirty',
      },
    ]);
  });

  it('are in the table and the JSON with the reason', async () => {
    const result = await run({ trackers: ['qemu:vtdss', 'qemu:none', 'device'], devices: '1xnolog,log', leaf: ['2M'] });
    const table = toTable(result).replaceAll(/\s+/g, ' ');
    expect(table).toContain('QEMU qemu:vtdss comes down to iommu:vtdss: of 3 devices 1 has no log of DMA');
    expect(table).toContain('QEMU qemu:none comes down to all-dirty: ');
    expect(JSON.parse(toJson(result)).options.qemu).toEqual(result.options.qemu);
    expect(result.options.leaf).toEqual(['2M']);
    expect((await run({ trackers: ['device'] })).options.qemu).toBeNull();
  });

  it('work in windows too', async () => {
    const options = { windowNs: 1e6, devices: 'nolog', leaf: ['4K'] };
    const found = await compare(trace(), { ...options, trackers: ['qemu:riscv'] });
    const wanted = await compare(trace(), { windowNs: 1e6, leaf: ['4K'], trackers: ['iommu:riscv'] });
    expect(figures(found)).toEqual(figures(wanted));
  });

  it.each([
    [{ trackers: ['device'], devices: 'log' }, /^devices: has no effect without a tracker qemu; leave it out/],
    [{ devices: 'log' }, /^devices: has no effect without a tracker qemu/],
    [{ trackers: ['qemu'], devices: '4xlog' }, /^devices: '4xlog' does not make the 3 devices of the recording/],
    [
      { trackers: ['qemu:armv9'] },
      /^trackers: there is no 'qemu:armv9'; there are qemu:amdv1, .*qemu:none, and qemu for/,
    ],
    [{ trackers: ['qemu:'] }, /^trackers: there is no 'qemu:'/],
    [{ trackers: ['qemu:vtdss'], devices: 'nolog', leaf: ['64K'] }, /^leaf: qemu:vtdss has no leaf of 64K; it has 4K/],
  ])('refuse %j', async (options, message) => {
    await expect(run(options)).rejects.toThrow(message);
    await expect(run(options)).rejects.toMatchObject({ name: 'UsageError' });
  });
});
