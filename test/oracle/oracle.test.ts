import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Oracle, type Judgement } from '../../src/oracle/oracle.ts';

const PAGES = 70;

type Step =
  | { kind: 'land'; first: number; last: number }
  | { kind: 'begin' }
  | { kind: 'judge'; reported: number[] | 'everything' }
  | { kind: 'copied'; pages: number[] | 'everything' };

const page = fc.nat(PAGES - 1);
const pageList = fc.oneof(
  { arbitrary: fc.uniqueArray(page, { maxLength: 30 }), weight: 8 },
  { arbitrary: fc.constant('everything' as const), weight: 1 },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: fc.tuple(page, page).map(([a, b]) => land(Math.min(a, b), Math.min(Math.max(a, b), a + 3))), weight: 5 },
  { arbitrary: fc.constant<Step>({ kind: 'begin' }), weight: 2 },
  { arbitrary: pageList.map((reported): Step => ({ kind: 'judge', reported })), weight: 2 },
  { arbitrary: pageList.map((pages): Step => ({ kind: 'copied', pages })), weight: 1 },
);

function land(first: number, last: number): Step {
  return { kind: 'land', first: Math.min(first, last), last: Math.max(first, last) };
}

function words(pages: Iterable<number> | 'everything'): Uint32Array | 'everything' {
  if (pages === 'everything') return 'everything';
  const result = new Uint32Array(Math.ceil(PAGES / 32));
  for (const p of pages) result[p >> 5] |= 1 << (p & 31);
  return result;
}

/** The rule to the letter: a list of dated landings, and the moments s and e of every report. */
class NaiveOracle {
  #now = 0;
  #landings: { page: number; at: number }[] = [];
  #copies = new Map<number, number>();
  #reports: { s: number; e: number; pages: Set<number> }[] = [];
  #s: number | null = null;

  apply(step: Step): Judgement | string | null {
    this.#now++;
    if (step.kind === 'land') {
      for (let p = step.first; p <= step.last; p++) this.#landings.push({ page: p, at: this.#now });
    } else if (step.kind === 'copied') {
      for (const p of step.pages === 'everything' ? all() : step.pages) this.#copies.set(p, this.#now);
    } else if (step.kind === 'begin') {
      if (this.#s !== null) return 'refused';
      this.#s = this.#now;
    } else {
      if (this.#s === null) return 'refused';
      this.#reports.push({
        s: this.#s,
        e: this.#now,
        pages: new Set(step.reported === 'everything' ? all() : step.reported),
      });
      this.#s = null;
      return this.#judge(this.#reports.length - 1);
    }
    return null;
  }

  stale(): number[] {
    const last = new Map(this.#landings.map(({ page, at }) => [page, at]));
    return [...last].filter(([p, at]) => at > (this.#copies.get(p) ?? 0)).map(([p]) => p);
  }

  #landed(from: number, until: number): Set<number> {
    return new Set(this.#landings.filter(({ at }) => at > from && at <= until).map((landing) => landing.page));
  }

  #judge(k: number): Judgement {
    const none = { s: 0, e: 0, pages: new Set<number>() };
    const now = this.#reports[k];
    const last = this.#reports[k - 1] ?? none;
    const due = this.#landed(last.e, now.s);
    for (const p of this.#landed(last.s, last.e)) if (!last.pages.has(p)) due.add(p);
    const missed = [...due].filter((p) => !now.pages.has(p)).sort((a, b) => a - b);
    const grounds = this.#landed(last.s, now.e);
    return {
      report: k,
      missed: missed.length,
      over: [...now.pages].filter((p) => !grounds.has(p)).length,
      truth: this.#landed(last.e, now.e).size,
      reported: now.pages.size,
      firstMissedPage: missed[0] ?? null,
    };
  }
}

function all(): number[] {
  return Array.from({ length: PAGES }, (_, p) => p);
}

function applyReal(oracle: Oracle, step: Step): Judgement | string | null {
  try {
    if (step.kind === 'land') oracle.land(step.first, step.last);
    else if (step.kind === 'copied') oracle.copied(words(step.pages));
    else if (step.kind === 'begin') oracle.begin();
    else return oracle.judge(words(step.reported));
    return null;
  } catch {
    return 'refused';
  }
}

describe('Oracle', () => {
  it('judges as the rule says, with writes that land while a report runs', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const oracle = new Oracle(PAGES);
        const naive = new NaiveOracle();
        const real = steps.map((s) => [applyReal(oracle, s), oracle.stalePages(), oracle.firstStalePage()]);
        const model = steps.map((s) => {
          const result = naive.apply(s);
          const stale = naive.stale().sort((a, b) => a - b);
          return [result, stale.length, stale[0] ?? null];
        });
        expect(real).toEqual(model);
      }),
      { seed: 21, numRuns: 1500 },
    );
  });

  it('sums the judgements and keeps the first miss as the witness', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const oracle = new Oracle(PAGES);
        const judged = steps.map((s) => applyReal(oracle, s)).filter((r) => typeof r === 'object' && r !== null);
        const sum = (name: 'missed' | 'over' | 'truth' | 'reported') => judged.reduce((n, j) => n + j[name], 0);
        const miss = judged.find((j) => j.missed > 0);
        expect([oracle.totals(), oracle.reports, oracle.firstMissed]).toEqual([
          {
            missedPages: sum('missed'),
            stalePages: oracle.stalePages(),
            overReportedPages: sum('over'),
            truePages: sum('truth'),
            reportedPages: sum('reported'),
          },
          judged.length,
          miss ? { report: miss.report, page: miss.firstMissedPage } : null,
        ]);
      }),
      { seed: 22, numRuns: 300 },
    );
  });

  it('lets a write that lands during a report wait for the next one, and not longer', () => {
    const oracle = new Oracle(PAGES);
    oracle.begin();
    oracle.land(40, 40);
    expect(oracle.judge(words([]) as Uint32Array)).toMatchObject({ missed: 0, over: 0, truth: 1 });
    oracle.begin();
    expect(oracle.judge(words([40]) as Uint32Array)).toMatchObject({ missed: 0, over: 0, truth: 0 });
    oracle.begin();
    expect(oracle.judge(words([40]) as Uint32Array)).toMatchObject({ missed: 0, over: 1 });

    oracle.begin();
    oracle.land(41, 41);
    oracle.judge(words([]) as Uint32Array);
    oracle.begin();
    expect(oracle.judge(words([]) as Uint32Array)).toMatchObject({ report: 4, missed: 1, firstMissedPage: 41 });
    expect(oracle.firstMissed).toEqual({ report: 4, page: 41 });
  });

  it('takes a failed report for everything dirty', () => {
    const oracle = new Oracle(PAGES);
    oracle.land(0, 2);
    oracle.begin();
    expect(oracle.judge('everything')).toEqual({
      report: 0,
      missed: 0,
      over: PAGES - 3,
      truth: 3,
      reported: PAGES,
      firstMissedPage: null,
    });
  });

  it('tells which pages the last report had grounds for', () => {
    const oracle = new Oracle(PAGES);
    oracle.land(1, 1);
    oracle.begin();
    oracle.land(2, 2);
    oracle.judge('everything');
    expect(oracle.justified()).toEqual(words([1, 2]));
    oracle.land(69, 69);
    oracle.begin();
    oracle.judge('everything');
    expect(oracle.justified()).toEqual(words([2, 69]));
    oracle.begin();
    oracle.judge('everything');
    expect(oracle.justified()).toEqual(words([]));
  });

  it('rounds bytes outward to pages, and length 0 is no write', () => {
    const oracle = new Oracle(PAGES);
    oracle.landBytes(4096, 0);
    expect(oracle.stalePages()).toBe(0);
    oracle.landBytes(4095, 2);
    expect([oracle.stalePages(), oracle.firstStalePage()]).toEqual([2, 0]);
    oracle.copied('everything');
    oracle.landBytes(8192, 4096);
    expect([oracle.stalePages(), oracle.firstStalePage()]).toEqual([1, 2]);
  });

  it('refuses pages that do not exist and reports that do not fit', () => {
    const oracle = new Oracle(PAGES);
    for (const [first, last] of [
      [-1, 0],
      [0, PAGES],
      [3, 2],
      [0.5, 1],
      [NaN, 1],
      [2 ** 32, 2 ** 32],
    ]) {
      expect(() => oracle.land(first, last)).toThrow(RangeError);
    }
    expect(oracle.stalePages()).toBe(0);
    oracle.begin();
    expect(() => oracle.judge(new Uint32Array(2))).toThrow('reported has 2 words; 70 pages need 3');
    expect(() => oracle.judge(Uint32Array.of(0, 0, 0x40))).toThrow('behind the last page 69');
    expect(() => oracle.judge(Uint32Array.of(0, 0, 0, 1))).toThrow('behind the last page 69');
    expect(oracle.judge(Uint32Array.of(0, 0, 0x20, 0)).reported).toBe(1);
  });

  it('refuses begin and judge out of turn', () => {
    const oracle = new Oracle(PAGES);
    expect(() => oracle.judge('everything')).toThrow('call begin() first');
    oracle.begin();
    expect(() => oracle.begin()).toThrow('judge it first');
  });
});
