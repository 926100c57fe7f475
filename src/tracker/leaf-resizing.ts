import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Step, Steps } from '../schedule/step.ts';
import type { EventBatch } from '../workload/recording.ts';
import type { ResizeStrategy } from './resize-strategy.ts';
import type { Landed, Resizing, ResizeResult, ResizeWork } from './resizing.ts';
import { StalledDma, eventAt, type Attempt } from './stalled-dma.ts';

/** What the changes are made to, over all that the tracker maps. */
export interface Resizable {
  splitSteps(): Steps<void>;
  /** A read that splits what it finds dirty. */
  readSteps(into: Bitmap): Steps<void>;
  mergeSteps(): Steps<void>;
  /** Leaves broken, split and made by merges, ever. */
  readonly counts: { readonly broken: number; readonly split: number; readonly merged: number };
  readonly attempt: Attempt;
}

const NOTHING_DONE: ResizeWork = {
  leaves: 0,
  windows: 0,
  windowNs: 0,
  faults: 0,
  lostBytes: 0,
  stalls: 0,
  stalledNs: 0,
  deepestQueue: 0,
  flushes: 0,
  durationNs: 0,
};

type Work = { -readonly [field in keyof ResizeWork]: number };

/** The step that waits for an invalidation, and the one that puts something in the place of what was broken. */
const COMPLETE = 'complete';
const MAKE = 'make';

/** What is under way, and the step that comes next. */
interface UnderWay {
  readonly steps: Steps<void>;
  readonly next: Step;
}

/** The changes of leaf sizes of a system-IOMMU tracker: a strategy, on what it is done to, and what it came to. */
export class LeafResizing implements Resizing {
  readonly #strategy: ResizeStrategy;
  readonly #on: Resizable;
  readonly #flushNs: number;
  readonly #stalled = new StalledDma();
  readonly #splitting: Work = { ...NOTHING_DONE };
  readonly #merging: Work = { ...NOTHING_DONE };
  /** Where what is under way counts. */
  #work = this.#splitting;
  #underWay: UnderWay | undefined;
  #beganNs = 0;
  #nextStepNs = Infinity;
  #brokenSinceNs: number | undefined;

  /** @param flushNs What an invalidation takes from its issue to its completion, whole ns. */
  constructor(strategy: ResizeStrategy, on: Resizable, flushNs: number) {
    this.#strategy = strategy;
    this.#on = on;
    this.#flushNs = flushNs;
  }

  get nextStepNs(): number {
    return this.#nextStepNs;
  }

  get broken(): boolean {
    return this.#brokenSinceNs !== undefined;
  }

  /** Tracking starts: with eager splits they begin. */
  start(timeNs: number): void {
    if (this.#strategy.split === 'eager') this.#begin(this.#on.splitSteps(), timeNs);
  }

  report(into: Bitmap, timeNs: number): boolean {
    if (this.#strategy.split !== 'lazy') return false;
    this.#begin(this.#on.readSteps(into), timeNs);
    return true;
  }

  merge(timeNs: number): boolean {
    if (!this.#strategy.merge) return false;
    this.#work = this.#merging;
    this.#begin(this.#on.mergeSteps(), timeNs);
    return true;
  }

  step(landed: Landed): void {
    const underWay = this.#underWay;
    if (!underWay) throw new Error('nothing is under way; there is no step to take');
    const nowNs = this.#nextStepNs;
    const { next: taken, steps } = underWay;
    if (taken.what === COMPLETE) this.#work.flushes++;
    const before = this.#on.counts;
    const next = steps.next();
    const after = this.#on.counts;
    this.#work.leaves += after.split - before.split + (after.merged - before.merged);
    if (after.broken > before.broken) this.#open(nowNs);
    const made = taken.what === MAKE && (next.done || next.value.what !== MAKE);
    if (made && this.#brokenSinceNs !== undefined) this.#close(nowNs, this.#brokenSinceNs, landed);
    this.#await(steps, next, nowNs);
  }

  feed(batch: EventBatch, begin: number, end: number, offsetNs: number, landed: Landed): void {
    for (let i = begin; i < end; i++) {
      const event = eventAt(batch, i);
      const done = this.#on.attempt(event);
      if (event.writes) landed(event.address, done);
      const left = event.length - done;
      if (left === 0) continue;
      if (this.#strategy.fault === 'abort') {
        this.#work.faults++;
        if (event.writes) this.#work.lostBytes += left;
        continue;
      }
      this.#stalled.add({ ...event, address: event.address + done, length: left }, batch.timeNs[i] + offsetNs);
      this.#work.stalls++;
      this.#work.deepestQueue = Math.max(this.#work.deepestQueue, this.#stalled.depth);
    }
  }

  get result(): ResizeResult {
    const merging = this.#strategy.merge ? { ...this.#merging } : null;
    return { ...this.#strategy, splitting: { ...this.#splitting }, merging };
  }

  #begin(steps: Steps<void>, timeNs: number): void {
    if (this.#underWay) throw new Error(`something is under way until ${this.#nextStepNs} ns at least`);
    this.#beganNs = timeNs;
    this.#await(steps, steps.next(), timeNs);
  }

  /** The next step of what is under way comes once its time is over. */
  #await(steps: Steps<void>, next: IteratorResult<Step, void>, nowNs: number): void {
    if (next.done) {
      this.#work.durationNs += nowNs - this.#beganNs;
      this.#underWay = undefined;
      this.#nextStepNs = Infinity;
      return;
    }
    this.#underWay = { steps, next: next.value };
    this.#nextStepNs = nowNs + (next.value.what === COMPLETE ? this.#flushNs : 0);
  }

  #open(nowNs: number): void {
    if (this.#brokenSinceNs !== undefined) return;
    this.#brokenSinceNs = nowNs;
    this.#work.windows++;
  }

  #close(nowNs: number, sinceNs: number, landed: Landed): void {
    this.#brokenSinceNs = undefined;
    this.#work.windowNs += nowNs - sinceNs;
    this.#work.stalledNs += this.#stalled.retry(nowNs, this.#on.attempt, landed);
  }
}
