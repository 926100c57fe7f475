import { loadNative } from './native.ts';
import { quantiles } from './quantiles.ts';
import { keep, wallTime } from './time-calls.ts';

/** What a sweep does at one size. */
export interface SweepRun {
  /** In this order, each after the one before, in every round; the last one puts back what the first one used up. */
  readonly steps: Readonly<Record<string, () => number>>;
  /** Bytes that lie between the first and the last step, and what the formats need for them. */
  memory(): { readonly bytes: number; readonly needed: number };
}

/** The same work at growing sizes. */
export interface Sweep {
  readonly name: string;
  readonly unit: string;
  readonly sizes: readonly { readonly label: string; readonly work: number; open(): Promise<SweepRun> }[];
}

/** Work at one size, and what it took: nanoseconds a call, for so many units of work. */
export interface Point {
  readonly label: string;
  readonly work: number;
  readonly ns: number;
}

/** The line through the points of a sweep: ns = fixedNs + perUnitNs x work. */
export interface Fit {
  readonly fixedNs: number;
  readonly perUnitNs: number;
  /** The point that lies farthest off: its time over that of the line. */
  readonly worst: number;
  readonly worstAt: string;
}

/**
 * Fits a line to at least two points by least squares, each weighted by the inverse of its time squared, so that it is the
 * relative deviation that counts and small sizes count as much as large ones.
 */
export function fit(points: readonly Point[]): Fit {
  let [w, x, y, xx, xy] = [0, 0, 0, 0, 0];
  for (const { work, ns } of points) {
    const weight = 1 / ns ** 2;
    w += weight;
    x += weight * work;
    y += weight * ns;
    xx += weight * work * work;
    xy += weight * work * ns;
  }
  const perUnitNs = (w * xy - x * y) / (w * xx - x * x);
  const fixedNs = (y - perUnitNs * x) / w;
  const off = points.map(({ work, ns }) => ns / (fixedNs + perUnitNs * work));
  const far = (ratio: number) => (ratio > 0 ? Math.abs(Math.log(ratio)) : Infinity);
  const at = off.reduce((found, ratio, i) => (far(ratio) > far(off[found]) ? i : found), 0);
  return { fixedNs, perUnitNs, worst: off[at], worstAt: points[at].label };
}

/** One step of a sweep, at all sizes. */
export interface StepResult {
  readonly step: string;
  readonly points: readonly Point[];
  readonly fit: Fit;
}

/** A sweep, measured. */
export interface SweepResult {
  readonly name: string;
  readonly unit: string;
  readonly steps: readonly StepResult[];
  readonly memory: readonly { readonly label: string; readonly bytes: number; readonly needed: number }[];
}

const MIN_ROUNDS = 3;
const WARM_MS = 60;

/** Runs each size in turn, at least three rounds and about `seconds` long. A size is let go before the next is opened. */
export async function runSweep({ name, unit, sizes }: Sweep, seconds: number): Promise<SweepResult> {
  const native = loadNative();
  const clock = native ? () => native.threadTime() : wallTime;
  const points = new Map<string, Point[]>();
  const memory: SweepResult['memory'][number][] = [];
  for (const { label, work, open } of sizes) {
    const { steps, memory: weigh } = await open();
    const times = new Map<string, number[]>(Object.keys(steps).map((step) => [step, []]));
    const round = () => {
      for (const [step, run] of Object.entries(steps)) {
        const before = clock();
        keep(run());
        times.get(step)!.push(clock() - before);
        weight ??= weigh();
      }
    };
    let weight: ReturnType<typeof weigh> | undefined;
    // At first memory is touched for the first time, and code is not compiled well yet.
    const start = performance.now();
    do round();
    while (performance.now() - start < WARM_MS);
    for (const taken of times.values()) taken.length = 0;
    for (let rounds = 0; rounds < MIN_ROUNDS || performance.now() - start < WARM_MS + seconds * 1000; rounds++) round();
    memory.push({ label, ...weight! });
    for (const [step, taken] of times) {
      points.set(step, [...(points.get(step) ?? []), { label, work, ns: quantiles(taken).median }]);
    }
  }
  const results = [...points].map(([step, list]) => ({ step, points: list, fit: fit(list) }));
  return { name, unit, steps: results, memory };
}
