import { expect, test } from 'vitest';
import { randomChoice } from '../../src/schedule/choice.ts';
import { runs } from '../runs.ts';
import { BUILDS, openBuild } from './builds.ts';
import { runOnce, witness, type Outcome } from './outcome.ts';
import { RESIZED, randomScenario } from './scenario.ts';

const CASES = BUILDS.flatMap((build) => RESIZED.map((mapping) => ({ build, mapping, name: mapping.name })));

/**
 * Whether a write was lost. Over-reporting is no measure here: a merge in the middle of a read gives what was read already
 * the dirty state of what was not, and a split hands it back to all parts, so it comes up in the next report once more.
 */
function loses({ missed, stale }: Outcome): boolean {
  return missed > 0 || stale > 0;
}

test.each(CASES)('$build, $name: splits and merges under DMA and reads lose nothing', async ({ build, mapping }) => {
  const core = await openBuild(build);
  const steps = mapping.leafBytes / mapping.partBytes!;
  const seeds = runs(steps > 16 ? 4 : 60);
  const lost: string[] = [];
  const seen = { split: 0, merge: 0, reported: 0 };
  for (let seed = 0; seed < seeds; seed++) {
    const outcome = runOnce(core, randomScenario(seed, mapping, 'iommu'), 'safe', randomChoice(seed));
    if (loses(outcome)) lost.push(witness(`seed ${seed}`, outcome));
    const agents = outcome.trace.map(({ agent }) => agent);
    const migrating = outcome.trace.slice(0, agents.lastIndexOf('migration'));
    for (const { what } of migrating) if (what === 'split' || what === 'merge') seen[what]++;
    seen.reported += outcome.reported;
  }
  expect(lost).toEqual([]);
  expect([seen.split > seeds, seen.merge > 0, seen.reported > seeds]).toEqual([true, true, true]);
});

test('a read that does not invalidate loses writes here too', async () => {
  const core = await openBuild('release');
  const outcomes = Array.from({ length: 60 }, (_, seed) =>
    runOnce(core, randomScenario(seed, RESIZED[0], 'iommu'), 'no-invalidate', randomChoice(seed)),
  );
  expect(outcomes.some(loses)).toBe(true);
});
