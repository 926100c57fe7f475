import type { Case } from './case.ts';

/** What all runs returned, so that none of their work is dead. */
export let sink = 0;

/** Takes what a run returned. */
export function keep(result: number): void {
  sink = (sink + result) % 2 ** 32;
}

/** Nanoseconds of `calls` calls, what comes before each of them left out. */
export async function timeCalls(test: Case, calls: number): Promise<number> {
  if (!test.before && !test.awaits) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) keep(test.run() as number);
    return (performance.now() - start) * 1e6;
  }
  let ms = 0;
  for (let i = 0; i < calls; i++) {
    test.before?.();
    const start = performance.now();
    const result = test.run();
    keep(typeof result === 'number' ? result : await result);
    ms += performance.now() - start;
  }
  return ms * 1e6;
}
