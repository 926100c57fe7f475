import { expect, test } from 'vitest';
import { randomChoice } from '../../src/schedule/choice.ts';
import { runs } from '../runs.ts';
import { BUILDS, openBuild } from './builds.ts';
import { isSound, loses, runOnce, witness } from './outcome.ts';
import { HARDWARE, MAPPINGS, randomScenario, RESIZED, type Mapping, type Scenario } from './scenario.ts';

/** Random interleavings: a million in the long form as it is by default (SOAK=20). */
const INTERLEAVINGS = process.env.SOAK ? runs(50_000) : 1_000;

/** All sound ways to track, to change leaf sizes and to take leaves away whose worlds take few steps. */
const WORLDS: readonly ((seed: number) => Scenario)[] = [
  ...MAPPINGS.flatMap((mapping) => [
    (seed: number) => randomScenario(seed, mapping, 'iommu'),
    (seed: number): Scenario => ({ ...randomScenario(seed, mapping, 'iommu'), swapping: 'read' }),
    (seed: number) => randomScenario(seed, mapping, 'device-log'),
  ]),
  ...RESIZED.filter(({ leafBytes, partBytes }) => leafBytes / partBytes! <= 16).map(
    (mapping: Mapping) => (seed: number) => randomScenario(seed, mapping, 'iommu'),
  ),
];

/** The scenario of a seed: each world in turn, by turns with each kind of hardware. */
function scenarioOf(seed: number): Scenario {
  const kind = Math.floor(seed / WORLDS.length) % (HARDWARE.length + 1);
  const hardware = HARDWARE[kind - 1];
  // Tracking that begins in mid-course goes through every entry: many steps of one kind.
  const scenario = { ...WORLDS[seed % WORLDS.length](seed), fromStart: false };
  return hardware ? { ...scenario, hardware } : scenario;
}

test(`${INTERLEAVINGS} random interleavings of all sound policies lose nothing`, async () => {
  const cores = await Promise.all(BUILDS.map(openBuild));
  const first = Math.max(0, Number(process.env.SEED) || 0) % 2 ** 31;
  const lost: string[] = [];
  let refused = 0;
  for (let i = 0; i < INTERLEAVINGS; i++) {
    const seed = first + i;
    const scenario = scenarioOf(seed);
    // The debug build is there to find traps, and is slow.
    const core = cores[i % 10 === 0 ? 1 : 0];
    const outcome = runOnce(core, scenario, 'safe', randomChoice(seed));
    const { mapping, swapping, hardware } = scenario;
    const exact = !mapping.partBytes && !swapping && hardware?.ats?.requestWrite !== 'always';
    if (exact ? !isSound(outcome) : loses(outcome)) lost.push(witness(`seed ${seed}`, outcome));
    if (mapping.update !== 'bbm') refused += outcome.faults;
    if (lost.length > 3) break;
  }
  console.log(`${INTERLEAVINGS} random interleavings from seed ${first} on: ${lost.length} lose something`);
  expect(lost).toEqual([]);
  expect(refused).toBe(0);
}, 3_600_000);
