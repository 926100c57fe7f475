import type { Reason, RoundResult, RoundsResult } from '../../src/migration/rounds-result.ts';
import { pagesOf, type Workload } from './drive.ts';
import type { Behaviour } from './fake-tracker.ts';

export interface ReferenceOptions {
  readonly behaviour: Behaviour;
  readonly linkBitsPerSecond: number;
  readonly downtimeLimitNs: number;
  readonly capNs: number;
}

type Outcome = Omit<RoundsResult, 'why'>;

/** The rounds again, slowly: every interval looks through the whole workload, and pages are sets of numbers. */
export function referenceRounds(workload: Workload, options: ReferenceOptions): Outcome {
  return new Reference(workload, options).run();
}

class Reference {
  readonly #workload: Workload;
  readonly #options: ReferenceOptions;
  readonly #ramPages: number;
  readonly #rounds: RoundResult[] = [];
  readonly #totals = { missedPages: 0, overReportedPages: 0, truePages: 0, reportedPages: 0 };
  /** Copies happen after the events of their moment, the first one before all. */
  readonly #copiedAt: number[];
  #lastWritten = new Set<number>();
  #extraPages = 0;

  constructor(workload: Workload, options: ReferenceOptions) {
    this.#workload = workload;
    this.#options = options;
    this.#ramPages = Math.ceil(workload.ramBytes / 4096);
    this.#copiedAt = new Array<number>(this.#ramPages).fill(-0.5);
  }

  run(): Outcome {
    if (this.#fits(this.#ramPages)) return this.#finish('converged', this.#all(), -1);
    if (this.#duration(this.#ramPages) > this.#options.capNs) return this.#finish('notConverging', this.#all(), -1);
    let from = -1;
    let sending = this.#ramPages;
    for (let start = 0; ;) {
      const end = start + this.#duration(sending);
      const ended = end > this.#workload.endNs;
      const until = ended ? this.#workload.endNs : end;
      const report = this.#read(from, until);
      const cpu = this.#cpuPages(start, until);
      const dirty = new Set([...report, ...cpu]);
      this.#send(sending, dirty.size);
      const converged = this.#fits(dirty.size);
      const written = this.#written(from, until);
      if (ended || converged || end + this.#duration(dirty.size) > this.#options.capNs) {
        if (!ended) this.#read(until, until).forEach((page) => dirty.add(page));
        this.#extraPages += [...dirty].filter((page) => !cpu.has(page) && !written.has(page)).length;
        return this.#finish(ended ? 'inputEnded' : converged ? 'converged' : 'notConverging', dirty, until);
      }
      this.#extraPages += [...dirty].filter((page) => !cpu.has(page) && !written.has(page)).length;
      dirty.forEach((page) => (this.#copiedAt[page] = end + 0.5));
      from = end;
      start = end;
      sending = dirty.size;
    }
  }

  #all(): Set<number> {
    return new Set(this.#copiedAt.keys());
  }

  #duration(pages: number): number {
    const work = BigInt(pages) * 4096n * 8_000_000_000n;
    const rate = BigInt(this.#options.linkBitsPerSecond);
    return Number(work / rate) + (work % rate === 0n ? 0 : 1);
  }

  #fits(pages: number): boolean {
    const { downtimeLimitNs, linkBitsPerSecond } = this.#options;
    return BigInt(pages) * 4096n * 8_000_000_000n <= BigInt(downtimeLimitNs) * BigInt(linkBitsPerSecond);
  }

  #landings(from: number, until: number): { page: number; timeNs: number }[] {
    return this.#workload.events
      .filter(({ op, timeNs }) => op < 3 && timeNs > from && timeNs <= until)
      .flatMap((event) => pagesOf(event).map((page) => ({ page, timeNs: event.timeNs })));
  }

  #written(from: number, until: number): Set<number> {
    return new Set(this.#landings(from, until).map(({ page }) => page));
  }

  #cpuPages(from: number, until: number): Set<number> {
    const windows = this.#workload.cpu.filter(({ startNs, endNs }) => startNs <= until && endNs > from);
    return new Set(windows.flatMap(({ pages }) => pages));
  }

  #read(from: number, until: number): Set<number> {
    const written = this.#written(from, until);
    const report = new Set(this.#options.behaviour(written, this.#lastWritten, this.#ramPages));
    this.#lastWritten = written;
    this.#totals.missedPages += [...written].filter((page) => !report.has(page)).length;
    this.#totals.overReportedPages += [...report].filter((page) => !written.has(page)).length;
    this.#totals.truePages += written.size;
    this.#totals.reportedPages += report.size;
    return report;
  }

  #send(pages: number, dirtiedPages: number): void {
    const index = this.#rounds.length;
    this.#rounds.push({ index, pages, bytes: pages * 4096, durationNs: this.#duration(pages), dirtiedPages });
  }

  #finish(reason: Reason, pages: ReadonlySet<number>, stoppedAt: number): Outcome {
    pages.forEach((page) => (this.#copiedAt[page] = stoppedAt + 0.5));
    this.#send(pages.size, 0);
    const late = this.#landings(-1, stoppedAt).filter(({ page, timeNs }) => timeNs > this.#copiedAt[page]);
    return {
      ...this.#totals,
      stalePages: new Set(late.map(({ page }) => page)).size,
      rounds: this.#rounds,
      totalBytes: this.#rounds.reduce((sum, { bytes }) => sum + bytes, 0),
      totalTimeNs: this.#rounds.reduce((sum, { durationNs }) => sum + durationNs, 0),
      downtimeNs: this.#duration(pages.size),
      converged: reason === 'converged',
      reason,
      extraBytesSent: this.#extraPages * 4096,
    };
  }
}
