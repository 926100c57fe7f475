import type { Bitmap } from '../bitmap/bitmap.ts';
import { bitCount } from '../oracle/page-set.ts';
import type { Oracle } from '../oracle/oracle.ts';
import type { Tracker } from '../tracker/tracker.ts';
import type { Feed } from './feed.ts';

/**
 * The pages to send next: what the tracker reports, judged by the oracle, merged with what the CPUs wrote. A tracker's
 * report is judged before it is merged.
 */
export class DirtyPages {
  /** The merged pages. */
  readonly pages: Bitmap;

  readonly #tracker: Tracker;
  readonly #feed: Feed;
  readonly #oracle: Oracle;
  readonly #report: Bitmap;
  /** Pages that a device or a CPU really wrote, of those that may be in `pages`. */
  readonly #written: Uint32Array;

  constructor(tracker: Tracker, feed: Feed, oracle: Oracle, newBitmap: () => Bitmap) {
    this.#tracker = tracker;
    this.#feed = feed;
    this.#oracle = oracle;
    this.pages = newBitmap();
    this.#report = newBitmap();
    if (this.pages.pages !== oracle.pages) {
      throw new RangeError(`newBitmap() has ${this.pages.pages} pages; the oracle's ${oracle.pages} are needed`);
    }
    this.#written = new Uint32Array(Math.ceil(oracle.pages / 32));
  }

  /** Begins to read the tracker; whether the read has returned. Else it does so with the tracker's last step. */
  beginRead(timeNs: number): boolean {
    this.#report.clear();
    return this.#feed.read(this.#report, timeNs);
  }

  /** The read has returned: forgets what was sent, and takes the report and the CPUs' pages in. */
  endRead(cpu: Bitmap): void {
    this.pages.clear();
    this.#written.fill(0);
    this.#judge();
    this.pages.or(cpu);
    this.#merge(cpu.words());
  }

  /** Reads the tracker once more into the same pages, at once: nothing writes any more, so there is nothing to split for. */
  readAgain(): void {
    this.#report.clear();
    this.#oracle.begin();
    this.#tracker.report(this.#report);
    this.#judge();
  }

  #judge(): void {
    this.#oracle.judge(this.#report.words());
    this.pages.or(this.#report);
    this.#merge(this.#oracle.justified());
  }

  /** How many of the pages neither a device nor a CPU had written. */
  countUnwritten(): number {
    const pages = this.pages.words();
    const written = this.#written;
    let count = 0;
    for (let w = 0; w < written.length; w++) count += bitCount(pages[w] & ~written[w]);
    return count;
  }

  #merge(words: Uint32Array): void {
    const written = this.#written;
    for (let w = 0; w < written.length; w++) written[w] |= words[w];
  }
}
