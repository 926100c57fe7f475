import type { Case } from './case.ts';

/** What all runs returned, so that none of their work is dead. */
export let sink = 0;

/** Takes what a run returned. */
export function keep(result: number): void {
  sink = (sink + result) % 2 ** 32;
}

/** Nanoseconds since some moment. */
export type Clock = () => number;

/** Time as it passes. */
export const wallTime: Clock = () => performance.now() * 1e6;

/** Nanoseconds of `calls` calls by `clock`, what comes before each of them left out. */
export async function timeCalls(test: Case, calls: number, clock: Clock = wallTime): Promise<number> {
  if (!test.before && !test.awaits) {
    const start = clock();
    for (let i = 0; i < calls; i++) keep(test.run() as number);
    return clock() - start;
  }
  let ns = 0;
  for (let i = 0; i < calls; i++) {
    test.before?.();
    const start = clock();
    const result = test.run();
    keep(typeof result === 'number' ? result : await result);
    ns += clock() - start;
  }
  return ns;
}
