import { PageSet, bitCount, lowestBit } from './page-set.ts';

/** Bytes of the page that truth is kept in, whatever the leaf or log page of a tracker. */
const PAGE_BYTES = 4096;

/** What the oracle says of one report. All but `report` and `firstMissedPage` are counts of distinct 4 KiB pages. */
export interface Judgement {
  /** Number of the report, from 0. */
  readonly report: number;
  /** Pages that had to be in the report and were not. */
  readonly missed: number;
  /** Pages in the report on which nothing had landed. */
  readonly over: number;
  /** Pages on which something landed since the last report returned. */
  readonly truth: number;
  /** Pages in the report. */
  readonly reported: number;
  /** The lowest of the missed pages, or null when none was missed. */
  readonly firstMissedPage: number | null;
}

/** A page that a report should have held and did not. */
export interface MissedPage {
  /** Number of the report, from 0. */
  readonly report: number;
  /** 4 KiB page number. */
  readonly page: number;
}

/** Sums over all reports, in 4 KiB pages; `stalePages` is the state at this moment. */
export interface OracleTotals {
  readonly missedPages: number;
  readonly stalePages: number;
  readonly overReportedPages: number;
  readonly truePages: number;
  readonly reportedPages: number;
}

/**
 * The truth about device writes, against which every report of a tracker is judged. Moments are the order of the calls.
 *
 * Report k runs from `begin()` (s_k) to `judge()` (e_k), and writes may land between the two. A write landed in
 * (e_(k-1), s_k] must be in report k, one landed in (s_k, e_k] in report k or k+1. A page is over-reported in k if nothing
 * landed on it in (s_(k-1), e_k]. Before the first report, s and e are the beginning. Writes that land after the last
 * `begin()` are owed to a report that never comes and are judged by staleness alone.
 *
 * Only writes of at least one byte that reached memory may be told; which value they wrote does not matter.
 */
export class Oracle {
  /** 4 KiB pages, numbered from 0. */
  readonly pages: number;

  /** Landed in (e_(k-1), s_k]. */
  readonly #before: PageSet;
  /** Landed in (s_k, e_k]. */
  readonly #during: PageSet;
  /** Landed in (s_(k-1), e_(k-1)]. */
  readonly #duringLast: PageSet;
  /** Those of `#duringLast` that report k-1 did not hold. */
  readonly #owed: PageSet;
  /** Landed in (s_(k-1), e_k], of the report judged last. */
  readonly #justified: PageSet;
  /** Landed after the last copy. */
  readonly #stale: PageSet;

  #landing: PageSet;
  #reports = 0;
  #firstMissed: MissedPage | null = null;
  #missedPages = 0;
  #overReportedPages = 0;
  #truePages = 0;
  #reportedPages = 0;

  /** @param pages 4 KiB pages of memory, 1 to 2^32. Memory: six bits per page. */
  constructor(pages: number) {
    this.pages = pages;
    this.#before = new PageSet(pages);
    this.#during = new PageSet(pages);
    this.#duringLast = new PageSet(pages);
    this.#owed = new PageSet(pages);
    this.#justified = new PageSet(pages);
    this.#stale = new PageSet(pages);
    this.#landing = this.#before;
  }

  /**
   * A device write of at least one byte landed now on each of the pages `firstPage` to `lastPage`, both included.
   * @throws RangeError unless 0 <= firstPage <= lastPage < pages.
   */
  land(firstPage: number, lastPage: number): void {
    if (
      firstPage >>> 0 !== firstPage ||
      lastPage >>> 0 !== lastPage ||
      firstPage > lastPage ||
      lastPage >= this.pages
    ) {
      throw new RangeError(
        `pages ${firstPage} to ${lastPage} cannot be written; whole page numbers from 0 to ${this.pages - 1} in ascending order can`,
      );
    }
    this.#landing.add(firstPage, lastPage);
    this.#stale.add(firstPage, lastPage);
  }

  /** A device write of `length` bytes landed now at byte `address`; a length of 0 is no write. Errors as `land`. */
  landBytes(address: number, length: number): void {
    if (length === 0) return;
    this.land(Math.floor(address / PAGE_BYTES), Math.floor((address + length - 1) / PAGE_BYTES));
  }

  /**
   * The moment s_k: a report starts to run.
   * @throws Error when the last report has not been judged yet.
   */
  begin(): void {
    if (this.#landing === this.#during) throw new Error(`report ${this.#reports} has begun already; judge it first`);
    this.#landing = this.#during;
  }

  /**
   * The moment e_k: the report returns, and is judged.
   * @param reported Bit i of word w stands for page 32 w + i, bits behind the last page are 0; or `'everything'`, which is
   *   what a failed report obliges its reader to assume.
   * @throws Error when no report has begun; RangeError when `reported` is too short or holds pages that do not exist.
   */
  judge(reported: Uint32Array | 'everything'): Judgement {
    if (this.#landing !== this.#during) throw new Error(`report ${this.#reports} has not begun; call begin() first`);
    if (reported !== 'everything') this.#checkWords('reported', reported);
    const judgement = this.#compare(reported);
    if (judgement.firstMissedPage !== null) {
      this.#firstMissed ??= { report: judgement.report, page: judgement.firstMissedPage };
    }
    this.#missedPages += judgement.missed;
    this.#overReportedPages += judgement.over;
    this.#truePages += judgement.truth;
    this.#reportedPages += judgement.reported;
    this.#reports++;
    this.#landing = this.#before;
    return judgement;
  }

  /** Words of the pages that landed in (s_(k-1), e_k] of the report judged last; valid until the next `judge`. */
  justified(): Uint32Array {
    return this.#justified.words;
  }

  /**
   * These pages, or all, are copied to the destination now.
   * @throws RangeError as `judge`.
   */
  copied(pages: Uint32Array | 'everything'): void {
    if (pages === 'everything') {
      this.#stale.clear();
      return;
    }
    this.#checkWords('pages', pages);
    const stale = this.#stale.words;
    for (let w = 0; w < stale.length; w++) stale[w] &= ~pages[w];
  }

  /** Distinct pages whose last landed write is later than their last copy. A page never copied is stale once written. */
  stalePages(): number {
    return this.#stale.count();
  }

  /** The lowest stale page, or null when there is none. */
  firstStalePage(): number | null {
    return this.#stale.first();
  }

  /** The lowest page missed by the first report that missed any, or null. */
  get firstMissed(): MissedPage | null {
    return this.#firstMissed;
  }

  /** How many reports have been judged. */
  get reports(): number {
    return this.#reports;
  }

  totals(): OracleTotals {
    return {
      missedPages: this.#missedPages,
      stalePages: this.stalePages(),
      overReportedPages: this.#overReportedPages,
      truePages: this.#truePages,
      reportedPages: this.#reportedPages,
    };
  }

  #compare(reported: Uint32Array | 'everything'): Judgement {
    const before = this.#before.words;
    const during = this.#during.words;
    const duringLast = this.#duringLast.words;
    const owed = this.#owed.words;
    const justified = this.#justified.words;
    let missed = 0;
    let over = 0;
    let truth = 0;
    let count = 0;
    let firstMissedPage: number | null = null;
    for (let w = 0; w < before.length; w++) {
      const report = reported === 'everything' ? this.#before.fullWord(w) : reported[w];
      const landed = before[w] | during[w];
      const grounds = landed | duringLast[w];
      if ((report | grounds | justified[w]) === 0) continue;
      const lost = (before[w] | owed[w]) & ~report;
      if (lost !== 0 && firstMissedPage === null) firstMissedPage = w * 32 + lowestBit(lost);
      missed += bitCount(lost);
      over += bitCount(report & ~grounds);
      truth += bitCount(landed);
      count += bitCount(report);
      owed[w] = during[w] & ~report;
      duringLast[w] = during[w];
      before[w] = 0;
      during[w] = 0;
      justified[w] = grounds;
    }
    return { report: this.#reports, missed, over, truth, reported: count, firstMissedPage };
  }

  #checkWords(name: string, words: Uint32Array): void {
    const needed = this.#stale.words.length;
    if (words.length < needed) {
      throw new RangeError(`${name} has ${words.length} words; ${this.pages} pages need ${needed}`);
    }
    const last = words[needed - 1];
    const padding =
      (last & ~this.#stale.fullWord(needed - 1)) !== 0 || words.subarray(needed).some((word) => word !== 0);
    if (padding)
      throw new RangeError(`${name} holds pages behind the last page ${this.pages - 1}; those bits must be 0`);
  }
}
