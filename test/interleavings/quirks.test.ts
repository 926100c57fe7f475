import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { WRITE } from '../../src/iommu/access.ts';
import { QUIRKS, type QuirkName } from '../../src/iommu/quirks.ts';
import { Prng } from '../../src/random/prng.ts';
import { randomChoice, type Choice } from '../../src/schedule/choice.ts';
import { openBuild } from './builds.ts';
import { ran, runOnce, witness, type Outcome } from './outcome.ts';
import { HARDWARE, MAPPINGS, PAGE, randomScenario, RESIZED, smallScenario, type Scenario } from './scenario.ts';

let core: Core;
beforeAll(async () => {
  core = await openBuild('release');
});
afterAll(() => console.log(`quirks: ${ran.count} random interleavings`));

const mapped = (name: string) => [...MAPPINGS, ...RESIZED].find((mapping) => mapping.name === name)!;
const hardware = (name: string) => HARDWARE.find((one) => one.name === name)!;

/** Where a quirk does harm, or why it does none; all but the quirk is in safe order. */
interface Harm {
  readonly quirk: QuirkName;
  readonly mapping: string;
  readonly with?: Partial<Scenario>;
  /** What the quirk costs: writes that are lost, leaves that are reported though nothing was written there, DMA that goes astray. */
  readonly costs: 'writes' | 'precision' | 'place';
  /** The migration does most of the steps: where it has far more than the devices. */
  readonly hurry?: boolean;
  /** Default TRIES. */
  readonly tries?: number;
}

/** Queues of DMA to the leaf behind the memory. */
const BEHIND = [1, 2].map(() => Array.from({ length: 6 }, () => ({ offset: 4 * PAGE, length: 64, access: WRITE })));

const HARM: readonly Harm[] = [
  { quirk: 'skip-flush-after-clear', mapping: 'armv8-s1 4K', costs: 'writes' },
  { quirk: 'unaligned-query-start', mapping: 'amdv1 32K', with: { queryBytes: 12288 }, costs: 'writes' },
  { quirk: 'clear-whole-leaf', mapping: 'amdv1 32K', with: { queryBytes: 16384 }, costs: 'writes' },
  { quirk: 'clear-one-replica', mapping: 'amdv1 32K', costs: 'precision' },
  { quirk: 'split-forgets-dirty', mapping: 'amdv1 32K in 16K direct', costs: 'writes' },
  {
    quirk: 'enable-without-flush',
    mapping: 'amdv1 4K',
    with: { fromStart: true, remaps: 0, devices: smallScenario(MAPPINGS[0], 'iommu').devices },
    hurry: true,
    tries: 5,
    costs: 'writes',
  },
  { quirk: 'flush-other-domain', mapping: 'amdv1 4K', costs: 'writes' },
  { quirk: 'flush-other-domain', mapping: 'armv8-s1 4K', costs: 'writes' },
  {
    quirk: 'flush-leaf-only',
    mapping: 'amdv1 4K',
    with: { hardware: hardware('a walk cache'), remaps: 2, far: true, devices: [BEHIND, BEHIND] },
    costs: 'place',
  },
  {
    quirk: 'flush-smaller-than-leaf',
    mapping: 'amdv1 32K',
    with: { hardware: hardware('vendor commands') },
    costs: 'writes',
  },
  {
    quirk: 'flush-smaller-than-leaf',
    mapping: 'amdv1 32K in 16K direct',
    with: { hardware: hardware('vendor commands') },
    costs: 'writes',
  },
  { quirk: 'skip-device-flush', mapping: 'vtdss 4K', with: { hardware: hardware('ATS') }, costs: 'writes' },
  {
    quirk: 'flush-devices-first',
    mapping: 'vtdss 4K',
    with: { hardware: hardware('ATS') },
    costs: 'writes',
    tries: 500,
  },
];

const COSTLY: Record<Harm['costs'], (outcome: Outcome) => boolean> = {
  writes: ({ missed, stale }) => missed + stale > 0,
  precision: ({ unexplained }) => unexplained > 0,
  place: ({ astray }) => astray > 0,
};

/** A DMA of the last device first; then mostly the first agent, which is the migration. */
function mostlyFirst(seed: number): Choice {
  const prng = new Prng(seed);
  let taken = 0;
  return (runnable) => {
    if (taken++ < 2) return runnable - 1;
    return prng.below(400) > 0 ? 0 : prng.below(runnable);
  };
}

const TRIES = 100;

/** The outcomes with the quirk that cost something, and those without it of the same seeds. */
function search({ quirk, mapping, with: more, costs, hurry, tries = TRIES }: Harm): {
  harmed: Outcome[];
  strict: Outcome[];
} {
  const scenario = (seed: number) => ({ ...randomScenario(seed, mapped(mapping), 'iommu'), fromStart: false, ...more });
  const run = (seed: number, quirks: readonly QuirkName[]) =>
    runOnce(core, { ...scenario(seed), quirks }, 'safe', hurry ? mostlyFirst(seed) : randomChoice(seed));
  const seeds = Array.from({ length: tries }, (_, seed) => seed);
  const costly = COSTLY[costs];
  return {
    harmed: seeds.map((seed) => run(seed, [quirk])).filter(costly),
    strict: seeds.map((seed) => run(seed, [])).filter(costly),
  };
}

describe('quirks under DMA', () => {
  test.each(HARM)('$quirk costs $costs with $mapping, strict none', (harm) => {
    const { harmed, strict } = search(harm);
    expect(strict).toEqual([]);
    expect(harmed.length).toBeGreaterThan(0);
    const shortest = harmed.reduce((a, b) => (b.trace.length < a.trace.length ? b : a));
    const rate = `${harm.quirk}, ${harm.mapping}: ${harmed.length} of ${harm.tries ?? TRIES} interleavings`;
    // With tracking switched on in its course it takes hundreds of steps.
    console.log(shortest.trace.length > 100 ? rate : witness(rate, shortest));
  });

  test('each quirk is among them', () => {
    expect(new Set(HARM.map(({ quirk }) => quirk))).toEqual(new Set(QUIRKS.map(({ name }) => name)));
  });
});
