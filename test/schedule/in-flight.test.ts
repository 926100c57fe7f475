import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InFlight } from '../../src/schedule/in-flight.ts';
import { runs } from '../runs.ts';

describe('InFlight', () => {
  test('nothing translated: everything has landed', () => {
    const inFlight = new InFlight();
    expect(inFlight.landedBefore(inFlight.now())).toBe(true);
  });

  test('waits for what was translated before the mark, not for what came after', () => {
    const inFlight = new InFlight();
    const before = inFlight.translated();
    const mark = inFlight.now();
    const after = inFlight.translated();
    expect(inFlight.landedBefore(mark)).toBe(false);
    inFlight.land(before);
    expect(inFlight.landedBefore(mark)).toBe(true);
    expect(inFlight.landedBefore(inFlight.now())).toBe(false);
    inFlight.land(after);
    expect(inFlight.landedBefore(inFlight.now())).toBe(true);
  });

  test('landing in any order, and twice, against a plain list', () => {
    // A number lands the ticket of that index modulo the tickets given; null translates; each time a mark is taken.
    const operations = fc.array(fc.option(fc.nat({ max: 20 }), { freq: 2 }), { maxLength: 40 });
    fc.assert(
      fc.property(operations, (program) => {
        const inFlight = new InFlight();
        const landed: boolean[] = [];
        const tickets: number[] = [];
        const marks: { mark: number; older: number }[] = [];
        const got: boolean[] = [];
        const wanted: boolean[] = [];
        for (const operation of program) {
          if (operation === null) {
            tickets.push(inFlight.translated());
            landed.push(false);
          } else if (tickets.length > 0) {
            const index = operation % tickets.length;
            inFlight.land(tickets[index]);
            landed[index] = true;
          }
          marks.push({ mark: inFlight.now(), older: tickets.length });
          for (const { mark, older } of marks) {
            got.push(inFlight.landedBefore(mark));
            wanted.push(landed.slice(0, older).every((one) => one));
          }
        }
        expect(got).toEqual(wanted);
      }),
      { seed: 4, numRuns: runs(200) },
    );
  });
});
