import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { programChoice, randomChoice } from '../../src/schedule/choice.ts';
import { DeadlockError } from '../../src/schedule/deadlock.ts';
import { Interleaver, type Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { runs } from '../runs.ts';
import { counting } from './counting.ts';

const agents = (...lengths: number[]): Agent[] =>
  lengths.map((length, i) => ({ name: `agent ${i}`, steps: counting(length) }));

const order = (interleaver: Interleaver): string => interleaver.trace.map(({ agent }) => agent.slice(6)).join('');

function* waiting(ready: () => boolean): Steps<void> {
  yield { what: 'wait', ready };
}

describe('Interleaver', () => {
  test('takes every step of every agent once, each agent’s in its order', () => {
    const lengths = fc.array(fc.nat({ max: 6 }), { maxLength: 5 });
    const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(lengths, seed, (given, from) => {
        const interleaver = new Interleaver(agents(...given));
        interleaver.run(randomChoice(from));
        const taken = given.map((_, i) => interleaver.trace.filter(({ agent }) => agent === `agent ${i}`));
        const expected = given.map((length, i) =>
          Array.from({ length }, (_, step) => ({ agent: `agent ${i}`, what: `step ${step}` })),
        );
        expect(taken).toEqual(expected);
      }),
      { seed: 77, numRuns: runs(200) },
    );
  });

  test('does nothing until a step is taken, and then that step alone', () => {
    const done: string[] = [];
    const interleaver = new Interleaver([
      { name: 'a', steps: counting(2, (step) => done.push(`a${step}`)) },
      { name: 'b', steps: counting(1, (step) => done.push(`b${step}`)) },
    ]);
    expect(done).toEqual([]);
    expect(interleaver.step(() => 1)).toBe(true);
    expect(done).toEqual(['b0']);
    expect(interleaver.step(() => 0)).toBe(true);
    expect(done).toEqual(['b0', 'a0']);
    expect(interleaver.step(() => 0)).toBe(true);
    expect(interleaver.step(() => 0)).toBe(false);
    expect(done).toEqual(['b0', 'a0', 'a1']);
  });

  test('equal seeds give equal traces, other seeds other ones', () => {
    const traceOf = (seed: number) => {
      const interleaver = new Interleaver(agents(5, 5, 5));
      interleaver.run(randomChoice(seed));
      return order(interleaver);
    };
    expect(traceOf(9)).toBe(traceOf(9));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => traceOf(seed))).size).toBe(20);
  });

  test('every agent that need not wait is equally likely', () => {
    const first = [0, 0, 0];
    for (let seed = 0; seed < 3000; seed++) {
      const interleaver = new Interleaver(agents(1, 1, 1));
      interleaver.run(randomChoice(seed));
      first[Number(order(interleaver)[0])]++;
    }
    // 1000 each, give or take five standard deviations of 26.
    expect(first.every((count) => count > 870 && count < 1130)).toBe(true);
  });

  test('the program of a run leads through the same run again', () => {
    const run = new Interleaver(agents(3, 4, 2));
    run.run(randomChoice(31));
    const again = new Interleaver(agents(3, 4, 2));
    again.run(programChoice(run.program));
    expect([again.trace, again.program]).toEqual([run.trace, run.program]);
  });

  test('an agent without steps has ended at once', () => {
    const interleaver = new Interleaver(agents(0, 1, 0));
    interleaver.run(() => 0);
    expect(order(interleaver)).toBe('1');
    expect(new Interleaver([]).step(() => 0)).toBe(false);
  });

  test('an agent waits until its step is ready, and is no choice until then', () => {
    let open = false;
    const widths: number[] = [];
    const interleaver = new Interleaver([
      { name: 'agent 0', steps: waiting(() => open) },
      { name: 'agent 1', steps: counting(3, (step) => (open = step === 1)) },
    ]);
    interleaver.run((runnable) => {
      widths.push(runnable);
      return 0;
    });
    expect(order(interleaver)).toBe('1101');
    expect(widths).toEqual([1, 1, 2, 1]);
  });

  test('a deadlock says who waits for what', () => {
    const interleaver = new Interleaver([
      { name: 'migration', steps: waiting(() => false) },
      { name: 'queue', steps: counting(2) },
      { name: 'driver', steps: waiting(() => false) },
    ]);
    let error: unknown;
    try {
      interleaver.run(() => 0);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(DeadlockError);
    expect((error as DeadlockError).message).toBe(
      "deadlock after 2 steps: 'migration' waits at 'wait', 'driver' waits at 'wait'",
    );
    expect((error as DeadlockError).waiting).toEqual([
      { agent: 'migration', what: 'wait' },
      { agent: 'driver', what: 'wait' },
    ]);
  });

  test('refuses a choice that is none', () => {
    const refused = /^choice 0 is (2|-1|0\.5|NaN); it must be from 0 to 1$/;
    for (const choice of [2, -1, 0.5, NaN]) {
      expect(() => new Interleaver(agents(1, 1)).step(() => choice)).toThrow(refused);
    }
  });

  test('passes on what a step throws; the trace ends with that step', () => {
    const failing = counting(2, () => {
      throw new Error('broken');
    });
    const interleaver = new Interleaver([{ name: 'agent 0', steps: failing }]);
    expect(() => interleaver.run(() => 0)).toThrow('broken');
    expect(interleaver.trace).toEqual([{ agent: 'agent 0', what: 'step 0' }]);
  });
});

describe('programChoice', () => {
  test('takes numbers modulo the agents that could go, and the first agent behind the end', () => {
    const interleaver = new Interleaver(agents(2, 2, 2));
    interleaver.run(programChoice([5, 0xffffffff, 1]));
    // 5 mod 3 = 2; 2^32 - 1 mod 3 = 0; 1; then the first of those left.
    expect(order(interleaver)).toBe('201012');
  });

  test('refuses what is no u32', () => {
    expect(() => programChoice([0, -1])).toThrow('program[1] is -1; it must be an integer from 0 to 2^32 - 1');
    expect(() => programChoice([2 ** 32])).toThrow('program[0] is 4294967296');
    expect(() => programChoice([0.5])).toThrow('program[0] is 0.5');
  });
});
