import { PAGE_BYTES } from './page-bytes.ts';
import type { RoundResult } from './rounds-result.ts';

/** The last rounds that the dirty rate is taken over. */
const RATE_ROUNDS = 3;

/** The bounds within which a round is said to leave "about as much" as it sends. */
const ABOUT = { from: 0.9, to: 1.1 };

/** The figures of the moment at which the verdict fell. */
export interface Situation {
  /** Pre-copy rounds so far. */
  readonly rounds: readonly RoundResult[];
  /** 4 KiB pages of RAM. */
  readonly ramPages: number;
  /** Pages left to send. */
  readonly remainingPages: number;
  /** Pages that fit into the downtime limit beside the devices' state; below 0 where that does not fit alone. */
  readonly fittingPages: number;
  /** Bytes that devices would have to send once they are stopped; undefined where none has state. */
  readonly stateBytes: number | undefined;
  readonly linkBitsPerSecond: number;
  readonly downtimeLimitNs: number;
  readonly capNs: number;
}

/** Why the switchover could begin. */
export function whyConverged(at: Situation): string {
  const fits = whatFits(at);
  if (at.rounds.length === 0) {
    return `All of RAM fits the downtime limit at once, so no pre-copy round was needed: it has ${pages(at.ramPages)}, and ${fits}.`;
  }
  return `After ${count(at.rounds.length, 'pre-copy round')} ${pages(at.remainingPages)} remained, and ${fits}.`;
}

/** Why the cap of simulated time was reached first. */
export function whyNotConverging(at: Situation): string {
  const cap = `the cap of ${duration(at.capNs)}`;
  const fits = whatFits(at);
  if (at.rounds.length === 0) {
    return `Sending RAM once, ${pages(at.ramPages)}, takes longer than ${cap}, and ${fits}.`;
  }
  const last = at.rounds.slice(-RATE_ROUNDS);
  return `When another round would have passed ${cap}, ${pages(at.remainingPages)} remained, and ${fits}; ${trend(last, at)}.`;
}

/** Why no further round would have helped. */
export function whyStateTooLarge(at: Situation): string {
  const left = `After ${count(at.rounds.length, 'pre-copy round')} ${pages(at.remainingPages)} remained`;
  return `${left}, and ${whatFits(at)}, of which further rounds would send nothing ahead.`;
}

/** Why there was nothing more to decide on. */
export function whyInputEnded(at: Situation, endNs: number): string {
  const where = `during round ${at.rounds.length - 1}, ${duration(endNs)} into the migration`;
  const fits = whatFits(at);
  return `The recording ended ${where}; ${pages(at.remainingPages)} remained, and ${fits}.`;
}

/** `the downtime limit of 40 ms fits 1220`, beside what the devices' state takes of it. */
function whatFits(at: Situation): string {
  const limit = `the downtime limit of ${duration(at.downtimeLimitNs)}`;
  if (at.stateBytes === undefined) return `${limit} fits ${at.fittingPages}`;
  const small = at.stateBytes < 2 ** 20;
  const size = small ? `${trimmed(at.stateBytes / 2 ** 10)} KiB` : `${trimmed(at.stateBytes / 2 ** 20)} MiB`;
  const state = `${size} of device state`;
  return at.fittingPages < 0 ? `${limit} does not fit ${state}` : `${limit} fits ${at.fittingPages} beside ${state}`;
}

function trend(last: readonly RoundResult[], at: Situation): string {
  const sent = last.reduce((sum, round) => sum + round.pages, 0);
  const dirtied = last.reduce((sum, round) => sum + round.dirtiedPages, 0);
  const timeNs = last.reduce((sum, round) => sum + round.durationNs, 0);
  const rate = (dirtied * PAGE_BYTES * 8e9) / timeNs;
  const over = last.length === 1 ? 'the last round' : `the last ${last.length} rounds`;
  const rates = `over ${over} ${mbit(rate)} were reported dirty against ${mbit(at.linkBitsPerSecond)} of link`;
  return `${rates}, ${reason(last, dirtied / sent, at)}`;
}

function reason(last: readonly RoundResult[], ratio: number, at: Situation): string {
  if (last.every((round) => round.dirtiedPages === at.ramPages)) return 'because every read reports all of RAM';
  if (ratio > ABOUT.to) return 'so that each round leaves more than it sends';
  if (ratio >= ABOUT.from) return 'so that each round leaves about as much as it sends';
  const left = (100 * ratio).toFixed(0);
  return `so that a round left about ${left} % of what it sent and the rounds still shrank when the time ran out`;
}

function pages(number: number): string {
  return `${count(number, 'page')} (${trimmed((number * PAGE_BYTES) / 2 ** 20)} MiB)`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function duration(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  return ns < 1e6 ? `${trimmed(ns / 1e3)} us` : `${trimmed(ns / 1e6)} ms`;
}

function mbit(bitsPerSecond: number): string {
  return `${trimmed(bitsPerSecond / 1e6)} Mbit/s`;
}

function trimmed(value: number): string {
  return value.toFixed(2).replace(/\.?0+$/, '');
}
