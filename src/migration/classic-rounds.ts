import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Oracle } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import type { CpuWindow, EventBatch } from '../workload/recording.ts';
import { CpuLog } from './cpu-log.ts';
import { DirtyPages } from './dirty-pages.ts';
import { exact, exactPositive } from './exact.ts';
import { feed, firstLaterThan } from './feed.ts';
import { bytesWithin, transferNs } from './link.ts';
import { PAGE_BYTES } from './page-bytes.ts';
import type { Reason, RoundResult, RoundsResult } from './rounds-result.ts';
import { whyConverged, whyInputEnded, whyNotConverging, type Situation } from './why.ts';

export interface ClassicRoundsOptions {
  readonly tracker: Tracker;
  /** Of as many 4 KiB pages as RAM has, without a report so far. */
  readonly oracle: Oracle;
  /** A new, empty bitmap of 4 KiB pages over RAM. Called by the constructor only; the caller closes what it made. */
  readonly newBitmap: () => Bitmap;
  /** Guest RAM is [0, ramBytes); a partial last page counts in full. */
  readonly ramBytes: number;
  readonly linkBitsPerSecond: number;
  /** Longest acceptable stop-and-copy, as estimated when it begins. */
  readonly downtimeLimitNs: number;
  /** A pre-copy round that would end later than this is not begun. */
  readonly capNs: number;
}

/**
 * A migration in classic pre-copy rounds, driven by a workload. Its clock starts at 0 with the first round, which sends all
 * of RAM. A round takes what the link needs for its pages, which are copied at the moment it begins, right after the
 * report: the earliest moment that the safe order allows, so the one that leaves most time for later writes. At its end b,
 * when all events with time <= b have happened, the tracker is read and the CPU log's pages are merged in:
 *
 * - what remains fits the downtime limit: devices and CPUs stop at b, a final read is merged in, and the stop-and-copy sends
 *   all of it (`converged`; the final read may add pages to what was estimated);
 * - the next round would end behind the cap: the same, by force (`notConverging`), so that the row shows what that costs;
 * - else the next round begins with the merged pages.
 *
 * When the input ends during a round, the round is accounted in full, and a final read and the stop-and-copy follow
 * (`inputEnded`). If all of RAM fits the downtime limit, or one pass over it would end behind the cap, there is no pre-copy
 * at all: the stop-and-copy of all RAM is the only round, and the tracker is never read.
 *
 * Calls come in the order of time. Memory does not grow with the input, but for an entry per round.
 */
export class ClassicRounds {
  readonly #options: ClassicRoundsOptions;
  readonly #ramPages: number;
  readonly #fittingPages: number;
  readonly #cpu: CpuLog;
  readonly #dirty: DirtyPages;
  readonly #rounds: RoundResult[] = [];

  #state: 'new' | 'running' | 'done' = 'new';
  #nowNs = 0;
  /** The round in flight, and when it ends. */
  #roundPages = 0;
  #boundaryNs = 0;
  #extraPages = 0;
  #verdict: { readonly reason: Reason; readonly why: string } | null = null;

  /** @throws RangeError for an option that is not a whole number in its range. */
  constructor(options: ClassicRoundsOptions) {
    this.#options = options;
    this.#ramPages = Math.ceil(exactPositive('ramBytes', options.ramBytes) / PAGE_BYTES);
    if (options.oracle.pages !== this.#ramPages) {
      throw new RangeError(`the oracle has ${options.oracle.pages} pages; RAM has ${this.#ramPages}`);
    }
    exact('capNs', options.capNs);
    const fittingBytes = bytesWithin(exact('downtimeLimitNs', options.downtimeLimitNs), options.linkBitsPerSecond);
    this.#fittingPages = Math.floor(fittingBytes / PAGE_BYTES);
    this.#cpu = new CpuLog(options.newBitmap());
    this.#dirty = new DirtyPages(options.tracker, options.oracle, options.newBitmap);
  }

  /** Whether the migration is over; what happens later does not matter to it. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Tracking begins, and with it the first round. */
  start(): void {
    if (this.#state !== 'new') throw new Error('start() was called before; a migration runs once');
    this.#state = 'running';
    this.#options.tracker.start();
    this.#options.oracle.copied('everything');
    if (this.#ramPages <= this.#fittingPages) this.#stopAndCopyRam('converged');
    else if (!this.#begin(this.#ramPages)) this.#stopAndCopyRam('notConverging');
  }

  /** The events of a batch happen, event i at `batch.timeNs[i] + offsetNs` of the migration clock. Ignored when done. */
  dma(batch: EventBatch, offsetNs: number): void {
    if (batch.count === 0) return;
    this.#arrive(batch.timeNs[0] + offsetNs);
    const { tracker, oracle } = this.#options;
    let begin = 0;
    while (!this.done && begin < batch.count) {
      const end = firstLaterThan(batch, begin, this.#boundaryNs - offsetNs);
      feed(tracker, oracle, batch, begin, end);
      begin = end;
      if (begin < batch.count) this.#boundary();
    }
    if (!this.done) this.#nowNs = batch.timeNs[batch.count - 1] + offsetNs;
  }

  /** A window of the CPU log, `offsetNs` later on the migration clock, before any event at or after its start. Ignored when done. */
  cpu(window: CpuWindow, offsetNs: number): void {
    this.#arrive(window.startNs + offsetNs);
    if (!this.done) this.#cpu.add(window, offsetNs);
  }

  /** Time passes to `timeNs` with nothing in it: rounds that end before it end. What happens next is not before it. */
  advance(timeNs: number): void {
    this.#arrive(timeNs);
  }

  /** The input ends at `timeNs` of the migration clock. A round that ends at just that moment has an ordinary end first. */
  inputEnded(timeNs: number): void {
    this.#arrive(timeNs);
    if (!this.done && this.#boundaryNs === timeNs) this.#boundary();
    if (this.done) return;
    this.#dirty.read(this.#cpu.pages);
    this.#endRound();
    this.#stopAndCopy('inputEnded', whyInputEnded(this.#situation(), timeNs));
  }

  /** @throws Error while the migration runs. */
  result(): RoundsResult {
    if (this.#verdict === null) throw new Error('the migration is not over; give it more input or call inputEnded()');
    const { reason, why } = this.#verdict;
    const rounds = this.#rounds;
    return {
      ...this.#options.oracle.totals(),
      rounds,
      totalBytes: exact(
        'totalBytes',
        rounds.reduce((sum, round) => sum + round.bytes, 0),
      ),
      totalTimeNs: exact(
        'totalTimeNs',
        rounds.reduce((sum, round) => sum + round.durationNs, 0),
      ),
      downtimeNs: rounds[rounds.length - 1].durationNs,
      converged: reason === 'converged',
      reason,
      why,
      extraBytesSent: exact('extraBytesSent', this.#extraPages * PAGE_BYTES),
    };
  }

  /** Time passes to just before what happens at `timeNs`: rounds that end before it end. */
  #arrive(timeNs: number): void {
    if (this.#state === 'new') throw new Error('the migration has not begun; call start() first');
    if (this.done) return;
    if (!Number.isSafeInteger(timeNs) || timeNs < this.#nowNs) {
      throw new RangeError(`time is ${timeNs} ns; it must be a whole number and not before ${this.#nowNs} ns`);
    }
    while (!this.done && this.#boundaryNs < timeNs) this.#boundary();
    this.#nowNs = timeNs;
  }

  /** The round in flight ends: read, decide. */
  #boundary(): void {
    this.#dirty.read(this.#cpu.pages);
    this.#endRound();
    const remaining = this.#dirty.pages.count();
    if (remaining <= this.#fittingPages) return this.#stopAndCopy('converged', whyConverged(this.#situation()));
    const unwritten = this.#dirty.countUnwritten();
    if (!this.#begin(remaining)) return this.#stopAndCopy('notConverging', whyNotConverging(this.#situation()));
    this.#extraPages += unwritten;
    this.#options.oracle.copied(this.#dirty.pages.words());
  }

  /** Begins a round at the last boundary, unless it would end behind the cap. */
  #begin(pages: number): boolean {
    const endNs = this.#boundaryNs + transferNs(pages * PAGE_BYTES, this.#options.linkBitsPerSecond);
    if (endNs > this.#options.capNs) return false;
    this.#roundPages = pages;
    this.#boundaryNs = endNs;
    this.#cpu.advance(endNs);
    return true;
  }

  #endRound(): void {
    this.#account(this.#roundPages, this.#dirty.pages.count());
  }

  #account(pages: number, dirtiedPages: number): void {
    const bytes = exact('bytes', pages * PAGE_BYTES);
    const durationNs = transferNs(bytes, this.#options.linkBitsPerSecond);
    this.#rounds.push({ index: this.#rounds.length, pages, bytes, durationNs, dirtiedPages });
  }

  #stopAndCopyRam(reason: 'converged' | 'notConverging'): void {
    const why = reason === 'converged' ? whyConverged : whyNotConverging;
    this.#verdict = { reason, why: why(this.#situation()) };
    this.#account(this.#ramPages, 0);
    this.#state = 'done';
  }

  /** Nothing writes any more: what the last read left, and what a final read adds, is sent. */
  #stopAndCopy(reason: Reason, why: string): void {
    if (reason !== 'inputEnded') this.#dirty.readAgain();
    this.#extraPages += this.#dirty.countUnwritten();
    this.#options.oracle.copied(this.#dirty.pages.words());
    this.#verdict = { reason, why };
    this.#account(this.#dirty.pages.count(), 0);
    this.#state = 'done';
  }

  #situation(): Situation {
    const { linkBitsPerSecond, downtimeLimitNs, capNs } = this.#options;
    return {
      rounds: this.#rounds,
      ramPages: this.#ramPages,
      remainingPages: this.#rounds.length === 0 ? this.#ramPages : this.#dirty.pages.count(),
      fittingPages: this.#fittingPages,
      linkBitsPerSecond,
      downtimeLimitNs,
      capNs,
    };
  }
}
