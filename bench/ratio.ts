import type { Case, Claim } from './case.ts';
import { loadNative } from './native.ts';
import { quantiles } from './quantiles.ts';
import { timeCalls, wallTime, type Clock } from './time-calls.ts';

/** One contestant's time per unit of work over that of the base, round by round: 0.1 is a tenth of the time. */
export interface Contestant {
  readonly name: string;
  readonly median: number;
  /** A quarter of the rounds lies below, a quarter above `high`. */
  readonly low: number;
  readonly high: number;
  /** Median nanoseconds per unit. */
  readonly ns: number;
}

/** A claim, measured. */
export interface Ratio {
  readonly name: string;
  /** The contestant that stands for 1. */
  readonly base: string;
  readonly unit: string;
  readonly rounds: number;
  /** What was counted: the time that the thread ran, or time as it passes. */
  readonly clock: 'thread' | 'wall';
  readonly contestants: readonly Contestant[];
}

const SLICE_NS = 8e6;
/** What comes before each call is not timed, but it is waited for: a slice ends here at the latest. */
const SLICE_WAIT_NS = 80e6;
const MIN_ROUNDS = 9;

/** How many calls of a case fill a slice of a round. */
async function callsPerSlice(test: Case, clock: Clock): Promise<number> {
  for (let calls = 1; ; calls *= 2) {
    const start = performance.now();
    const ns = await timeCalls(test, calls, clock);
    const waitedNs = (performance.now() - start) * 1e6;
    if (ns < SLICE_NS / 2 && waitedNs < SLICE_WAIT_NS / 2) continue;
    return Math.max(1, Math.round(calls * Math.min(SLICE_NS / ns, SLICE_WAIT_NS / waitedNs)));
  }
}

function byName(cases: readonly Case[], name: string): Case {
  const found = cases.find((test) => test.name === name);
  if (found) return found;
  throw new RangeError(`there is no case '${name}'; there are ${cases.map((test) => test.name).join(', ')}`);
}

/**
 * Measures a claim: each round runs every contestant, every other round in reverse order, and gives a ratio of its own, so
 * that a machine that drifts or is shared weighs on all alike. About `seconds` per contestant, at least nine rounds.
 */
export async function compareInTurn(claim: Claim, cases: readonly Case[], seconds: number): Promise<Ratio> {
  const tests = claim.cases.map((name) => byName(cases, name));
  const [base] = tests;
  const stray = tests.find(({ unit }) => unit !== base.unit);
  if (stray) throw new RangeError(`${claim.name}: ${stray.name} counts ${stray.unit}s; ${base.name} ${base.unit}s`);
  // What other programs take is not counted; what a promise waits for on other threads would not be either.
  const native = tests.some(({ awaits }) => awaits) ? undefined : loadNative();
  const clock = native ? () => native.threadTime() : wallTime;
  const calls: number[] = [];
  for (const test of tests) calls.push(await callsPerSlice(test, clock));
  const ratios: number[][] = tests.map(() => []);
  const times: number[][] = tests.map(() => []);
  const order = tests.map((_, i) => i);
  const start = performance.now();
  let rounds = 0;
  for (; rounds < MIN_ROUNDS || performance.now() - start < seconds * 1000 * tests.length; rounds++) {
    const perUnit: number[] = [];
    for (const i of order) perUnit[i] = (await timeCalls(tests[i], calls[i], clock)) / calls[i] / tests[i].work;
    for (const i of order) ratios[i].push(perUnit[i] / perUnit[0]);
    for (const i of order) times[i].push(perUnit[i]);
    order.reverse();
  }
  const labels = claim.labels ?? claim.cases;
  const contestants = labels.map((name, i) => {
    const { median, low, high } = quantiles(ratios[i]);
    return { name, median, low, high, ns: quantiles(times[i]).median };
  });
  return { name: claim.name, base: labels[0], unit: base.unit, rounds, clock: native ? 'thread' : 'wall', contestants };
}
