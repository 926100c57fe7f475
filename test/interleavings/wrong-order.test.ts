import { beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { programChoice, randomChoice } from '../../src/schedule/choice.ts';
import { runs } from '../runs.ts';
import { BUILDS, openBuild, type Build } from './builds.ts';
import { isSound, runOnce, witness, type Outcome } from './outcome.ts';
import { MAPPINGS, smallScenario, type Order, type Scenario, type TrackerKind } from './scenario.ts';

const TRIES = runs(120);
const cores = new Map<Build, Core>();
beforeAll(async () => {
  for (const build of BUILDS) cores.set(build, await openBuild(build));
});

/**
 * Which of the oracle's measures sees a wrong order. A write that lands behind the return of the report that should have held it
 * is missed by the next one, and its page is stale. Where the reports are right and only the copy is too old, or no report
 * comes any more, the page is stale and nothing is missed.
 */
const BOTH = { missed: true, stale: true };
const STALE_ONLY = { missed: false, stale: true };
const SEEN_BY: readonly { tracker: TrackerKind; order: Order; seenBy: typeof BOTH }[] = [
  { tracker: 'iommu', order: 'report-before-completion', seenBy: BOTH },
  { tracker: 'iommu', order: 'no-invalidate', seenBy: BOTH },
  { tracker: 'iommu', order: 'invalidate-before-clear', seenBy: BOTH },
  { tracker: 'iommu', order: 'copy-before-return', seenBy: STALE_ONLY },
  { tracker: 'iommu', order: 'final-read-while-running', seenBy: STALE_ONLY },
  { tracker: 'device-log', order: 'report-before-completion', seenBy: BOTH },
  { tracker: 'device-log', order: 'copy-before-return', seenBy: STALE_ONLY },
  { tracker: 'device-log', order: 'final-read-while-running', seenBy: STALE_ONLY },
];
const CASES = BUILDS.flatMap((build) => SEEN_BY.map((wrong) => ({ build, ...wrong })));

interface Loss {
  readonly seed: number;
  readonly outcome: Outcome;
}

function search(core: Core, scenario: Scenario, order: Order): Loss[] {
  return Array.from({ length: TRIES }, (_, seed) => ({
    seed,
    outcome: runOnce(core, scenario, order, randomChoice(seed)),
  })).filter(({ outcome }) => outcome.missed + outcome.stale > 0);
}

function shortest(losses: readonly Loss[]): Loss {
  return losses.reduce((best, loss) => (loss.outcome.trace.length < best.outcome.trace.length ? loss : best));
}

describe.each(CASES)('$order, $tracker, $build', ({ build, tracker, order, seenBy }) => {
  test.each(MAPPINGS)('is caught with $name', (mapping) => {
    const core = cores.get(build)!;
    const scenario = smallScenario(mapping, tracker);
    const losses = search(core, scenario, order);
    expect(losses.length).toBeGreaterThan(0);
    if (build === 'release' && mapping === MAPPINGS[0]) {
      const { seed, outcome } = shortest(losses);
      const rate = `${losses.length} of ${TRIES} interleavings lose something`;
      console.log(witness(`${tracker}, ${mapping.name}, ${order}: ${rate}; seed ${seed}`, outcome));
    }
    const seen = {
      missed: losses.some(({ outcome }) => outcome.missed > 0),
      stale: losses.some(({ outcome }) => outcome.stale > 0),
    };
    expect(seen).toEqual(seenBy);

    const safe = losses.flatMap(({ seed, outcome }) => [
      runOnce(core, scenario, 'safe', programChoice(outcome.program)),
      runOnce(core, scenario, 'safe', randomChoice(seed)),
    ]);
    expect(safe.filter((outcome) => !isSound(outcome))).toEqual([]);
  });
});

describe.each(['iommu', 'device-log'] as const)('a read without clearing, %s', (tracker) => {
  test('loses nothing, and reports pages again that were not written again', () => {
    const core = cores.get('release')!;
    const scenario = smallScenario(MAPPINGS[0], tracker);
    const outcomes = Array.from({ length: TRIES }, (_, seed) =>
      runOnce(core, scenario, 'no-clear', randomChoice(seed)),
    );
    const lost = outcomes.filter(({ missed, stale }) => missed + stale > 0);
    expect(lost).toEqual([]);
    expect(outcomes.some(({ over, unexplained }) => over > 0 && unexplained > 0)).toBe(true);
  });
});

test('a witness names the page and every step, and its program leads there again', () => {
  const core = cores.get('release')!;
  const scenario = smallScenario(MAPPINGS[0], 'iommu');
  const { outcome } = shortest(search(core, scenario, 'no-invalidate'));
  expect(runOnce(core, scenario, 'no-invalidate', programChoice(outcome.program))).toEqual(outcome);
  const lines = witness('no-invalidate', outcome).split('\n');
  expect(lines[0]).toMatch(/^no-invalidate: \d+ missed, \d+ stale; page 0$/);
  expect(lines).toHaveLength(1 + outcome.trace.length);
  expect(lines.some((line) => /device 0 queue 0 +land 0x40000000 \+ 64$/.test(line))).toBe(true);
});
