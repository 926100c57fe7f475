import type { ByteWindow } from './byte-window.ts';
import { damagedGzip, type EventLimits } from './event-decoder.ts';
import type { CpuWindow } from './recording.ts';
import { TraceError, type TracePlace } from './trace-error.ts';
import { VARINT_BYTES, VarintReader } from './varint.ts';

const PAGE = 4096;

/** Where a CPU log stands between two windows. */
export interface CpuLogState {
  readonly offset: number;
  readonly record: number;
  readonly timeNs: number;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The CPU log of a recording (examples/traces/README.md): per window varints dt_us and number of runs, then per run the gap
 * in pages from the end of the last run, and its length in pages. Window k starts where window k - 1 ends, the first at 0.
 *
 * A window of length 0 without pages is passed over; with pages it counts as one nanosecond long. Runs of no page are left
 * out.
 */
export class CpuLogDecoder {
  readonly window: ByteWindow;
  /** The window that was read last; its runs are overwritten by the next one. */
  readonly current: Writable<CpuWindow> = {
    kind: 'cpu',
    startNs: 0,
    endNs: 0,
    runs: new Uint32Array(256),
    runCount: 0,
  };
  readonly #limits: EventLimits;
  readonly #varint = new VarintReader();
  #record = 0;
  #offset = 0;
  #timeNs = 0;

  constructor(window: ByteWindow, limits: EventLimits) {
    this.window = window;
    this.#limits = limits;
  }

  /** Where the window that `next()` would read starts. */
  get nextStartNs(): number {
    return this.#timeNs;
  }

  /** Reads the next window into `current`; false at the end of the log. */
  async next(): Promise<boolean> {
    const { current } = this;
    while (await this.#more()) {
      current.startNs = this.#timeNs;
      const endNs = this.#timeNs + this.#read() * 1000;
      if (endNs > Number.MAX_SAFE_INTEGER) throw this.#fault('the time passes 2^53 ns (104 days)');
      await this.#readRuns(this.#read());
      this.#timeNs = endNs;
      this.#record++;
      if (endNs === current.startNs && current.runCount === 0) continue;
      current.endNs = Math.max(endNs, current.startNs + 1);
      return true;
    }
    return false;
  }

  /** Reads on to the first window that ends after `fromNs`, and says where it starts; null if there is none. */
  async seek(fromNs: number): Promise<CpuLogState | null> {
    while (await this.next()) {
      if (this.current.endNs <= fromNs) continue;
      return { offset: this.#offset, record: this.#record - 1, timeNs: this.current.startNs };
    }
    return null;
  }

  /** Goes to a state that was taken over the same bytes. The window must hold them all. */
  resume(state: CpuLogState): void {
    this.window.position = state.offset;
    this.#record = state.record;
    this.#timeNs = state.timeNs;
  }

  async #more(): Promise<boolean> {
    const { window } = this;
    if (!this.#ready()) await window.fill();
    this.#offset = window.offset;
    if (window.position < window.end) return true;
    if (window.failure !== null) throw this.#cutOff();
    return false;
  }

  async #readRuns(count: number): Promise<void> {
    const { current } = this;
    const pages = Math.floor(this.#limits.ramBytes / PAGE);
    let next = 0;
    let stored = 0;
    for (let i = 0; i < count; i++) {
      if (!this.#ready()) await this.window.fill();
      const first = next + this.#read();
      const length = this.#read();
      next = first + length;
      if (next > pages) {
        throw this.#fault(`a run of ${length} pages at page ${first} does not lie in RAM, which has ${pages} pages`);
      }
      if (length === 0) continue;
      if (stored * 2 === current.runs.length) current.runs = grown(current.runs);
      current.runs[stored * 2] = first;
      current.runs[stored * 2 + 1] = length;
      stored++;
    }
    current.runCount = stored;
  }

  /** Whether two varints can be read without moving the window. */
  #ready(): boolean {
    const { window } = this;
    return window.final || window.end - window.position >= 2 * VARINT_BYTES;
  }

  #read(): number {
    const { window } = this;
    const value = this.#varint.read(window.bytes, window.position);
    if (this.#varint.end > window.end) throw this.#cutOff();
    if (value < 0) throw this.#fault('a varint is longer than 8 bytes or not below 2^53');
    window.position = this.#varint.end;
    return value;
  }

  #place(): TracePlace {
    return { unit: 'window', record: this.#record, byteOffset: this.#offset };
  }

  #cutOff(): TraceError {
    if (this.window.failure !== null) return damagedGzip(this.window, this.#limits.source, this.#place());
    return this.#fault('the file ends in the middle of this window');
  }

  #fault(reason: string): TraceError {
    return new TraceError(this.#limits.source, reason, this.#place());
  }
}

function grown(runs: Uint32Array): Uint32Array {
  const larger = new Uint32Array(runs.length * 2);
  larger.set(runs);
  return larger;
}
