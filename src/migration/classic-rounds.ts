import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Oracle, OracleTotals } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import type { CpuWindow, EventBatch } from '../workload/recording.ts';
import { CpuLog } from './cpu-log.ts';
import { DirtyPages } from './dirty-pages.ts';
import { exact, exactPositive } from './exact.ts';
import { Feed, firstLaterThan } from './feed.ts';
import { bytesWithin, transferNs } from './link.ts';
import type { MigratedDevices } from './migrated-devices.ts';
import { PAGE_BYTES } from './page-bytes.ts';
import type { Reason, RoundResult, RoundsResult } from './rounds-result.ts';
import { whyConverged, whyInputEnded, whyNotConverging, whyStateTooLarge, type Situation } from './why.ts';

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
  /** Devices with state of their own that migrate too. Default: none have any. */
  readonly devices?: MigratedDevices | undefined;
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
 * A tracker that resizes leaves takes steps of its own between events. A read waits until nothing is under way, and one
 * that splits lasts from its first step to its last: at its return the round is judged, decided on and copied, and the next
 * one begins. Where leaves are merged afterwards, as for a guest that stays, what the migration came to is settled, and DMA
 * goes on until they are. Such time passes, but is no part of what the link needs.
 *
 * Devices with state of their own send in each round what they have at its start, and the rest in the stop-and-copy; what
 * remains includes what they say they would send then. Where that part of it that can't be sent ahead does not fit the limit
 * by itself, the migration ends by force (`notConverging`) as soon as the rest would fit.
 *
 * Calls come in the order of time. Memory does not grow with the input, but for an entry per round.
 */
export class ClassicRounds {
  readonly #options: ClassicRoundsOptions;
  readonly #ramPages: number;
  /** Bytes that the link sends within the downtime limit. */
  readonly #fittingBytes: number;
  readonly #cpu: CpuLog;
  readonly #feed: Feed;
  readonly #dirty: DirtyPages;
  readonly #rounds: RoundResult[] = [];

  #state: 'new' | 'running' | 'reading' | 'merging' | 'done' = 'new';
  #nowNs = 0;
  /** The round in flight, and when it ends: when the link is done, and later where a read had to wait or lasted. */
  #roundPages = 0;
  #roundStateBytes = 0;
  #boundaryNs = 0;
  /** When the tracker last finished what it had under way. */
  #freeNs = 0;
  #inputEndNs: number | undefined;
  #extraPages = 0;
  #verdict: { readonly reason: Reason; readonly why: string; readonly totals: OracleTotals } | null = null;

  /** @throws RangeError for an option that is not a whole number in its range. */
  constructor(options: ClassicRoundsOptions) {
    this.#options = options;
    this.#ramPages = Math.ceil(exactPositive('ramBytes', options.ramBytes) / PAGE_BYTES);
    if (options.oracle.pages !== this.#ramPages) {
      throw new RangeError(`the oracle has ${options.oracle.pages} pages; RAM has ${this.#ramPages}`);
    }
    exact('capNs', options.capNs);
    this.#fittingBytes = bytesWithin(exact('downtimeLimitNs', options.downtimeLimitNs), options.linkBitsPerSecond);
    this.#cpu = new CpuLog(options.newBitmap());
    this.#feed = new Feed(options.tracker, options.oracle);
    this.#dirty = new DirtyPages(options.tracker, this.#feed, options.oracle, options.newBitmap);
  }

  /** Whether the migration is over, and all merged that is to be merged; what happens later does not matter to it. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Tracking begins, and with it the first round. */
  start(): void {
    if (this.#state !== 'new') throw new Error('start() was called before; a migration runs once');
    this.#state = 'running';
    this.#options.tracker.start();
    this.#options.devices?.start();
    this.#options.oracle.copied('everything');
    if (this.#ramPages <= this.#fittingPages) this.#stopAndCopyRam('converged');
    else if (!this.#begin(this.#ramPages)) this.#stopAndCopyRam('notConverging');
  }

  /** The events of a batch happen, event i at `batch.timeNs[i] + offsetNs` of the migration clock. Ignored when done. */
  dma(batch: EventBatch, offsetNs: number): void {
    if (batch.count === 0) return;
    this.#arrive(batch.timeNs[0] + offsetNs);
    let begin = 0;
    while (!this.done && begin < batch.count) {
      const end = firstLaterThan(batch, begin, this.#quietUntilNs() - offsetNs);
      this.#feed.events(batch, begin, end, offsetNs);
      // After the verdict what they do is no part of the migration.
      if (this.#state !== 'merging') this.#options.devices?.dma(batch, begin, end);
      begin = end;
      if (begin < batch.count) this.#happen();
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
    const idle = this.#feed.nextStepNs === Infinity;
    if (!this.done && idle && this.#boundaryNs === timeNs) this.#boundary();
    this.#finishSteps();
    if (this.done) return;
    this.#inputEndNs = timeNs;
    this.#boundaryNs = Math.max(this.#freeNs, timeNs);
    this.#boundary();
    this.#finishSteps();
  }

  /** @throws Error while the migration runs. */
  result(): RoundsResult {
    if (this.#verdict === null) throw new Error('the migration is not over; give it more input or call inputEnded()');
    const { reason, why, totals } = this.#verdict;
    const rounds = this.#rounds;
    return {
      ...totals,
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
    while (!this.done && this.#quietUntilNs() < timeNs) this.#happen();
    this.#nowNs = timeNs;
  }

  /** The last moment whose events come before what happens next: a step precedes the events of its moment, a boundary not. */
  #quietUntilNs(): number {
    const stepNs = this.#feed.nextStepNs;
    return stepNs === Infinity ? this.#boundaryNs : stepNs - 1;
  }

  /** What comes next besides events: a step that the tracker takes, for which a read waits, or the end of the round. */
  #happen(): void {
    const stepNs = this.#feed.nextStepNs;
    if (stepNs === Infinity) return this.#boundary();
    if (!this.#feed.step()) return;
    this.#freeNs = stepNs;
    this.#boundaryNs = Math.max(this.#boundaryNs, stepNs);
    if (this.#state === 'reading') this.#returned();
    else if (this.#state === 'merging') this.#state = 'done';
  }

  /** What is under way ends, with no more DMA in between. */
  #finishSteps(): void {
    while (!this.done && this.#feed.nextStepNs !== Infinity) this.#happen();
  }

  /** The round in flight ends, and the tracker is read. */
  #boundary(): void {
    this.#state = 'reading';
    if (this.#dirty.beginRead(this.#boundaryNs)) this.#returned();
  }

  /** The read has returned: decide. */
  #returned(): void {
    this.#state = 'running';
    this.#dirty.endRead(this.#cpu.pages);
    this.#endRound();
    if (this.#inputEndNs !== undefined) {
      return this.#stopAndCopy('inputEnded', whyInputEnded(this.#situation(), this.#inputEndNs));
    }
    const remaining = this.#dirty.pages.count();
    if (remaining <= this.#fittingPages) return this.#stopAndCopy('converged', whyConverged(this.#situation()));
    if (this.#stateNeverFits(remaining)) return this.#stopAndCopy('notConverging', whyStateTooLarge(this.#situation()));
    const unwritten = this.#dirty.countUnwritten();
    if (!this.#begin(remaining)) return this.#stopAndCopy('notConverging', whyNotConverging(this.#situation()));
    this.#extraPages += unwritten;
    this.#options.oracle.copied(this.#dirty.pages.words());
  }

  /** Begins a round at the last boundary, unless it would end behind the cap. */
  #begin(pages: number): boolean {
    const { devices, linkBitsPerSecond } = this.#options;
    const bytes = pages * PAGE_BYTES + (devices?.preCopyBytes ?? 0);
    const fromNs = this.#boundaryNs;
    const endNs = fromNs + transferNs(bytes, linkBitsPerSecond);
    if (endNs > this.#options.capNs) return false;
    this.#roundPages = pages;
    this.#roundStateBytes = devices?.sendPreCopy() ?? 0;
    this.#boundaryNs = endNs;
    this.#cpu.advance(fromNs, endNs);
    return true;
  }

  #endRound(): void {
    this.#account(this.#roundPages, this.#dirty.pages.count(), this.#roundStateBytes);
  }

  #account(pages: number, dirtiedPages: number, stateBytes: number): void {
    const bytes = exact('bytes', pages * PAGE_BYTES + stateBytes);
    const durationNs = transferNs(bytes, this.#options.linkBitsPerSecond);
    this.#rounds.push({ index: this.#rounds.length, pages, bytes, durationNs, dirtiedPages });
  }

  #stopAndCopyRam(reason: 'converged' | 'notConverging'): void {
    const why = reason === 'converged' ? whyConverged : whyNotConverging;
    this.#verdict = { reason, why: why(this.#situation()), totals: this.#options.oracle.totals() };
    this.#account(this.#ramPages, 0, this.#options.devices?.stopAndSend() ?? 0);
    this.#state = 'done';
  }

  /** Nothing writes any more: what the last read left, and what a final read adds, is sent. */
  #stopAndCopy(reason: Reason, why: string): void {
    if (reason !== 'inputEnded') this.#dirty.readAgain();
    this.#extraPages += this.#dirty.countUnwritten();
    this.#options.oracle.copied(this.#dirty.pages.words());
    this.#verdict = { reason, why, totals: this.#options.oracle.totals() };
    this.#account(this.#dirty.pages.count(), 0, this.#options.devices?.stopAndSend() ?? 0);
    this.#state = this.#feed.merge(this.#boundaryNs) ? 'merging' : 'done';
  }

  /** Pages that fit into the downtime limit beside the devices' state; below 0 where that does not fit alone. */
  get #fittingPages(): number {
    return Math.floor((this.#fittingBytes - (this.#options.devices?.stopCopyLength ?? 0)) / PAGE_BYTES);
  }

  /** Whether rounds have done what they can: what is left but the state that can't be sent ahead fits, and that alone does not. */
  #stateNeverFits(remaining: number): boolean {
    const { devices } = this.#options;
    if (!devices) return false;
    const { preCopyBytes, stopCopyLength } = devices;
    const fits = (bytes: number) => bytes <= this.#fittingBytes;
    return !fits(stopCopyLength - preCopyBytes) && fits(remaining * PAGE_BYTES + preCopyBytes);
  }

  #situation(): Situation {
    const { linkBitsPerSecond, downtimeLimitNs, capNs } = this.#options;
    return {
      rounds: this.#rounds,
      ramPages: this.#ramPages,
      remainingPages: this.#rounds.length === 0 ? this.#ramPages : this.#dirty.pages.count(),
      fittingPages: this.#fittingPages,
      stateBytes: this.#options.devices?.stopCopyLength,
      linkBitsPerSecond,
      downtimeLimitNs,
      capNs,
    };
  }
}
