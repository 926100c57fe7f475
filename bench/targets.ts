import type { AreaResult } from './result.ts';

/** A row of the table of targets: what a claim or a case of an area is to reach. */
type Target = {
  readonly what: string;
  readonly area: string;
} & (
  | {
      /** Name of the claim, whose contestant `of` may take at most so many times what the fastest of `against` takes. */
      readonly claim: string;
      readonly of: string;
      readonly against: readonly string[];
      readonly atMost: number;
    }
  | { readonly case: string; readonly atMostNs: number }
);

/** What became of a target. */
export interface Verdict {
  readonly what: string;
  /** Its limit, and what was reached, in `unit`; null where that was not measured. */
  readonly target: number;
  readonly reached: number | null;
  readonly unit: 'x C' | 'ns';
  readonly met: boolean | null;
  /** Why it was not measured; null where it was. */
  readonly why: string | null;
}

const CORE = 'core';
const PLAIN = 'C, plain';
const BEST = 'C, best';

/** Against C: how many times as long. */
function timesC(area: string, what: string, atMost: number, against: readonly string[] = [BEST]): Target {
  return { what, area, claim: what, of: CORE, against, atMost };
}

function dirtyTargets(share: number): Target[] {
  const claim = `read and clear dirty, 64 GiB by 4K, ${share} %`;
  const shared = { area: 'native-pagetable', claim, of: CORE };
  return [
    { ...shared, what: `${claim}, to plain scalar C`, against: [PLAIN], atMost: 0.3 },
    { ...shared, what: `${claim}, to the best C`, against: [BEST], atMost: 1.4 },
  ];
}

const RANGES = ['C, memset', 'C, word loop'];
const PAGETABLE = [PLAIN, BEST];

const TARGETS: readonly Target[] = [
  timesC('native-bitmap', 'mark random pages, 16 KiB bitmap', 1.2),
  timesC('native-bitmap', 'mark random pages, 32 MiB bitmap', 1.2),
  timesC('native-bitmap', 'mark ranges of 40 pages', 1.3, RANGES),
  timesC('native-bitmap', 'mark ranges of 512 pages', 1.5, RANGES),
  timesC('native-bitmap', 'mark ranges of 65536 pages', 1.1, RANGES),
  timesC('native-bitmap', 'find runs in 32 MiB, 0.1 % at random', 0.6),
  timesC('native-bitmap', 'find runs in 32 MiB, 5 % in runs of 64', 0.6),
  timesC('native-bitmap', 'find runs in 32 MiB, 5 % at random', 0.95),
  timesC('native-bitmap', 'find runs in 32 MiB, 50 % at random', 0.7),
  timesC('native-bitmap', 'count 32 MiB', 1.35),
  timesC('native-bitmap', 'OR and clear 32 MiB', 1.1),
  timesC('native-state', 'copy 4 KiB pages', 1.05),
  timesC('native-state', 'compare 2 x 64 MiB', 1.4),
  timesC('native-state', 'zero test', 1.3),
  timesC('native-state', 'delta against the last copy', 1.3),
  timesC('native-state', 'CRC32C', 2),
  timesC('native-dma', 'DMA batch, 64 Ki pages', 1.1),
  timesC('native-dma', 'DMA batch, 2 Mi pages', 1.1),
  timesC('native-dma', 'DMA batch, 90 % in 2048 pages', 1.1),
  timesC('native-dma', 'DMA batch, random over 64 GiB by 4K', 0.6),
  timesC('native-pagetable', 'map 64 GiB by 4K', 1.3, PAGETABLE),
  timesC('native-pagetable', 'map 256 x 4K in one call', 1.3, PAGETABLE),
  timesC('native-pagetable', 'unmap 64 GiB by 4K', 1.3, PAGETABLE),
  timesC('native-pagetable', 'unmap 256 x 4K in one call', 1.3, PAGETABLE),
  ...[0, 1, 10, 50, 100].flatMap(dirtyTargets),
  {
    what: 'one access through the API, IOTLB hit',
    area: 'dma',
    case: 'one by one, writes that hit the IOTLB',
    atMostNs: 15,
  },
  {
    what: 'replay the recording through a device log, decoding included',
    area: 'replay',
    case: 'decode and replay, device',
    atMostNs: 50,
  },
  {
    what: 'replay the recording through iommu:amdv1 4K, decoding included',
    area: 'replay',
    case: 'decode and replay, iommu:amdv1 4K',
    atMostNs: 50,
  },
];

/** What a target reached in the result of its area, or why that is not known; undefined where it was not asked for. */
function reachedIn(area: AreaResult, target: Target): number | string | undefined {
  if (area.absent !== null) return area.absent;
  if ('case' in target) {
    return area.cases.find(({ name }) => name === target.case)?.ns ?? failureOf(area, target.case);
  }
  const ratio = area.ratios.find(({ name }) => name === target.claim);
  if (!ratio) return failureOf(area, target.claim);
  const medianOf = (name: string) => ratio.contestants.find((contestant) => contestant.name === name)?.median ?? NaN;
  return medianOf(target.of) / Math.min(...target.against.map(medianOf));
}

function failureOf(area: AreaResult, name: string): string | undefined {
  return area.failures.find((failure) => failure.name === name || failure.name === 'set-up')?.message;
}

/** The targets that the results of `areas` say something about. Ratios are ratios of medians in one run. */
export function judge(areas: readonly AreaResult[]): Verdict[] {
  return TARGETS.flatMap((target): Verdict[] => {
    const area = areas.find((result) => result.area === target.area);
    const reached = area && reachedIn(area, target);
    if (reached === undefined) return [];
    const limit = 'case' in target ? target.atMostNs : target.atMost;
    const shared = { what: target.what, target: limit, unit: 'case' in target ? ('ns' as const) : ('x C' as const) };
    if (typeof reached === 'string') return [{ ...shared, reached: null, met: null, why: reached }];
    return [{ ...shared, reached, met: reached <= limit, why: null }];
  });
}
