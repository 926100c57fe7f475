import { describe, expect, test } from 'vitest';
import { enumerateInterleavings } from '../../src/schedule/enumerate.ts';
import type { Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { counting } from './counting.ts';

const start = (lengths: readonly number[]) => (): Agent[] =>
  lengths.map((length, i) => ({ name: String(i), steps: counting(length) }));

function factorial(n: number): number {
  return n < 2 ? 1 : n * factorial(n - 1);
}

function multinomial(lengths: readonly number[]): number {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.reduce((count, length) => count / factorial(length), factorial(total));
}

describe('enumerateInterleavings', () => {
  test.each([[[]], [[4]], [[1, 1]], [[3, 2]], [[2, 2, 2]], [[4, 3, 1]], [[1, 1, 1, 1, 1]], [[0, 3, 3]]])(
    'independent agents of %j steps: the multinomial, each interleaving once',
    (lengths: number[]) => {
      const seen = new Set<string>();
      const count = enumerateInterleavings(start(lengths), ({ trace }) => {
        seen.add(trace.map(({ agent }) => agent).join(''));
      });
      expect([count, seen.size]).toEqual([multinomial(lengths), multinomial(lengths)]);
    },
  );

  test('goes depth first, in the order of the programs', () => {
    const programs: string[] = [];
    enumerateInterleavings(start([2, 1]), ({ program }) => programs.push(program.join('')));
    expect(programs).toEqual(['000', '010', '100']);
  });

  test('a step that waits leaves out the interleavings in which it comes too early', () => {
    function* after(ready: () => boolean): Steps<void> {
      yield { what: 'wait', ready };
    }
    const count = enumerateInterleavings(
      () => {
        let done = 0;
        return [
          { name: 'a', steps: counting(3, () => done++) },
          { name: 'b', steps: after(() => done >= 2) },
        ];
      },
      () => {},
    );
    // Behind the second step or behind the third, of four places.
    expect(count).toBe(2);
  });

  test('refuses to run more than it may', () => {
    const none = () => {};
    expect(enumerateInterleavings(start([3, 3]), none, 20)).toBe(20);
    expect(() => enumerateInterleavings(start([3, 3]), none, 19)).toThrow('there are more than 19 interleavings');
  });

  test('notices agents that do not start afresh', () => {
    let longer = 1;
    const growing = () => [...start([1, 1])(), { name: '2', steps: counting(longer++ > 1 ? 1 : 0) }];
    expect(() => enumerateInterleavings(growing, () => {})).toThrow(
      'choice 0 had 2 runnable agents and now has 3; agents must start afresh every time',
    );
  });

  test('a deadlock in one interleaving is found', () => {
    function* lock(name: string, taken: Set<string>): Steps<void> {
      yield { what: 'take' };
      taken.add(name);
      yield { what: 'wait for the other', ready: () => taken.size === 1 };
      taken.delete(name);
    }
    const locks = () => {
      const taken = new Set<string>();
      return [
        { name: 'x', steps: lock('x', taken) },
        { name: 'y', steps: lock('y', taken) },
      ];
    };
    expect(() => enumerateInterleavings(locks, () => {})).toThrow(
      "deadlock after 2 steps: 'x' waits at 'wait for the other', 'y' waits at 'wait for the other'",
    );
  });
});
