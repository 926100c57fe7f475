import type { Bitmap } from '../bitmap/bitmap.ts';
import type { CpuWindow } from '../workload/recording.ts';

interface OpenWindow {
  readonly endNs: number;
  readonly runs: Uint32Array;
}

/**
 * The pages that the CPUs may have written in the present interval (from, until] of the migration clock. The log does not
 * say when within [start, end) of its window a page was written, so a window counts in every interval that it intersects.
 */
export class CpuLog {
  /** Pages of the present interval. */
  readonly pages: Bitmap;

  #untilNs = 0;
  /** Windows that run on behind the present interval. */
  #open: OpenWindow[] = [];

  constructor(pages: Bitmap) {
    this.pages = pages;
  }

  /** The present interval is now the one from `fromNs`, not before the end of the last, to `untilNs`. */
  advance(fromNs: number, untilNs: number): void {
    this.#untilNs = untilNs;
    this.pages.clear();
    this.#open = this.#open.filter((window) => window.endNs > fromNs);
    for (const window of this.#open) this.#mark(window.runs);
    this.#open = this.#open.filter((window) => window.endNs > untilNs);
  }

  /** A window that starts, at `window.startNs + offsetNs`, within the present interval. */
  add(window: CpuWindow, offsetNs: number): void {
    const endNs = window.endNs + offsetNs;
    const runs = window.runs.subarray(0, 2 * window.runCount);
    this.#mark(runs);
    if (endNs > this.#untilNs) this.#open.push({ endNs, runs: runs.slice() });
  }

  #mark(runs: Uint32Array): void {
    for (let i = 0; i < runs.length; i += 2) {
      if (runs[i + 1] > 0) this.pages.markPages(runs[i], runs[i + 1]);
    }
  }
}
