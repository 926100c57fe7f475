import type { Steps } from '../../src/schedule/step.ts';

/** An operation of `length` steps that each call `act`; returns `length`. */
export function* counting(length: number, act: (step: number) => void = () => {}): Steps<number> {
  for (let step = 0; step < length; step++) {
    yield { what: `step ${step}` };
    act(step);
  }
  return length;
}
