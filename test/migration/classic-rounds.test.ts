import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClassicRounds } from '../../src/migration/classic-rounds.ts';
import type { RoundsResult } from '../../src/migration/rounds-result.ts';
import { Oracle } from '../../src/oracle/oracle.ts';
import { drive, workloads, write, type Workload } from './drive.ts';
import { BEHAVIOURS, FakeTracker, type Behaviour } from './fake-tracker.ts';
import { plainBitmap } from './plain-bitmap.ts';
import { referenceRounds } from './reference-rounds.ts';

/** At this rate a page takes exactly 100 ns. */
const PAGE_IN_100_NS = 327_680_000_000;

interface Options {
  behaviour?: Behaviour;
  linkBitsPerSecond?: number;
  downtimeLimitNs?: number;
  capNs?: number;
  batchSize?: number;
  offsetNs?: number;
}

function migration(ramBytes: number, options: Options) {
  const pages = Math.ceil(ramBytes / 4096);
  const tracker = new FakeTracker(options.behaviour ?? BEHAVIOURS.exact);
  const oracle = new Oracle(pages);
  const rounds = new ClassicRounds({
    tracker,
    oracle,
    newBitmap: () => plainBitmap(pages),
    ramBytes,
    linkBitsPerSecond: options.linkBitsPerSecond ?? PAGE_IN_100_NS,
    downtimeLimitNs: options.downtimeLimitNs ?? 200,
    capNs: options.capNs ?? 1e6,
  });
  return { tracker, oracle, rounds };
}

function run(workload: Partial<Workload>, options: Options = {}) {
  const whole = { ramBytes: 10 * 4096, events: [], cpu: [], endNs: 100_000, ...workload };
  const { tracker, oracle, rounds } = migration(whole.ramBytes, options);
  drive(rounds, whole, options.batchSize, options.offsetNs);
  return { result: rounds.result(), tracker, oracle };
}

/** Writes to pages 0 to `count` - 1, again and again, `everyNs` apart. */
function steadyWrites(count: number, everyNs: number, untilNs: number) {
  return Array.from({ length: Math.floor(untilNs / everyNs) }, (_, i) => write(i * everyNs, i % count));
}

function sizes(result: RoundsResult): number[][] {
  return result.rounds.map((round) => [round.pages, round.dirtiedPages]);
}

describe('ClassicRounds', () => {
  for (const [name, behaviour] of Object.entries(BEHAVIOURS)) {
    it(`equals a naive simulation of random workloads, tracker ${name}`, () => {
      const options = fc.record({
        linkBitsPerSecond: fc.constantFrom(PAGE_IN_100_NS, PAGE_IN_100_NS, 310_000_000_001, 1_234_567_890_123),
        downtimeLimitNs: fc.oneof(
          fc.nat(12).map((n) => n * 100),
          fc.nat(1000),
        ),
        capNs: fc.oneof(
          fc.nat(60).map((n) => n * 100),
          fc.constant(1e9),
        ),
      });
      const batch = fc.record({
        batchSize: fc.integer({ min: 1, max: 9 }),
        offsetNs: fc.integer({ min: -5000, max: 0 }),
      });
      fc.assert(
        fc.property(workloads(100), options, batch, (workload, setting, { batchSize, offsetNs }) => {
          const { result } = run(workload, { behaviour, ...setting, batchSize, offsetNs });
          const { why, ...figures } = result;
          expect([figures, why.length > 0]).toEqual([referenceRounds(workload, { behaviour, ...setting }), true]);
        }),
        { seed: 61, numRuns: 300 },
      );
    });
  }

  it('converges when what remains fits the limit', () => {
    const { result, tracker } = run({ events: steadyWrites(2, 300, 50_000) });
    expect(result).toMatchObject({ reason: 'converged', converged: true, downtimeNs: 200, totalTimeNs: 1200 });
    expect(sizes(result)).toEqual([
      [10, 2],
      [2, 0],
    ]);
    expect(result.why).toBe(
      'After 1 pre-copy round 2 pages (0.01 MiB) remained, and the downtime limit of 200 ns fits 2.',
    );
    expect(tracker.reads).toBe(2);
    expect(Math.max(...tracker.fedTimes)).toBe(900);
  });

  it('needs no pre-copy when all of RAM fits the limit', () => {
    const { result, tracker } = run({ events: [write(0, 1)] }, { downtimeLimitNs: 1000 });
    expect(result).toMatchObject({ reason: 'converged', converged: true, downtimeNs: 1000, totalTimeNs: 1000 });
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0, truePages: 0, extraBytesSent: 0 });
    expect(sizes(result)).toEqual([[10, 0]]);
    expect(result.why).toContain('All of RAM fits the downtime limit at once, so no pre-copy round was needed');
    expect([tracker.started, tracker.reads]).toEqual([1, 0]);
    expect(run({}, { downtimeLimitNs: 999 }).result.rounds).toHaveLength(2);
  });

  it('stops by force when the next round would pass the cap', () => {
    const events = steadyWrites(10, 10, 50_000);
    const exact = run({ events }, { capNs: 3000 }).result;
    expect(exact).toMatchObject({ reason: 'notConverging', converged: false, totalTimeNs: 4000, downtimeNs: 1000 });
    expect(sizes(exact)).toEqual([
      [10, 10],
      [10, 10],
      [10, 10],
      [10, 0],
    ]);
    expect(exact.why).toContain('every read reports all of RAM');
    expect(run({ events }, { capNs: 2999 }).result.rounds).toHaveLength(3);
    expect(exact).toMatchObject({ stalePages: 0, missedPages: 0 });
  });

  it('says when rounds leave about as much as they send, and when they still shrank', () => {
    const steady = run({ events: steadyWrites(5, 10, 50_000) }, { capNs: 5000 }).result;
    expect(steady.why).toContain('5 pages (0.02 MiB) remained');
    expect(steady.why).toContain('327680 Mbit/s were reported dirty against 327680 Mbit/s of link');
    expect(steady.why).toContain('about as much as it sends');
    const shrinking = run({ events: steadyWrites(10, 200, 50_000) }, { capNs: 1100 }).result;
    expect(shrinking.why).toContain('over the last round');
    expect(shrinking.why).toContain('left about 60 % of what it sent and the rounds still shrank');
  });

  it('sends all of RAM at once when one pass over it would pass the cap', () => {
    const { result } = run({ events: [write(0, 1)] }, { capNs: 999 });
    expect(result).toMatchObject({ reason: 'notConverging', converged: false, downtimeNs: 1000, stalePages: 0 });
    expect(sizes(result)).toEqual([[10, 0]]);
    expect(result.why).toContain('takes longer than the cap');
    expect(run({}, { capNs: 1000 }).result.rounds).toHaveLength(2);
  });

  it('accounts the round in flight in full when the input ends', () => {
    const { result } = run({ events: [write(100, 1), write(200, 2), write(300, 3)], endNs: 999 });
    expect(result).toMatchObject({ reason: 'inputEnded', converged: false, totalTimeNs: 1300, downtimeNs: 300 });
    expect(sizes(result)).toEqual([
      [10, 3],
      [3, 0],
    ]);
    expect(result.why).toMatch(/^The recording ended during round 0, 999 ns into the migration; 3 pages/);
  });

  it('takes a round that ends with the input for an ordinary one', () => {
    const events = [write(100, 1), write(200, 2), write(300, 3)];
    expect(run({ events: events.slice(0, 2), endNs: 1000 }).result.reason).toBe('converged');
    const going = run({ events, endNs: 1000 }).result;
    expect(going.reason).toBe('inputEnded');
    expect(sizes(going)).toEqual([
      [10, 3],
      [3, 0],
      [0, 0],
    ]);
  });

  it('counts an event at a boundary before it', () => {
    const tie = run({ events: [write(1000, 4)] });
    expect(sizes(tie.result)[0]).toEqual([10, 1]);
    const later = run({ events: [write(1001, 4)] });
    expect(sizes(later.result)[0]).toEqual([10, 0]);
    expect(later.tracker.fedTimes).toEqual([]);
  });

  it('counts a CPU window in each interval that it intersects', () => {
    const busy = steadyWrites(5, 10, 50_000);
    const dirtied = (startNs: number, endNs: number) =>
      run({ events: busy, cpu: [{ startNs, endNs, pages: [8, 9] }] }, { capNs: 2500 }).result.rounds.map(
        (round) => round.dirtiedPages,
      );
    expect(dirtied(0, 1000)).toEqual([7, 5, 5, 0]);
    expect(dirtied(0, 1001)).toEqual([7, 7, 5, 0]);
    expect(dirtied(1000, 1700)).toEqual([7, 7, 5, 0]);
    expect(dirtied(1000, 1701)).toEqual([7, 7, 7, 0]);
    expect(dirtied(1001, 1500)).toEqual([5, 7, 5, 0]);
  });

  it('never blames a tracker for what CPUs wrote', () => {
    const cpu = [{ startNs: 0, endNs: 900, pages: [8, 9] }];
    const { result } = run({ cpu }, { behaviour: BEHAVIOURS.blind });
    expect(result).toMatchObject({ missedPages: 0, overReportedPages: 0, truePages: 0, downtimeNs: 200 });
  });

  it('shows what a blind tracker loses, less what the CPU log happens to send', () => {
    const events = [write(10, 1), write(20, 2), write(30, 3)];
    const { result, oracle } = run({ events }, { behaviour: BEHAVIOURS.blind });
    expect(result).toMatchObject({ reason: 'converged', missedPages: 3, stalePages: 3, extraBytesSent: 0 });
    expect([oracle.firstStalePage(), oracle.firstMissed]).toEqual([1, { report: 0, page: 1 }]);
    const cpu = [{ startNs: 0, endNs: 900, pages: [2] }];
    expect(run({ events, cpu }, { behaviour: BEHAVIOURS.blind }).result).toMatchObject({
      missedPages: 3,
      stalePages: 2,
    });
  });

  it('counts as extra only what nobody wrote, once per transfer', () => {
    const events = [write(10, 0)];
    const cpu = [{ startNs: 0, endNs: 900, pages: [1] }];
    const coarse = run({ events, cpu }, { behaviour: BEHAVIOURS.coarse, downtimeLimitNs: 400 }).result;
    expect(coarse).toMatchObject({ overReportedPages: 3, extraBytesSent: 2 * 4096, downtimeNs: 400 });
    const everything = run({ events, cpu }, { behaviour: BEHAVIOURS.everything, capNs: 1000 }).result;
    expect(everything).toMatchObject({ overReportedPages: 19, extraBytesSent: 8 * 4096 });
  });

  it('copies what was written before it began', () => {
    const { rounds, oracle } = migration(10 * 4096, { downtimeLimitNs: 1000 });
    oracle.land(3, 4);
    rounds.start();
    expect(rounds.result().stalePages).toBe(0);
  });

  it('sends a partial last page in full', () => {
    const { result } = run({ ramBytes: 9 * 4096 + 1, events: [write(5, 8), { ...write(6, 9), address: 9 * 4096 }] });
    expect(result.rounds[0]).toMatchObject({ pages: 10, bytes: 40960, dirtiedPages: 2 });
  });

  it('feeds every event once, in order, and none after the end', () => {
    const events = steadyWrites(10, 7, 6000);
    const { tracker, result } = run({ events }, { capNs: 3500, batchSize: 64, offsetNs: -1 });
    expect(result.reason).toBe('notConverging');
    const expected = events.map((event) => event.timeNs).filter((time) => time <= 3000);
    expect(tracker.fedTimes.map((time) => time - 1)).toEqual(expected);
  });

  it('refuses figures beyond 2^53', () => {
    const big = 2 ** 40;
    const pages = big / 4096;
    expect(() =>
      new ClassicRounds({
        tracker: new FakeTracker(BEHAVIOURS.exact),
        oracle: new Oracle(pages),
        newBitmap: () => plainBitmap(pages),
        ramBytes: big,
        linkBitsPerSecond: 1,
        downtimeLimitNs: 0,
        capNs: Number.MAX_SAFE_INTEGER,
      }).start(),
    ).toThrow('durationNs is');
  });

  it('refuses bad options and calls out of turn', () => {
    expect(() => run({ ramBytes: 0 })).toThrow('pages is 0');
    expect(() => run({}, { linkBitsPerSecond: 0 })).toThrow('bitsPerSecond is 0');
    expect(() => run({}, { downtimeLimitNs: -1 })).toThrow('downtimeLimitNs is -1');
    expect(() => run({}, { capNs: 0.5 })).toThrow('capNs is 0.5');
    const { rounds } = migration(10 * 4096, {});
    expect(() => rounds.inputEnded(5)).toThrow('call start() first');
    rounds.start();
    expect(() => rounds.start()).toThrow('start() was called before');
    expect(() => rounds.result()).toThrow('not over');
    const window = { kind: 'cpu', startNs: 500, endNs: 600, runs: Uint32Array.of(10, 0), runCount: 1 } as const;
    rounds.cpu(window, 0);
    expect(() => rounds.cpu(window, -1)).toThrow('time is 499 ns');
    expect(() => rounds.inputEnded(500.5)).toThrow('time is 500.5 ns');
  });

  it('refuses an oracle or a bitmap of another size', () => {
    const build = (oraclePages: number, bitmapPages: number) => () =>
      new ClassicRounds({
        tracker: new FakeTracker(BEHAVIOURS.exact),
        oracle: new Oracle(oraclePages),
        newBitmap: () => plainBitmap(bitmapPages),
        ramBytes: 4096 * 4,
        linkBitsPerSecond: 1e9,
        downtimeLimitNs: 0,
        capNs: 1,
      });
    expect(build(5, 4)).toThrow('the oracle has 5 pages; RAM has 4');
    expect(build(4, 5)).toThrow('newBitmap() has 5 pages');
    expect(build(4, 4)).not.toThrow();
  });
});
