import { Prng } from '../random/prng.ts';

/** Which of `runnable` agents goes next: given how many could (1 or more), an integer in [0, runnable). */
export type Choice = (runnable: number) => number;

/** Each runnable agent equally likely. `seed`: an integer in [0, 2^32); equal seeds choose alike. RangeError. */
export function randomChoice(seed: number): Choice {
  const prng = new Prng(seed);
  return (runnable) => prng.below(runnable);
}

/**
 * A program of u32 numbers, one per step: number p lets runnable agent p mod `runnable` go next, so that any program can be
 * run. Behind its end the first runnable agent goes. RangeError: a number that is no u32.
 */
export function programChoice(program: ArrayLike<number>): Choice {
  for (let i = 0; i < program.length; i++) {
    if (program[i] >>> 0 !== program[i]) {
      throw new RangeError(`program[${i}] is ${program[i]}; it must be an integer from 0 to 2^32 - 1`);
    }
  }
  let next = 0;
  return (runnable) => (next < program.length ? program[next++] % runnable : 0);
}
