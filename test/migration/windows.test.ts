import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Windows, type WindowsOutcome } from '../../src/migration/windows.ts';
import { Oracle } from '../../src/oracle/oracle.ts';
import { drive, pagesOf, workloads, write, type Workload } from './drive.ts';
import { BEHAVIOURS, FakeTracker, type Behaviour } from './fake-tracker.ts';
import { plainBitmap } from './plain-bitmap.ts';

function windows(ramBytes: number, windowNs: number, behaviour: Behaviour = BEHAVIOURS.exact) {
  const pages = Math.ceil(ramBytes / 4096);
  const tracker = new FakeTracker(behaviour);
  const newBitmap = () => plainBitmap(pages);
  return { tracker, windows: new Windows({ tracker, oracle: new Oracle(pages), newBitmap, windowNs }) };
}

function run(
  workload: Partial<Workload>,
  windowNs: number,
  behaviour?: Behaviour,
  batchSize?: number,
  offsetNs?: number,
) {
  const whole = { ramBytes: 10 * 4096, events: [], cpu: [], endNs: 0, ...workload };
  const { windows: driven, tracker } = windows(whole.ramBytes, windowNs, behaviour);
  drive(driven, whole, batchSize, offsetNs);
  return { result: driven.result(), tracker };
}

/** Window by window, with sets. */
function reference({ ramBytes, events, endNs }: Workload, windowNs: number, behaviour: Behaviour): WindowsOutcome {
  const totals = { missedPages: 0, stalePages: 0, overReportedPages: 0, truePages: 0, reportedPages: 0 };
  const stale = new Set<number>();
  const count = Math.floor(endNs / windowNs) + 1;
  let before = new Set<number>();
  for (let k = 0; k < count; k++) {
    const written = new Set(
      events
        .filter(({ op, timeNs }) => op < 3 && timeNs >= k * windowNs && timeNs < (k + 1) * windowNs)
        .flatMap(pagesOf),
    );
    const report = new Set(behaviour(written, before, Math.ceil(ramBytes / 4096)));
    before = written;
    written.forEach((page) => stale.add(page));
    report.forEach((page) => stale.delete(page));
    totals.missedPages += [...written].filter((page) => !report.has(page)).length;
    totals.overReportedPages += [...report].filter((page) => !written.has(page)).length;
    totals.truePages += written.size;
    totals.reportedPages += report.size;
  }
  totals.stalePages = stale.size;
  const [reportedBytes, trueBytes] = [totals.reportedPages * 4096, totals.truePages * 4096];
  const ratio = trueBytes === 0 ? null : reportedBytes / trueBytes;
  return { ...totals, windows: { count, reportedBytes, trueBytes, ratio }, extraBytesSent: 0 };
}

describe('Windows', () => {
  for (const [name, behaviour] of Object.entries(BEHAVIOURS)) {
    it(`equals a naive count on random workloads, tracker ${name}`, () => {
      const driving = fc.record({
        batchSize: fc.integer({ min: 1, max: 9 }),
        offsetNs: fc.integer({ min: -5000, max: 0 }),
      });
      const windowNs = fc.oneof(fc.constantFrom(100, 500, 1000), fc.integer({ min: 13, max: 10_000 }));
      fc.assert(
        fc.property(workloads(100), windowNs, driving, (workload, length, { batchSize, offsetNs }) => {
          const { result } = run(workload, length, behaviour, batchSize, offsetNs);
          expect(result).toEqual(reference(workload, length, behaviour));
        }),
        { seed: 71, numRuns: 200 },
      );
    });
  }

  it('puts an event at a border into the later window', () => {
    const events = [write(99, 1), write(100, 1)];
    expect(run({ events, endNs: 100 }, 100).result).toMatchObject({ truePages: 2, windows: { count: 2, ratio: 1 } });
    expect(run({ events, endNs: 100 }, 101).result).toMatchObject({ truePages: 1, windows: { count: 1 } });
  });

  it('reads empty windows and the last, partial one', () => {
    const { result, tracker } = run({ events: [write(950, 3)], endNs: 950 }, 100, BEHAVIOURS.everything);
    expect(tracker.reads).toBe(10);
    expect(result.windows).toEqual({ count: 10, reportedBytes: 100 * 4096, trueBytes: 4096, ratio: 100 });
  });

  it('has no ratio when nothing was written', () => {
    const read = { ...write(10, 1), op: 3 };
    expect(run({ events: [read], endNs: 10 }, 100, BEHAVIOURS.everything).result.windows).toEqual({
      count: 1,
      reportedBytes: 40960,
      trueBytes: 0,
      ratio: null,
    });
  });

  it('leaves CPU pages out', () => {
    const cpu = [{ startNs: 0, endNs: 50, pages: [1, 2] }];
    expect(run({ cpu, endNs: 60 }, 100).result.windows.reportedBytes).toBe(0);
  });

  it('refuses a bad interval and calls out of turn', () => {
    for (const interval of [0, -5, 0.5, NaN]) expect(() => windows(4096, interval)).toThrow(`windowNs is ${interval}`);
    const { windows: driven } = windows(4096, 10);
    expect(() => driven.inputEnded(0)).toThrow('must be running');
    driven.start();
    expect(() => driven.start()).toThrow('start() was called before');
    expect(() => driven.result()).toThrow('not over');
    expect(() => driven.inputEnded(-1)).toThrow('time is -1 ns');
    driven.inputEnded(0);
    driven.inputEnded(0);
    expect(driven.result().windows.count).toBe(1);
  });
});
