import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { BitmapModel } from './page-set-model.ts';

const page = fc.nat(299);
const operation = fc.oneof(
  fc.record({ op: fc.constant('mark' as const), at: fc.nat(300 * 4096), length: fc.integer({ min: 1, max: 80_000 }) }),
  fc.record({ op: fc.constant('markPages' as const), first: page, count: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ op: fc.constant('markList' as const), list: fc.array(page, { maxLength: 40 }) }),
  fc.record({ op: fc.constant('or' as const), list: fc.array(page, { maxLength: 40 }) }),
  fc.record({ op: fc.constant('clear' as const) }),
);

function runsByChunks(bitmap: Bitmap, runsPerCall: number): { page: number; pages: number }[] {
  const out = new Uint32Array(2 * runsPerCall);
  const found: { page: number; pages: number }[] = [];
  for (let from = 0; from < bitmap.pages; from = bitmap.nextPage) {
    const count = bitmap.pageRunsInto(out, from);
    for (let i = 0; i < count; i++) found.push({ page: out[2 * i], pages: out[2 * i + 1] });
  }
  return found;
}

function pagesByChunks(bitmap: Bitmap, pagesPerCall: number): number[] {
  const out = new Uint32Array(pagesPerCall);
  const found: number[] = [];
  for (let from = 0; from < bitmap.pages; from = bitmap.nextPage) {
    found.push(...out.subarray(0, bitmap.pagesInto(out, from)));
  }
  return found;
}

/** All that can be seen of a bitmap. */
function seen(bitmap: Bitmap, runsPerCall: number): unknown {
  const bits: number[] = [];
  bitmap.words().forEach((word, w) => {
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) bits.push(32 * w + bit);
  });
  const chunks = { runs: runsByChunks(bitmap, runsPerCall), pages: pagesByChunks(bitmap, runsPerCall) };
  return { bits, count: bitmap.count(), runs: [...bitmap.pageRuns()], chunks };
}

function wanted(model: BitmapModel): unknown {
  const chunks = { runs: model.runs, pages: model.marked };
  return { bits: model.marked, count: model.marked.length, runs: model.runs, chunks };
}

describe.each(PLACES)('bitmap: $name', (place) => {
  const site = new Site(place, 4);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('marks, merges and clears as a set of pages does', () => {
    const pages = fc.constantFrom(1, 63, 64, 65, 127, 128, 129, 300);
    fc.assert(
      fc.property(pages, fc.nat(3), fc.array(operation, { maxLength: 12 }), (pages, startPages, operations) => {
        const start = startPages * 4096;
        const { core } = site.core();
        const made = { start, length: pages * 4096 };
        const bitmap = core.bitmap(made);
        const model = new BitmapModel(BigInt(start), BigInt(pages * 4096), 4096n);
        const codes: string[] = [];
        const wantedCodes: string[] = [];
        const both = (fits: boolean, run: () => unknown, inModel: () => unknown) => {
          codes.push(codeOf(run));
          wantedCodes.push(fits ? 'none' : 'ERANGE');
          if (fits) inModel();
        };
        for (const step of operations) {
          switch (step.op) {
            case 'mark': {
              const last = step.at + step.length - 1;
              const fits = step.at >= start && last < start + pages * 4096;
              const mark = () => model.markRange(BigInt(step.at), BigInt(last));
              both(fits, () => bitmap.mark(step.at, step.length), mark);
              break;
            }
            case 'markPages': {
              const list = Array.from({ length: step.count }, (_, i) => step.first + i);
              const fits = step.first + step.count <= pages;
              both(
                fits,
                () => bitmap.markPages(step.first, step.count),
                () => model.markPages(list),
              );
              break;
            }
            case 'markList': {
              const fits = step.list.every((number) => number < pages);
              both(
                fits,
                () => bitmap.markList(Uint32Array.from(step.list)),
                () => model.markPages(step.list),
              );
              break;
            }
            case 'or': {
              const other = core.bitmap(made);
              const list = step.list.filter((number) => number < pages);
              other.markList(Uint32Array.from(list));
              bitmap.or(other);
              model.markPages(list);
              other.close();
              break;
            }
            case 'clear':
              bitmap.clear();
              model.clear();
          }
        }
        const has = [0, pages >> 1, pages - 1].map((number) => bitmap.has(start + number * 4096 + 4095));
        const wantedHas = [0, pages >> 1, pages - 1].map((number) => model.has(number));
        expect([codes, has, seen(bitmap, 3)]).toEqual([wantedCodes, wantedHas, wanted(model)]);
      }),
      { numRuns: runs(60) },
    );
  });

  it('is read and cleared at equal, coarser and finer page sizes as a set of pages is', () => {
    const KIB2 = 2048;
    const geometry = fc.record({ shift: fc.nat(5), start: fc.nat(9), pages: fc.integer({ min: 1, max: 150 }) });
    const ranges = fc.array(fc.tuple(fc.nat(400), fc.integer({ min: 1, max: 40 })), { maxLength: 12 });
    const query = fc.tuple(fc.nat(149), fc.integer({ min: 1, max: 150 }), fc.boolean());
    fc.assert(
      fc.property(
        geometry,
        geometry,
        ranges,
        fc.array(query, { maxLength: 4 }),
        fc.boolean(),
        (from, to, ranges, queries, far) => {
          const { core } = site.core();
          // Far: the pages end at the top of 2^64; else they begin at the bottom.
          const origin = far ? 2n ** 64n - 2n ** 23n : 0n;
          const [source, target] = [from, to].map(({ shift, start, pages }) => {
            const pageSize = KIB2 * 2 ** shift;
            const at = origin + BigInt(start * pageSize);
            const room = Number((2n ** 64n - at) / BigInt(pageSize));
            const length = BigInt(Math.min(pages, room) * pageSize);
            const model = new BitmapModel(at, length, BigInt(pageSize));
            return { bitmap: core.bitmap({ start: at, length, pageSize }), model };
          });
          for (const [first, count] of ranges) {
            const last = Math.min(first + count, source.model.pages) - 1;
            if (first > last) continue;
            source.bitmap.markPages(first, last - first + 1);
            source.model.markPages(Array.from({ length: last - first + 1 }, (_, i) => first + i));
          }
          const log: unknown[] = [];
          const wantedLog: unknown[] = [];
          for (const [first, count, clear] of queries) {
            if (first >= target.model.pages) continue;
            const last = Math.min(first + count, target.model.pages) - 1;
            const start = target.model.span(first)[0];
            const length = target.model.span(last)[1] - start + 1n;
            log.push(source.bitmap.readAndClear({ into: target.bitmap, start, length, clear }));
            wantedLog.push(source.model.drain(target.model, start, start + length - 1n, clear));
          }
          expect([log, seen(source.bitmap, 2), seen(target.bitmap, 5)]).toEqual([
            wantedLog,
            wanted(source.model),
            wanted(target.model),
          ]);
        },
      ),
      { numRuns: runs(120) },
    );
  });

  it('finds every edge at the ends of words, at sizes around them and at 2^20 + 1 pages', () => {
    for (const pages of [1, 2, 63, 64, 65, 127, 128, 129, 2 ** 20 + 1]) {
      const { core } = site.core();
      const bitmap = core.bitmap({ length: pages * 4096 });
      bitmap.markPages(0, pages);
      expect([bitmap.count(), [...bitmap.pageRuns()]]).toEqual([pages, [{ page: 0, pages }]]);
      expect([...bitmap.runs()]).toEqual([{ start: 0, length: pages * 4096 }]);
      bitmap.clear();
      expect([bitmap.count(), [...bitmap.pageRuns()]]).toEqual([0, []]);
      const lonely = [0, 62, 63, 64, 66, 127, 511, 512, 2 ** 19 + 3, 2 ** 20].filter((number) => number < pages);
      lonely.forEach((number) => bitmap.mark(number * 4096 + 17, 1));
      const found = [...bitmap.pageRuns()].flatMap(({ page, pages }) =>
        Array.from({ length: pages }, (_, i) => page + i),
      );
      expect([bitmap.count(), found]).toEqual([lonely.length, lonely]);
      expect(lonely.every((number) => bitmap.has(number * 4096))).toBe(true);
    }
  });

  it('has more runs than one call carries', () => {
    const { core } = site.core();
    const pages = 40_001;
    const bitmap = core.bitmap({ length: pages * 2048, pageSize: 2048 });
    const even = Uint32Array.from({ length: 20_001 }, (_, i) => 2 * i);
    bitmap.markList(even);
    expect(bitmap.count()).toBe(20_001);
    let next = 0;
    for (const run of bitmap.pageRuns()) if (run.page === 2 * next && run.pages === 1) next++;
    expect(next).toBe(20_001);
    expect([...bitmap.runs()].at(-1)).toEqual({ start: 40_000 * 2048, length: 2048 });
  });

  it('marks a list all or nothing, in batches of 16,384', () => {
    const { core } = site.core();
    const bitmap = core.bitmap({ length: 100 * 4096 });
    expect(() => bitmap.markList(Uint32Array.of(1, 2, 100, 3))).toThrow(/not below 100 \(ERANGE\)/);
    expect(bitmap.count()).toBe(0);
    const long = new Uint32Array(16_385).map((_, i) => i % 90);
    long[16_384] = 0xffffffff;
    expect(codeOf(() => bitmap.markList(long))).toBe('ERANGE');
    expect(bitmap.count()).toBe(90);
    bitmap.markList(new Uint32Array(0));
    expect(bitmap.count()).toBe(90);
  });

  it('covers addresses beyond 2^53, up to the last page of 2^64', () => {
    const { core } = site.core();
    const start = 2n ** 64n - 64n * 4096n;
    const bitmap = core.bitmap({ start, length: 64n * 4096n });
    bitmap.mark(2n ** 64n - 1n, 1);
    bitmap.mark(start + 4095n, 2n);
    expect([...bitmap.pageRuns()]).toEqual([
      { page: 0, pages: 2 },
      { page: 63, pages: 1 },
    ]);
    expect([bitmap.has(start), bitmap.has(start + 8192n), bitmap.has(2n ** 64n - 4096n)]).toEqual([true, false, true]);
    expect(() => [...bitmap.runs()]).toThrow(/use pageRuns\(\) \(EOVERFLOW\)/);
    const odd = core.bitmap({ start: 2n ** 53n + 4096n, length: 8192 });
    odd.mark(2n ** 53n + 4096n + 4096n, 1n);
    expect([...odd.pageRuns()]).toEqual([{ page: 1, pages: 1 }]);
    const into = core.bitmap({ start, length: 64n * 4096n });
    expect([bitmap.readAndClear({ into }), into.count(), bitmap.count()]).toEqual([3, 3, 0]);
  });

  it('has pages up to 2^63 bytes', () => {
    const { core } = site.core();
    const bitmap = core.bitmap({ length: 2n ** 64n - 1n, pageSize: 2n ** 63n });
    expect(bitmap.pages).toBe(2);
    bitmap.mark(2n ** 63n, 1);
    expect([...bitmap.pageRuns()]).toEqual([{ page: 1, pages: 1 }]);
    const half = core.bitmap({ start: 2n ** 63n, length: 2n ** 63n, pageSize: 2n ** 62n });
    bitmap.readAndClear({ into: half, start: 2n ** 63n, length: 2n ** 63n });
    expect([half.count(), bitmap.count()]).toEqual([2, 0]);
  });

  it('reports a page that is cut by the query clipped, and keeps it', () => {
    const { core } = site.core();
    const coarse = core.bitmap({ length: 4 * 65536, pageSize: 65536 });
    const fine = core.bitmap({ length: 4 * 65536 });
    coarse.markPages(0, 4);
    // From the middle of page 0 to the middle of page 2: only page 1 is wholly inside.
    expect(coarse.readAndClear({ into: fine, start: 32768, length: 2 * 65536 })).toBe(3);
    expect([...fine.pageRuns()]).toEqual([{ page: 8, pages: 32 }]);
    expect([...coarse.pageRuns()]).toEqual([
      { page: 0, pages: 1 },
      { page: 2, pages: 2 },
    ]);
    fine.clear();
    expect(coarse.readAndClear({ into: fine, clear: false })).toBe(3);
    expect([fine.count(), coarse.count()]).toEqual([48, 3]);
  });

  it('says what does not fit', () => {
    const { core } = site.core();
    const bitmap = core.bitmap({ length: 65536 });
    const coarse = core.bitmap({ length: 65536, pageSize: 65536 });
    const elsewhere = core.bitmap({ start: 4096, length: 65536 });
    bitmap.markPages(0, 16);
    const errors: [() => unknown, RegExp][] = [
      [() => core.bitmap({ length: 0 }), /length is 0; it must be at least 1 \(EINVAL\)/],
      [() => core.bitmap({ length: 4096, pageSize: 1024 }), /pageSize is 1024; it must be a power of two .*EINVAL/],
      [() => core.bitmap({ length: 4096, pageSize: 5000 }), /pageSize is 5000; .*EINVAL/],
      [() => core.bitmap({ length: 4096, pageSize: 0 }), /pageSize is 0; .*EINVAL/],
      [() => core.bitmap({ start: 2048, length: 4096 }), /start is 0x800; .* page size 4096 \(EINVAL\)/],
      [() => core.bitmap({ start: -1, length: 4096 }), /start is -1; .*EINVAL/],
      [() => core.bitmap({ start: 2 ** 53, length: 4096 }), /start is 9007199254740992; .*EINVAL/],
      [() => core.bitmap({ start: 2n ** 64n, length: 4096 }), /start is 18446744073709551616n; .*EINVAL/],
      [() => core.bitmap({ start: 2n ** 64n - 4096n, length: 4097 }), /ends beyond 2\^64 \(EOVERFLOW\)/],
      [() => core.bitmap({ length: 2n ** 44n }), /is 4294967296 pages; .* at most 2\^32 - 1 \(EINVAL\)/],
      [() => bitmap.mark(65536, 1), /0x10000 is outside the bitmap, 0x0 \.\. 0xffff \(ERANGE\)/],
      [() => bitmap.mark(65535, 2), /0x10000 is outside .*ERANGE/],
      [() => elsewhere.mark(4095, 1), /0xfff is outside .*ERANGE/],
      [() => bitmap.mark(0, 0), /length is 0/],
      [() => bitmap.mark(0.5, 1), /address is 0.5; .*EINVAL/],
      [() => bitmap.has(65536), /ERANGE/],
      [() => bitmap.markPages(16, 1), /pages 16 \+ 1 of a bitmap of 16 \(ERANGE\)/],
      [() => bitmap.markPages(0, 0), /ERANGE/],
      [() => bitmap.markPages(-1, 1), /ERANGE/],
      [() => bitmap.markPages(0.5, 1), /ERANGE/],
      [() => bitmap.or(coarse), /differ in start, page size or length \(EINVAL\)/],
      [() => bitmap.or(elsewhere), /EINVAL/],
      [() => bitmap.readAndClear({ into: bitmap }), /into is the bitmap itself.*EINVAL/],
      [() => bitmap.readAndClear({ into: coarse, length: 4096 }), /not a whole number .* pages of 65536 \(EINVAL\)/],
      [
        () => bitmap.readAndClear({ into: elsewhere }),
        /reaches beyond the target bitmap, 16 pages from 0x1000 .*ERANGE/,
      ],
      [() => bitmap.readAndClear({ into: elsewhere, start: 4096, length: 2 ** 40 }), /ERANGE/],
      [() => bitmap.pageRunsInto(new Uint32Array(1), 0), /out has 1 elements.*EINVAL/],
      [() => bitmap.pageRunsInto(new Uint32Array(2), 17), /from is 17; .* 0 to 16 \(ERANGE\)/],
      [() => bitmap.pageRunsInto(new Uint32Array(2), -1), /ERANGE/],
      [() => bitmap.pagesInto(new Uint32Array(0), 0), /out has no element; a page takes 1 \(EINVAL\)/],
      [() => bitmap.pagesInto(new Uint32Array(1), 17), /from is 17; .* 0 to 16 \(ERANGE\)/],
      [() => bitmap.pagesInto(new Uint32Array(1), 0.5), /from is 0.5; .*ERANGE/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect([bitmap.count(), coarse.count(), elsewhere.count()]).toEqual([16, 0, 0]);
  });
});
