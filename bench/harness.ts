import Benchmark from 'benchmark';
import type { Case } from './case.ts';
import { quantiles } from './quantiles.ts';
import { keep, timeCalls } from './time-calls.ts';

/** One case, measured. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  /** Median, quartiles and the shortest, nanoseconds per unit. */
  readonly ns: number;
  readonly nsLow: number;
  readonly nsHigh: number;
  readonly nsBest: number;
  /** Of the median; null where the case names no bytes. */
  readonly gigabytesPerSecond: number | null;
  readonly callsPerSecond: number;
  readonly samples: number;
}

const MIN_SAMPLES = 5;
const MIN_CALL_NS = 1000;

/**
 * Samples of the package `benchmark`, nanoseconds per call. Rejects with what the case threw: the package notes an error of
 * the first call only, and lets a later one escape from a timer.
 */
function sampleMany(test: Case, seconds: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    let failure: unknown;
    const fail = (error: unknown) => {
      failure ??= error ?? new Error('the case threw nothing');
      bench.abort();
    };
    const run = () => {
      if (failure !== undefined) return;
      try {
        keep(test.run() as number);
      } catch (error) {
        fail(error);
      }
    };
    const runAndWait = async (deferred: Benchmark.Deferred) => {
      try {
        if (failure === undefined) keep(await test.run());
      } catch (error) {
        fail(error);
      }
      deferred.resolve();
    };
    const bench: Benchmark = new Benchmark({
      name: test.name,
      maxTime: seconds,
      minSamples: MIN_SAMPLES,
      async: true,
      defer: test.awaits === true,
      fn: test.awaits ? runAndWait : run,
      onComplete: () => {
        const error = failure ?? bench.error;
        if (error !== undefined) reject(error);
        else resolve((bench.stats.sample as number[]).map((period) => period * 1e9));
      },
    });
    bench.run();
  });
}

/**
 * Samples of a case that uses something up, nanoseconds per call, each call timed on its own: `benchmark` has no step before
 * each call that it would leave out of the time.
 */
async function sampleEach(test: Case, seconds: number): Promise<number[]> {
  const start = performance.now();
  while (performance.now() - start < seconds * 250) await timeCalls(test, 1);
  const samples: number[] = [];
  while (samples.length < MIN_SAMPLES || performance.now() - start < seconds * 1250) {
    samples.push(await timeCalls(test, 1));
  }
  return samples;
}

/** Measures one case for about `seconds`. Rejects with what the case throws, and where a call does too little to be timed. */
export async function measure(test: Case, seconds: number): Promise<Measurement> {
  const samples = await (test.before ? sampleEach(test, seconds) : sampleMany(test, seconds));
  const { best, median, low, high } = quantiles(samples);
  if (median < MIN_CALL_NS) {
    throw new RangeError(`a call takes ${median.toFixed(0)} ns; give it at least ${MIN_CALL_NS} ns of work`);
  }
  return {
    name: test.name,
    unit: test.unit,
    ns: median / test.work,
    nsLow: low / test.work,
    nsHigh: high / test.work,
    nsBest: best / test.work,
    gigabytesPerSecond: test.bytes === undefined ? null : test.bytes / median,
    callsPerSecond: 1e9 / median,
    samples: samples.length,
  };
}
