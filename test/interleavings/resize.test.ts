import { expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { runWhole, type Steps } from '../../src/schedule/step.ts';
import { randomChoice } from '../../src/schedule/choice.ts';
import { enumerateInterleavings } from '../../src/schedule/enumerate.ts';
import { runs } from '../runs.ts';
import { agentsOf } from './agents.ts';
import { BUILDS, openBuild } from './builds.ts';
import { loses, runOnce, witness } from './outcome.ts';
import { RESIZED, randomScenario, smallScenario, type Mapping } from './scenario.ts';
import { World } from './world.ts';

const CASES = BUILDS.flatMap((build) => RESIZED.map((mapping) => ({ build, mapping, name: mapping.name })));

// Over-reporting is no measure here: a merge in the middle of a read gives what was read already the dirty state of what was
// not, and a split hands it back to all parts, so it comes up in the next report once more.

const CHANGES = ['split', 'merge', 'break', 'make', 'mark', 'clear'];

test.each(CASES)(
  'T4 $build, $name: splits and merges under DMA and reads lose nothing, and only bbm refuses DMA',
  async ({ build, mapping }) => {
    const core = await openBuild(build);
    const steps = mapping.leafBytes / mapping.partBytes!;
    const seeds = runs(steps > 16 ? 10 : 60);
    const lost: string[] = [];
    const seen = { changes: 0, reported: 0, faults: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const outcome = runOnce(core, randomScenario(seed, mapping, 'iommu'), 'safe', randomChoice(seed));
      if (loses(outcome)) lost.push(witness(`seed ${seed}`, outcome));
      const agents = outcome.trace.map(({ agent }) => agent);
      const migrating = outcome.trace.slice(0, agents.lastIndexOf('migration'));
      seen.changes += migrating.filter(({ what }) => CHANGES.includes(what)).length;
      seen.reported += outcome.reported;
      seen.faults += outcome.faults;
    }
    expect(lost).toEqual([]);
    expect([seen.changes > seeds, seen.reported > seeds]).toEqual([true, true]);
    expect(seen.faults > 0).toBe(mapping.update === 'bbm');
  },
);

test('a read that does not invalidate loses writes here too', async () => {
  const core = await openBuild('release');
  const outcomes = Array.from({ length: 60 }, (_, seed) =>
    runOnce(core, randomScenario(seed, RESIZED[0], 'iommu'), 'no-invalidate', randomChoice(seed)),
  );
  expect(outcomes.some(loses)).toBe(true);
});

/** Small leaves, of which every interleaving with a change of size can be run. */
const SMALL = RESIZED.filter(({ name, lazy }) => /32K in 16K|64K in 4K/.test(name) && !lazy);

function* readOnce(world: World): Steps<void> {
  world.into.clear();
  const steps = world.read();
  for (let next = steps.next(), begun = false; !next.done; next = steps.next()) {
    yield next.value;
    if (!begun) world.oracle.begin();
    begun = true;
  }
  world.judge();
}

/** Every interleaving of DMA to a leaf, one change of its size and one read; what a last read still misses is lost. */
function exhaust(core: Core, mapping: Mapping, change: 'split' | 'merge', devices: number) {
  const small = smallScenario(mapping, 'iommu');
  const [[first], [second]] = small.devices;
  const scenario = { ...small, devices: devices > 1 ? [[first], [second]] : [[first]] };
  let world: World;
  let missed = 0;
  const start = () => {
    world = new World(core, scenario, 'safe');
    if (change === 'merge') runWhole(world.splitSteps());
    const devices = agentsOf(world).filter(({ name }) => name.startsWith('device'));
    const steps = change === 'split' ? world.splitSteps() : world.mergeSteps();
    return [...devices, { name: 'driver', steps }, { name: 'reader', steps: readOnce(world) }];
  };
  const count = enumerateInterleavings(start, () => {
    runWhole(readOnce(world));
    missed += world.totals().missedPages;
    world.close();
  });
  return { name: `${change} ${mapping.name}`, count, missed };
}

test.each(BUILDS)(
  'T1 %s: no interleaving of a DMA, a change of leaf sizes and a read loses anything',
  async (build) => {
    const core = await openBuild(build);
    // A second device makes some hundred times as many, which is too much for leaves of 16 entries.
    const devices = (mapping: Mapping) => (process.env.SOAK && mapping.format === 'amdv1' ? 2 : 1);
    // Both builds take the same steps; the release build takes them all, the debug build the quick ones.
    const chosen = SMALL.filter(({ format }) => build === 'release' || process.env.SOAK || format === 'amdv1');
    const found = chosen.flatMap((mapping) =>
      (['split', 'merge'] as const).map((change) => exhaust(core, mapping, change, devices(mapping))),
    );
    console.log(`${build}: ${found.map(({ name, count }) => `${name}: ${count} interleavings`).join('; ')}`);
    expect(found.filter(({ missed }) => missed > 0)).toEqual([]);
  },
  1_800_000,
);
