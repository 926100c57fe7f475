import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { randomChoice } from '../../src/schedule/choice.ts';
import { runs } from '../runs.ts';
import { BUILDS, openBuild, type Build } from './builds.ts';
import { isSound, loses, ran, runOnce, witness, type Outcome } from './outcome.ts';
import { HARDWARE, MAPPINGS, randomScenario, RESIZED, type Scenario } from './scenario.ts';

const cores = new Map<Build, Core>();
beforeAll(async () => {
  for (const build of BUILDS) cores.set(build, await openBuild(build));
});
afterAll(() => console.log(`hardware: ${ran.count} random interleavings`));

/** Both builds by turns: a seed says which. */
function outcomes(seeds: number, scenario: (seed: number) => Scenario): { seed: number; outcome: Outcome }[] {
  return Array.from({ length: seeds }, (_, seed) => {
    const core = cores.get(BUILDS[seed % BUILDS.length])!;
    return { seed, outcome: runOnce(core, scenario(seed), 'safe', randomChoice(seed)) };
  });
}

describe.each(HARDWARE)('with $name', (hardware) => {
  const eager = hardware.ats?.requestWrite === 'always';

  test.each(MAPPINGS)('reads of $name lose nothing', (mapping) => {
    const found = outcomes(runs(12), (seed) => ({ ...randomScenario(seed, mapping, 'iommu'), hardware }));
    // Where a read makes its leaf dirty, reports hold leaves that were never written.
    const wrong = found.filter(({ outcome }) => (eager ? loses(outcome) : !isSound(outcome)));
    expect(wrong.map(({ seed, outcome }) => witness(`seed ${seed}`, outcome))).toEqual([]);
    const reported = found.reduce((sum, { outcome }) => sum + outcome.reported, 0);
    const unexplained = found.some(({ outcome }) => outcome.unexplained > 0);
    expect([reported > found.length, unexplained]).toEqual([true, eager]);
  });

  test.each(RESIZED.filter(({ leafBytes, partBytes }) => leafBytes / partBytes! <= 16))(
    'splits and merges of $name lose nothing',
    (mapping) => {
      const found = outcomes(runs(4), (seed) => ({ ...randomScenario(seed, mapping, 'iommu'), hardware }));
      const wrong = found.filter(({ outcome }) => loses(outcome));
      expect(wrong.map(({ seed, outcome }) => witness(`seed ${seed}`, outcome))).toEqual([]);
      if (mapping.update !== 'bbm') expect(found.filter(({ outcome }) => outcome.faults > 0)).toEqual([]);
    },
  );
});

describe('leaves of the memory that are taken away and given back', () => {
  const swapped = (
    seed: number,
    mapping: (typeof MAPPINGS)[number],
    swapping: 'read' | 'read-and-clear' | 'forget',
  ) => ({
    ...randomScenario(seed, mapping, 'iommu'),
    swapping,
  });

  const EACH = MAPPINGS.flatMap((mapping) =>
    (['read', 'read-and-clear'] as const).map((swapping) => ({ name: mapping.name, mapping, swapping })),
  );

  test.each(EACH)('$name: a $swapping before the unmap goes into the next report', ({ mapping, swapping }) => {
    const found = outcomes(runs(12), (seed) => swapped(seed, mapping, swapping));
    const wrong = found.filter(({ outcome }) => loses(outcome) || outcome.faults > 0);
    expect(wrong.map(({ seed, outcome }) => witness(`seed ${seed}`, outcome))).toEqual([]);
    expect(found.every(({ outcome }) => outcome.trace.some(({ what }) => what === 'unmap'))).toBe(true);
  });

  test('what is forgotten is lost', () => {
    const found = outcomes(200, (seed) => swapped(seed, MAPPINGS[0], 'forget')).filter(({ outcome }) => loses(outcome));
    expect(found.length).toBeGreaterThan(0);
    const { seed, outcome } = found.reduce((a, b) => (b.outcome.trace.length < a.outcome.trace.length ? b : a));
    console.log(witness(`forget: ${found.length} of 200 interleavings; seed ${seed}`, outcome));
  });
});
