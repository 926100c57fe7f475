import { beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import type { CompareOptions } from '../../src/compare/options.ts';
import type { CompareResult, MigrationRow } from '../../src/compare/result.ts';
import { CostModel } from '../../src/cost/cost-model.ts';
import { conclusion } from '../../src/report/conclusion.ts';
import { toJson } from '../../src/report/json.ts';
import { toTable } from '../../src/report/table.ts';
import { UsageError } from '../../src/units/usage-error.ts';
import type { Recording } from '../../src/workload/recording.ts';
import { openBundled, PHASE } from './bundled.ts';

const LEAF = 2 ** 21;

/** Each way to the precision of 4 KiB under leaves of 2 MiB. */
const WAYS = [
  'iommu:amdv1+split=eager',
  'iommu:amdv1+split=lazy',
  'iommu:armv8-s1+split=eager',
  'iommu:armv8-s1+split=lazy',
  'iommu:armv8-s1+split=eager+merge',
  'iommu:armv8-s1+split=lazy+merge',
  'iommu:armv8-s1+split=eager+merge+fault=stall',
  'iommu:armv8-s1+split=lazy+merge+fault=stall',
  ...['nt', 'direct2'].flatMap((policy) =>
    ['eager', 'lazy'].map((split) => `iommu:armv8-s1+${policy}+split=${split}+merge`),
  ),
];

function compareWays(flushNs: number | undefined): Promise<CompareResult> {
  const cost = flushNs === undefined ? {} : { cost: CostModel.default().withOverrides({ invalidation: flushNs }) };
  return compare(openBundled(), { phase: PHASE, trackers: ['iommu:amdv1', ...WAYS], ...cost });
}

/** What DMA falls, in the F behind the first round, on the leaves that were written during it: read from the events alone. */
async function fallenOnFirstRead(recording: Recording, flushNs: number) {
  const startNs = recording.phases.find(({ label }) => label === PHASE)!.startNs;
  const readNs = startNs + recording.ramBytes * 8;
  const dirty = new Set<number>();
  let [faults, lostBytes] = [0, 0];
  for await (const segment of recording.segments({ fromNs: startNs, toNs: readNs + flushNs })) {
    if (segment.kind !== 'dma') continue;
    for (let i = 0; i < segment.count; i++) {
      const end = segment.address[i] + segment.length[i];
      const writes = segment.op[i] < 3;
      for (let at = segment.address[i]; at < end; at = (Math.floor(at / LEAF) + 1) * LEAF) {
        const leaf = Math.floor(at / LEAF);
        if (segment.timeNs[i] <= readNs) {
          if (writes) dirty.add(leaf);
        } else if (dirty.has(leaf)) {
          faults++;
          if (writes) lostBytes += end - at;
          break;
        }
      }
    }
  }
  return { faults, lostBytes, windows: 1, leaves: dirty.size };
}

/** What DMA falls on leaf k of the recording in [k F, (k + 1) F) from the phase's start on: read from the events alone. */
async function fallenOnEagerWindows(recording: Recording, flushNs: number) {
  const startNs = recording.phases.find(({ label }) => label === PHASE)!.startNs;
  const end = startNs + (recording.ramBytes / LEAF) * flushNs;
  let [faults, lostBytes] = [0, 0];
  for await (const segment of recording.segments({ fromNs: startNs, toNs: end })) {
    if (segment.kind !== 'dma') continue;
    for (let i = 0; i < segment.count; i++) {
      const leaf = Math.floor((segment.timeNs[i] - startNs) / flushNs);
      const [from, to] = [segment.address[i], segment.address[i] + segment.length[i]];
      const broken = Math.max(from, leaf * LEAF);
      if (broken >= Math.min(to, (leaf + 1) * LEAF)) continue;
      faults++;
      if (segment.op[i] < 3) lostBytes += to - broken;
    }
  }
  return { faults, lostBytes };
}

/** Comparisons made already, by their price of an invalidation. */
const made = new Map<number | undefined, CompareResult>();

describe.each([
  { flushNs: undefined, what: 'the default price of an invalidation' },
  { flushNs: 1e6, what: 'a millisecond, as a broadcast may take' },
  { flushNs: 1e7, what: 'ten' },
])('splits on the bundled recording, with $what', ({ flushNs }) => {
  let result: CompareResult;
  let rows: readonly MigrationRow[];
  const row = (tracker: string) => rows.find((r) => r.tracker === tracker && r.leaf === '2M')!;

  beforeAll(async () => {
    result = await compareWays(flushNs);
    made.set(flushNs, result);
    rows = result.results as readonly MigrationRow[];
  });

  it('give a row each, for the larger leaf only, and none loses a page that landed', () => {
    expect(rows.map((r) => `${r.tracker} ${r.leaf}`)).toEqual([
      'iommu:amdv1 4K',
      'iommu:amdv1 2M',
      ...WAYS.map((way) => `${way} 2M`),
    ]);
    expect(rows.filter((r) => r.missedPages !== 0 || r.stalePages !== 0)).toEqual([]);
  });

  it('converge, all of them, where the leaf left whole does not', () => {
    expect(rows.map((r) => r.converged)).toEqual([true, false, ...WAYS.map(() => true)]);
    const whole = row('iommu:amdv1');
    expect(WAYS.filter((way) => row(way).extraBytesSent * 100 > whole.extraBytesSent)).toEqual([]);
  });

  it('split all leaves or the dirty ones, and merge as many', () => {
    const split = (how: string) => WAYS.filter((way) => way.includes(how)).map((way) => row(way).resize!);
    expect(split('=eager').every(({ splitting }) => splitting.leaves === 64)).toBe(true);
    expect(split('=lazy').every(({ splitting }) => splitting.leaves > 0 && splitting.leaves < 64)).toBe(true);
    expect(split('+merge').every(({ splitting, merging }) => merging!.leaves === splitting.leaves)).toBe(true);
  });

  it('fault with break-before-make what falls on the windows of eager splits, and only there', async () => {
    const { splitting } = row('iommu:armv8-s1+split=eager').resize!;
    const price = flushNs ?? 2000;
    expect(splitting).toMatchObject({ windows: 64, windowNs: 64 * price, flushes: 64, durationNs: 64 * price });
    const fallen = await fallenOnEagerWindows(await openBundled(), price);
    expect({ faults: splitting.faults, lostBytes: splitting.lostBytes }).toEqual(fallen);
    expect(fallen.faults > 0).toBe(flushNs !== undefined);
    const unbroken = rows.filter(({ resize }) => resize && resize.update !== 'bbm').map((r) => r.resize!);
    expect(unbroken.flatMap(({ splitting: a, merging: b }) => [a.windows, b?.windows ?? 0]).every((n) => n === 0)).toBe(
      true,
    );
  });

  it('with stalls hold up just the DMA that would fault, and lose none', () => {
    for (const split of ['eager', 'lazy']) {
      const abort = row(`iommu:armv8-s1+split=${split}+merge`).resize!;
      const stall = row(`iommu:armv8-s1+split=${split}+merge+fault=stall`).resize!;
      expect(stall.splitting).toMatchObject({ faults: 0, lostBytes: 0, stalls: abort.splitting.faults });
      expect(stall.splitting.stalledNs > 0).toBe(abort.splitting.faults > 0);
    }
  });

  it('merge behind what the migration came to, which is as without', () => {
    const plain = ({ tracker: _t, resize: _r, iotlb: _i, modelled: _m, ...rest }: MigrationRow) => rest;
    for (const split of ['eager', 'lazy']) {
      expect(plain(row(`iommu:armv8-s1+split=${split}+merge`))).toEqual(plain(row(`iommu:armv8-s1+split=${split}`)));
    }
  });

  it('says what met a broken leaf, how long that is from, and what never breaks one', () => {
    const sentences = conclusion(result);
    const { faults } = row('iommu:armv8-s1+split=eager').resize!.splitting;
    expect(sentences.some((text) => text.startsWith('iommu:armv8-s1+split=eager at 2M: splitting '))).toBe(faults > 0);
    expect(sentences.join()).toContain(
      `(invalidation is ${flushNs ? flushNs.toLocaleString('en') : '2,000'} ns/command, `,
    );
    expect(sentences.join()).toContain('No leaf is ever broken with iommu:amdv1+split=eager at 2M, ');
    expect(toTable(result)).toMatch(/^windows: /m);
  });
});

describe('a comparison with splits', () => {
  it.each([1e7, 3e7, 1e8])(
    'faults with lazy ones what falls on dirty leaves while the read lasts, at %d ns',
    async (flushNs) => {
      const cost = CostModel.default().withOverrides({ invalidation: flushNs });
      const { results } = await compare(openBundled(), { phase: PHASE, cost, trackers: ['iommu:armv8-s2+split=lazy'] });
      const { faults, lostBytes, windows, leaves } = results[0].resize!.splitting;
      const fallen = await fallenOnFirstRead(await openBundled(), flushNs);
      expect({ faults, lostBytes, windows, leaves }).toEqual(fallen);
      expect(fallen.faults > 0).toBe(flushNs > 1e7);
    },
  );

  it('is the same again, byte for byte', async () => {
    expect(toJson(await compareWays(1e6)) === toJson(made.get(1e6) ?? (await compareWays(1e6)))).toBe(true);
  });

  it('takes two names of one strategy for one row', async () => {
    const trackers = [
      'iommu:armv8-s1+bbm+split=lazy',
      'iommu:armv8-s1+split=lazy+fault=abort',
      'iommu:armv8-s2+split=lazy',
    ];
    const { results } = await compare(openBundled(), { phase: PHASE, trackers, capNs: 0 });
    expect(results.map(({ tracker }) => tracker)).toEqual([trackers[0], trackers[2]]);
  });

  it.each<[CompareOptions, string[]]>([
    [{ leaf: ['4K', '8K', '2M'], trackers: ['iommu:amdv1+split=lazy'] }, ['8K', '2M']],
    [{ leaf: ['16K', '64K', '32M', '512M'], trackers: ['iommu:armv8-s1+split=lazy'] }, ['32M', '512M']],
    [{ leaf: ['64K', '1G'], trackers: ['iommu:riscv+split=eager'] }, ['64K', '1G']],
  ])('%o has rows for what can be split, and loses nothing', async (options, leaves) => {
    const { results } = await compare(openBundled(), { phase: PHASE, ...options });
    expect(results.map(({ leaf }) => leaf)).toEqual(leaves);
    expect(results.filter((r) => r.missedPages || r.stalePages || !r.resize!.splitting.leaves)).toEqual([]);
  });

  it('reads in windows too, eager and lazy', async () => {
    const trackers = ['iommu:armv8-s1+split=eager', 'iommu:armv8-s1+split=lazy', 'iommu:amdv1+split=lazy'];
    const cost = CostModel.default().withOverrides({ invalidation: 3e7 });
    const { results } = await compare(openBundled(), { windowNs: 20e6, trackers, cost });
    expect(results.map(({ missedPages, stalePages }) => missedPages + stalePages)).toEqual([0, 0, 0]);
    expect(results[1].resize!.splitting.faults).toBeGreaterThan(0);
  });

  it.each<[CompareOptions, RegExp]>([
    [{ trackers: ['iommu:amdv1+split=eager'], leaf: ['4K'] }, /no leaf of 4K to split; it can split 8K, 16K, /],
    [{ trackers: ['iommu:armv8-s1+split=eager'], leaf: ['16K', '64K'] }, /no leaf of 16K, 64K to split/],
    [{ trackers: ['iommu:vtdss+split=eager'], leaf: ['64K', '2M'] }, /has no leaf of 64K; it has 4K, 2M, 1G/],
    [{ trackers: ['iommu:amdv1+split=eager+merge'], windowNs: 1e9 }, /'\+merge' has no effect with windows/],
    [{ trackers: ['iommu:amdv1+nt+split=eager'] }, /no suffix '\+nt'/],
  ])('%o is refused', async (options, message) => {
    const refusal: unknown = await compare(openBundled(), options).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UsageError);
    expect((refusal as UsageError).message).toMatch(message);
  });
});
