import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { randomChoice } from '../../src/schedule/choice.ts';
import { Interleaver, type Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { runs } from '../runs.ts';
import { migration } from './agents.ts';
import { BUILDS, openBuild, type Build } from './builds.ts';
import { loses, witness, type Outcome } from './outcome.ts';
import { nestedScenario, NestedWorld, PAIRS, type NestedScenario } from './nested-world.ts';
import type { Order } from './scenario.ts';

const cores = new Map<Build, Core>();
let ran = 0;
beforeAll(async () => {
  for (const build of BUILDS) cores.set(build, await openBuild(build));
});
afterAll(() => console.log(`two stages: ${ran} random interleavings`));

function* queue(world: NestedWorld, d: number): Steps<void> {
  for (const dma of world.scenario.devices[d]) {
    if (world.stopping) break;
    yield* world.dma(world.devices[d], dma);
  }
  world.queuesRunning--;
}

function* guest(world: NestedWorld): Steps<void> {
  for (const change of world.scenario.guest) yield* world.guestSteps(change);
}

function* host(world: NestedWorld): Steps<void> {
  for (let i = 0; i < world.scenario.resizes; i++) yield* world.resizeSteps();
}

function agentsOf(world: NestedWorld): Agent[] {
  return [
    { name: 'migration', steps: migration(world) },
    ...world.devices.map((_, d) => ({ name: `device ${d}`, steps: queue(world, d) })),
    { name: 'guest', steps: guest(world) },
    { name: 'host', steps: host(world) },
  ];
}

interface NestedOutcome extends Outcome {
  readonly tableWrites: number;
}

function run(core: Core, scenario: NestedScenario, order: Order, seed: number): NestedOutcome {
  ran++;
  const world = new NestedWorld(core, scenario, order);
  const interleaver = new Interleaver(agentsOf(world));
  interleaver.run(randomChoice(seed));
  const { missedPages: missed, stalePages: stale, overReportedPages: over, reportedPages: reported } = world.totals();
  const { faults, astray, tableWrites, oracle } = world;
  const { trace, program } = interleaver;
  const page = oracle.firstMissed?.page ?? oracle.firstStalePage();
  world.close();
  return { missed, stale, over, unexplained: 0, reported, faults, astray, page, trace, program, tableWrites };
}

const EACH = PAIRS.flatMap((pair) =>
  [false, true].map((tracked) => ({
    pair,
    tracked,
    name: `${pair.name}, stage 1 ${tracked ? 'tracked' : 'untracked'}`,
  })),
);

describe.each(EACH)('$name', ({ pair, tracked }) => {
  const seeds = runs(pair.leafBytes / pair.partBytes > 100 ? 16 : 60);

  test('a guest that maps, a host that resizes, and reads lose nothing', () => {
    const found = Array.from({ length: seeds }, (_, seed) => {
      const core = cores.get(BUILDS[seed % BUILDS.length])!;
      return { seed, outcome: run(core, nestedScenario(seed, pair, tracked), 'safe', seed) };
    });
    const wrong = found.filter(({ outcome }) => loses(outcome));
    expect(wrong.map(({ seed, outcome }) => witness(`seed ${seed}`, outcome))).toEqual([]);
    const sum = (of: (outcome: NestedOutcome) => number) => found.reduce((n, { outcome }) => n + of(outcome), 0);
    expect([sum((o) => o.reported) > seeds, sum((o) => o.faults) > 0]).toEqual([true, true]);
    // Hardware writes the guest's tables where stage 1 is tracked, and nowhere else.
    expect(sum((o) => o.tableWrites) > 0).toBe(tracked);
  });

  test.each(['no-invalidate', 'copy-before-return', 'final-read-while-running'] as const)(
    '%s loses something',
    (order) => {
      const core = cores.get('release')!;
      let tries = 0;
      let found: NestedOutcome | undefined;
      for (; tries < 400 && !found; tries++) {
        const outcome = run(core, nestedScenario(tries, pair, tracked), order, tries);
        if (loses(outcome)) found = outcome;
      }
      expect(found).toBeDefined();
      expect(found!.astray).toBe(0);
    },
  );
});
