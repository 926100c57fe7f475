import type { Core } from '../../src/core/core.ts';
import type { Choice } from '../../src/schedule/choice.ts';
import { Interleaver } from '../../src/schedule/interleaver.ts';
import { agentsOf } from './agents.ts';
import type { Order, Scenario } from './scenario.ts';
import { World } from './world.ts';

/** How a run ended, in 4 KiB pages, and how it came to that. */
export interface Outcome {
  readonly missed: number;
  readonly stale: number;
  readonly over: number;
  /** Over-reported pages of leaves on which nothing had landed. */
  readonly unexplained: number;
  /** Pages reported, summed over all reports. */
  readonly reported: number;
  /** DMA to the memory that was refused. */
  readonly faults: number;
  /** DMA that landed where no mapping says. */
  readonly astray: number;
  /** A missed page, or else a stale one. */
  readonly page: number | null;
  readonly trace: Interleaver['trace'];
  readonly program: readonly number[];
}

/** What came of a world whose agents have all ended. */
export function outcomeOf(world: World, { trace, program }: Interleaver): Outcome {
  const totals = world.totals();
  return {
    missed: totals.missedPages,
    stale: totals.stalePages,
    over: totals.overReportedPages - world.excusedOver,
    unexplained: world.unexplained,
    reported: totals.reportedPages,
    faults: world.faults,
    astray: world.astray,
    page: world.oracle.firstMissed?.page ?? world.oracle.firstStalePage(),
    trace,
    program,
  };
}

/** How many interleavings `runOnce` has run in this file's tests. */
export const ran = { count: 0 };

/** Runs one interleaving from scratch. */
export function runOnce(core: Core, scenario: Scenario, order: Order, choose: Choice): Outcome {
  ran.count++;
  const world = new World(core, scenario, order);
  const interleaver = new Interleaver(agentsOf(world));
  interleaver.run(choose);
  const outcome = outcomeOf(world, interleaver);
  world.close();
  return outcome;
}

/** Whether nothing was lost, and everything reported lies in a leaf (of a log: on a page) that was written. */
export function isSound(outcome: Outcome): boolean {
  return !loses(outcome) && outcome.unexplained === 0;
}

/**
 * Whether a write was lost, or landed in the wrong place. Over-reporting is no measure where leaves change size, reads overlap, or a device asks for write before
 * it writes.
 */
export function loses({ missed, stale, astray }: Outcome): boolean {
  return missed > 0 || stale > 0 || astray > 0;
}

/** The steps of a run, for people. */
export function witness(title: string, outcome: Outcome): string {
  const { missed, stale, page, trace } = outcome;
  const steps = trace.map(({ agent, what }, i) => `  ${String(i + 1).padStart(3)}  ${agent.padEnd(16)} ${what}`);
  return [`${title}: ${missed} missed, ${stale} stale; page ${page}`, ...steps].join('\n');
}
