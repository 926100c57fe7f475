import type { Sweep } from './sweep.ts';

/** One thing to measure. All of it happens in closures: setup strings of `benchmark` lose the names of their module. */
export interface Case {
  readonly name: string;
  /** What is counted, in the singular: `page`, `request`, `event`. */
  readonly unit: string;
  /** Units that one call of `run` does. Together they must take at least a microsecond. */
  readonly work: number;
  /** Bytes that a call cannot avoid to read or write, for its bandwidth; left out where that is no limit. */
  readonly bytes?: number;
  /** Before each call, untimed: puts back what a call uses up. */
  before?(): void;
  /** Something that depends on all of the work, so that none of it is dropped as dead code. */
  run(): number | Promise<number>;
  /** Whether `run` returns a promise. */
  readonly awaits?: boolean;
}

/** A claim of the form "x times y": these cases in turn, in one run, per unit of work, relative to the first. */
export interface Claim {
  readonly name: string;
  /** Names of cases of the same area; the first is the base. */
  readonly cases: readonly string[];
  /** What they are called in its table, in the same order; left out: as cases are. */
  readonly labels?: readonly string[];
}

/** What an area has to measure, set up and ready. */
export interface Bench {
  /** Measured one by one. */
  readonly cases: readonly Case[];
  readonly claims: readonly Claim[];
  /** Cases that are measured in claims only. */
  readonly contestants?: readonly Case[];
  readonly sweeps?: readonly Sweep[];
  /** Why it has nothing to measure here, and what would change that. */
  readonly absent?: string;
}

/** Cases that belong together, in a file of their own. */
export interface Area {
  readonly name: string;
  /** One sentence: what it measures. */
  readonly about: string;
  open(): Promise<Bench>;
}
