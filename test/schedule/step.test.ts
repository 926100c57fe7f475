import { describe, expect, test } from 'vitest';
import { runWhole, type Steps } from '../../src/schedule/step.ts';
import { counting } from './counting.ts';

describe('runWhole', () => {
  test('takes all steps in order and returns the result', () => {
    const done: number[] = [];
    expect(runWhole(counting(3, (step) => done.push(step)))).toBe(3);
    expect(done).toEqual([0, 1, 2]);
    expect(runWhole(counting(0))).toBe(0);
  });

  test('takes a step that is ready, and names one that would have to wait', () => {
    function* completion(ready: boolean): Steps<string> {
      yield { what: 'complete', ready: () => ready };
      return 'landed';
    }
    expect(runWhole(completion(true))).toBe('landed');
    expect(() => runWhole(completion(false))).toThrow(/step 'complete' waits for something .* \(EBUSY\)/);
  });

  test('gives up what it began where it would have to wait', () => {
    let held = false;
    function* operation(): Steps<void> {
      held = true;
      try {
        yield { what: 'complete', ready: () => false };
      } finally {
        held = false;
      }
    }
    expect(() => runWhole(operation())).toThrow();
    expect(held).toBe(false);
  });

  test('asks whether a step is ready only once the steps before it are done', () => {
    let landed = false;
    function* operation(): Steps<void> {
      yield { what: 'land' };
      landed = true;
      yield { what: 'complete', ready: () => landed };
    }
    expect(() => runWhole(operation())).not.toThrow();
  });
});
