import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { programChoice, randomChoice } from '../../src/schedule/choice.ts';
import { enumerateInterleavings } from '../../src/schedule/enumerate.ts';
import { runs } from '../runs.ts';
import { agentsOf } from './agents.ts';
import { BUILDS, openBuild, type Build } from './builds.ts';
import { isSound, outcomeOf, runOnce, witness, type Outcome } from './outcome.ts';
import { largerScenario, MAPPINGS, PAGE, randomScenario, smallScenario, type Scenario } from './scenario.ts';
import { World } from './world.ts';

const cores = new Map<Build, Core>();
beforeAll(async () => {
  for (const build of BUILDS) cores.set(build, await openBuild(build));
});

/** Everything that can be tracked: dirty bits over each mapping, and logs of 4 KiB pages, for which the leaf does not matter. */
const TRACKED = MAPPINGS.flatMap((mapping) => [
  { name: `dirty bits of ${mapping.name}`, mapping, tracker: 'iommu' as const, exact: mapping.leafBytes === PAGE },
  { name: `device log, ${mapping.name}`, mapping, tracker: 'device-log' as const, exact: true },
]);
const CASES = BUILDS.flatMap((build) => TRACKED.map((tracked) => ({ build, ...tracked })));

/** Runs all interleavings of the scenario; how many, how many of them lost something, and the first of these. */
function exhaust(core: Core, scenario: Scenario): { count: number; unsound: number; first: string } {
  let world: World;
  let unsound = 0;
  let first = '';
  const start = () => agentsOf((world = new World(core, scenario, 'safe')));
  const count = enumerateInterleavings(start, (interleaver) => {
    const outcome = outcomeOf(world, interleaver);
    if (!isSound(outcome) && unsound++ === 0) first = witness('lost in safe order', outcome);
    world.close();
  });
  return { count, unsound, first };
}

describe.each(CASES)('safe order, $build, $name', ({ build, mapping, tracker, exact }) => {
  test('random interleavings lose nothing', () => {
    // Both builds take the same steps, as a test below looks at; the release build takes more of them.
    const seeds = runs((tracker === 'iommu' ? 200 : 60) / (build === 'debug' ? 2 : 1));
    let over = 0;
    let reported = 0;
    const lost: string[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const scenario = randomScenario(seed, mapping, tracker);
      const outcome = runOnce(cores.get(build)!, scenario, 'safe', randomChoice(seed));
      if (!isSound(outcome)) lost.push(witness(`seed ${seed}`, outcome));
      over += outcome.over;
      reported += outcome.reported;
    }
    expect(lost).toEqual([]);
    expect(reported).toBeGreaterThan(seeds);
    // With leaves of 4 KiB, and in a log of such pages, a report holds written pages only. A larger leaf is reported as a
    // whole: `isSound` has checked that each page reported lies in a leaf on which something landed.
    if (exact) expect(over).toBe(0);
    else expect(over).toBeGreaterThan(0);
  });
});

describe.each(BUILDS)('safe order, %s, exhaustively', (build) => {
  test('no interleaving of three writes and a migration loses anything', () => {
    const first = MAPPINGS.filter(({ format }, i) => MAPPINGS.findIndex((mapping) => mapping.format === format) === i);
    // The release build takes all steps of all sizes, the debug build those of one size of each format.
    const chosen = build === 'release' || process.env.SOAK ? MAPPINGS : first;
    const scenarios = TRACKED.filter(({ mapping, tracker }) =>
      tracker === 'iommu' ? chosen.includes(mapping) : mapping === MAPPINGS[0],
    );
    const counts = scenarios.map(({ name, mapping, tracker }) => {
      return { name, ...exhaust(cores.get(build)!, smallScenario(mapping, tracker)) };
    });
    console.log(`${build}: ${counts.map(({ name, count }) => `${name}: ${count} interleavings`).join('; ')}`);
    expect(counts.filter(({ unsound }) => unsound > 0)).toEqual([]);
    // One leaf takes the same steps in every format and size.
    const dirtyBits = counts.filter(({ name }) => name.startsWith('dirty bits'));
    expect(new Set(dirtyBits.map(({ count }) => count)).size).toBe(1);
  });

  test.runIf(process.env.SOAK)(
    'no interleaving over two leaves, with a read beside the writes, loses anything',
    () => {
      const counts = TRACKED.map(({ name, mapping, tracker }) => {
        return { name, ...exhaust(cores.get(build)!, largerScenario(mapping, tracker)) };
      });
      console.log(`${build}: ${counts.map(({ name, count }) => `${name}: ${count} interleavings`).join('; ')}`);
      expect(counts.filter(({ unsound }) => unsound > 0)).toEqual([]);
    },
    1_800_000,
  );
});

test('any program of u32 numbers is an interleaving that loses nothing', () => {
  const tracked = fc.constantFrom(...TRACKED);
  const program = fc.uint32Array({ maxLength: 120 });
  fc.assert(
    fc.property(tracked, fc.nat(), program, ({ mapping, tracker }, seed, choices) => {
      const scenario = randomScenario(seed, mapping, tracker);
      const { missed, stale, unexplained } = runOnce(cores.get('release')!, scenario, 'safe', programChoice(choices));
      expect({ missed, stale, unexplained }).toEqual({ missed: 0, stale: 0, unexplained: 0 });
    }),
    { seed: 2601, numRuns: runs(300) },
  );
});

test('both builds come to the same outcome, step by step', () => {
  const outcomes = (build: Build): Outcome[] =>
    TRACKED.flatMap(({ mapping, tracker }) =>
      [1, 2, 3].map((seed) => {
        const scenario = randomScenario(seed, mapping, tracker);
        return runOnce(cores.get(build)!, scenario, 'safe', randomChoice(seed));
      }),
    );
  expect(outcomes('debug')).toEqual(outcomes('release'));
});

test('a run that starts before tracking does copies everything once', () => {
  const scenario = { ...smallScenario(MAPPINGS[0], 'iommu'), fromStart: true };
  const { trace } = runOnce(cores.get('release')!, scenario, 'safe', randomChoice(5));
  const steps = trace.filter(({ agent }) => agent === 'migration').map(({ what }) => what);
  expect(steps.slice(0, 3)).toEqual(['enable', 'invalidate', 'complete']);
  // All entries of the domain are cleaned, then everything is copied, then the rounds begin.
  const copies = steps.indexOf('copy page 0');
  expect(new Set(steps.slice(3, copies))).toEqual(new Set(['clear', 'invalidate', 'complete']));
  expect(steps[copies + 1]).toBe('clear');
});
