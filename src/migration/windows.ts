import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Oracle, OracleTotals } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import type { CpuWindow, EventBatch } from '../workload/recording.ts';
import { exact, exactPositive } from './exact.ts';
import { Feed, firstLaterThan } from './feed.ts';
import { PAGE_BYTES } from './page-bytes.ts';

export interface WindowsOptions {
  readonly tracker: Tracker;
  /** Of as many 4 KiB pages as RAM has, without a report so far. */
  readonly oracle: Oracle;
  /** A new, empty bitmap of 4 KiB pages over RAM. Called by the constructor only; the caller closes what it made. */
  readonly newBitmap: () => Bitmap;
  readonly windowNs: number;
}

/** What repeated reads at a fixed interval reported, summed over windows. */
export interface WindowsResult {
  readonly count: number;
  readonly reportedBytes: number;
  /** Bytes of the 4 KiB pages that devices really wrote, distinct per window. */
  readonly trueBytes: number;
  /** reportedBytes / trueBytes, or null when nothing was written. */
  readonly ratio: number | null;
}

/** What reads at a fixed interval came to. */
export interface WindowsOutcome extends OracleTotals {
  readonly windows: WindowsResult;
  /** Always 0: nothing is sent. */
  readonly extraBytesSent: number;
}

/**
 * The memory access pattern without a migration: reads and clears at a fixed interval. Window k holds what happens in
 * [k W, (k+1) W), so an event just at a border belongs to the later window (unlike a migration's rounds). Every window is
 * read, empty ones and the last, partial one included. A page counts as stale when a device wrote it and no later window
 * reported it, as if each window copied what it reported. The CPU log plays no part. With a tracker that resizes leaves a read
 * waits until nothing is under way, and one that splits lasts; the next window ends at its time all the same, or right after.
 */
export class Windows {
  readonly #options: WindowsOptions;
  readonly #feed: Feed;
  readonly #report: Bitmap;
  #state: 'new' | 'running' | 'done' = 'new';
  #nowNs = 0;
  /** Windows that are over. */
  #count = 0;
  #endNs: number;
  /** The last read lasted, or a split was under way, until then. */
  #freeNs = 0;
  #reading = false;

  /** @throws RangeError when `windowNs` is not a whole number of at least 1, or bitmap and oracle differ in size. */
  constructor(options: WindowsOptions) {
    this.#options = options;
    this.#endNs = exactPositive('windowNs', options.windowNs);
    this.#feed = new Feed(options.tracker, options.oracle);
    this.#report = options.newBitmap();
    if (this.#report.pages !== options.oracle.pages) {
      throw new RangeError(
        `newBitmap() has ${this.#report.pages} pages; the oracle's ${options.oracle.pages} are needed`,
      );
    }
  }

  /** Whether the input has ended. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Tracking begins at 0. */
  start(): void {
    if (this.#state !== 'new') throw new Error('start() was called before; the windows run once');
    this.#state = 'running';
    this.#options.tracker.start();
  }

  /** The events of a batch happen, event i at `batch.timeNs[i] + offsetNs`. */
  dma(batch: EventBatch, offsetNs: number): void {
    if (batch.count === 0) return;
    this.#arrive(batch.timeNs[0] + offsetNs);
    let begin = 0;
    for (;;) {
      const end = firstLaterThan(batch, begin, this.#nextNs() - 1 - offsetNs);
      this.#feed.events(batch, begin, end, offsetNs);
      begin = end;
      if (begin === batch.count) break;
      this.#happen();
    }
    this.#nowNs = batch.timeNs[batch.count - 1] + offsetNs;
  }

  /** Ignored: what CPUs write is no part of a device's access pattern. */
  cpu(_window: CpuWindow, _offsetNs: number): void {}

  /** Time passes to `timeNs` with nothing in it: windows that end by then are closed. */
  advance(timeNs: number): void {
    this.#arrive(timeNs);
  }

  /** The last event was at `timeNs` (0 for an input without events); the window that holds that moment is the last one. */
  inputEnded(timeNs: number): void {
    if (this.done) return;
    this.#arrive(timeNs);
    this.#finishSteps();
    // Windows that waited for a read are over as well.
    for (let last = false; !last; this.#finishSteps()) {
      last = this.#endNs > timeNs;
      this.#close();
    }
    this.#state = 'done';
  }

  /** @throws Error before `inputEnded`. */
  result(): WindowsOutcome {
    if (!this.done) throw new Error('the windows are not over; call inputEnded() first');
    const totals = this.#options.oracle.totals();
    const reportedBytes = exact('reportedBytes', totals.reportedPages * PAGE_BYTES);
    const trueBytes = exact('trueBytes', totals.truePages * PAGE_BYTES);
    const ratio = trueBytes === 0 ? null : reportedBytes / trueBytes;
    return { ...totals, windows: { count: this.#count, reportedBytes, trueBytes, ratio }, extraBytesSent: 0 };
  }

  #arrive(timeNs: number): void {
    if (this.#state !== 'running') throw new Error(`the windows are ${this.#state}; they must be running`);
    if (!Number.isSafeInteger(timeNs) || timeNs < this.#nowNs) {
      throw new RangeError(`time is ${timeNs} ns; it must be a whole number and not before ${this.#nowNs} ns`);
    }
    while (this.#nextNs() <= timeNs) this.#happen();
    this.#nowNs = timeNs;
  }

  /** When what comes next besides events happens, before those of that moment: a step, or the end of a window. */
  #nextNs(): number {
    const stepNs = this.#feed.nextStepNs;
    return stepNs === Infinity ? Math.max(this.#endNs, this.#freeNs) : stepNs;
  }

  #happen(): void {
    const nowNs = this.#nextNs();
    if (this.#feed.nextStepNs === Infinity) return this.#close();
    if (!this.#feed.step()) return;
    this.#freeNs = nowNs;
    if (this.#reading) this.#returned();
  }

  /** What is under way ends, with no more DMA in between. */
  #finishSteps(): void {
    while (this.#feed.nextStepNs !== Infinity) this.#happen();
  }

  #close(): void {
    this.#report.clear();
    this.#reading = true;
    if (this.#feed.read(this.#report, Math.max(this.#endNs, this.#freeNs))) this.#returned();
  }

  #returned(): void {
    const { oracle, windowNs } = this.#options;
    this.#reading = false;
    const words = this.#report.words();
    oracle.judge(words);
    oracle.copied(words);
    this.#count++;
    this.#endNs += windowNs;
  }
}
