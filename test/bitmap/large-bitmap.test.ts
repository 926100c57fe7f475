import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';

/** Groups of 64 words are looked at together: bitmaps of some groups and a rest, and marks of every density. */
const pages = fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constantFrom(4096, 4160, 8192, 8256, 12_288, 16_385));
const runsPerCall = fc.constantFrom(1, 2, 135, 136, 137, 300, 4096);
const pattern = fc.record({
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  mean: fc.constantFrom(1, 2, 3, 10, 64, 900, 5000),
});

/** Stretches that are clean and marked in turn, around `mean` pages each: the marked ones, as first page and pages. */
function rangesOf(count: number, { seed, mean }: { readonly seed: number; readonly mean: number }): number[][] {
  const ranges: number[][] = [];
  let state = seed;
  for (let page = 0, clean = true; page < count; clean = !clean) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const length = Math.min(count - page, 1 + ((state >>> 8) % (2 * mean)));
    if (!clean) ranges.push([page, length]);
    page += length;
  }
  return ranges;
}

/** What `ranges` have within pages `first` .. `last`. */
function clipped(ranges: readonly number[][], first: number, last: number): number[][] {
  return ranges
    .map(([from, length]) => [Math.max(from, first), Math.min(from + length - 1, last)])
    .filter(([from, to]) => from <= to)
    .map(([from, to]) => [from, to - from + 1]);
}

function pagesIn(ranges: readonly number[][]): number {
  return ranges.reduce((sum, [, length]) => sum + length, 0);
}

/** The runs from page `from` on, `perCall` at most by each call. */
function found(bitmap: Bitmap, perCall = 4096, from = 0): number[][] {
  const out = new Uint32Array(2 * perCall);
  const all: number[][] = [];
  for (let page = from; page < bitmap.pages; page = bitmap.nextPage) {
    const count = bitmap.pageRunsInto(out, page);
    if (count === 0 && bitmap.nextPage < bitmap.pages) throw new Error(`no run and no end at page ${page}`);
    for (let i = 0; i < count; i++) all.push([out[2 * i], out[2 * i + 1]]);
  }
  return all;
}

/** The pages of `ranges` from page `from` on, one by one. */
function pagesOf(ranges: readonly number[][], from: number): Set<number> {
  const all = new Set<number>();
  for (const [first, length] of ranges) {
    for (let page = Math.max(first, from); page < first + length; page++) all.add(page);
  }
  return all;
}

/** The pages from page `from` on, `perCall` at most by each call; what lies behind them in `out` has to stay as it is. */
function listed(bitmap: Bitmap, perCall: number, from: number): number[] {
  const out = new Uint32Array(perCall + 1);
  const into = out.subarray(0, perCall);
  const all: number[] = [];
  for (let page = from; page < bitmap.pages; page = bitmap.nextPage) {
    out.fill(0xffff_ffff);
    const count = bitmap.pagesInto(into, page);
    if (count === 0 && bitmap.nextPage < bitmap.pages) throw new Error(`no page and no end at page ${page}`);
    if (out[count] !== 0xffff_ffff) throw new Error(`${count} pages at page ${page}, and something behind them`);
    for (let i = 0; i < count; i++) all.push(out[i]);
  }
  return all;
}

/** The bits of `ranges`, set one by one. */
function bitsOf(count: number, ranges: readonly number[][]): Buffer {
  const bits = new Uint32Array(Math.ceil(count / 32));
  for (const [first, length] of ranges) {
    for (let page = first; page < first + length; page++) bits[page >>> 5] |= 1 << (page & 31);
  }
  return Buffer.from(bits.buffer);
}

function bytesOf(bitmap: Bitmap): Buffer {
  const { buffer, byteOffset, byteLength } = bitmap.words();
  return Buffer.from(buffer, byteOffset, byteLength);
}

describe.each(PLACES)('large bitmaps: $name', (place) => {
  const site = new Site(place, 2);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  const bitmapOf = (count: number, ranges: readonly number[][]) => {
    const bitmap = site.core().core.bitmap({ length: count * 4096 });
    bitmap.markRanges(Uint32Array.from(ranges.flat()));
    return bitmap;
  };

  it('finds the runs that ranges were marked as, whatever their density and however many a call', () => {
    fc.assert(
      fc.property(pages, pattern, runsPerCall, (count, shape, perCall) => {
        const ranges = rangesOf(count, shape);
        const bitmap = bitmapOf(count, ranges);
        const seen = { runs: found(bitmap, perCall), count: bitmap.count() };
        expect(seen).toEqual({ runs: ranges, count: pagesIn(ranges) });
      }),
      { numRuns: runs(150) },
    );
  });

  it('finds a run from its middle on where it is told to begin there', () => {
    fc.assert(
      fc.property(pages, pattern, fc.nat(20_000), (count, shape, at) => {
        const from = at % count;
        const ranges = rangesOf(count, shape);
        expect(found(bitmapOf(count, ranges), 4096, from)).toEqual(clipped(ranges, from, count - 1));
      }),
      { numRuns: runs(100) },
    );
  });

  it('lists the pages that a set holds, whatever their density, however many a call and wherever it begins', () => {
    const pagesPerCall = fc.constantFrom(1, 3, 63, 64, 300, 4096, 5000);
    fc.assert(
      fc.property(pages, pattern, pagesPerCall, fc.nat(20_000), (count, shape, perCall, at) => {
        const from = at % (count + 1);
        const ranges = rangesOf(count, shape);
        expect(listed(bitmapOf(count, ranges), perCall, from)).toEqual([...pagesOf(ranges, from)]);
      }),
      { numRuns: runs(150) },
    );
  });

  it('lists pages of groups with few, many and all words marked, one to all bits each', () => {
    // Words of a group, and bits of each of those: below and above what it decides by.
    const words = [0, 1, 31, 32, 33, 64];
    const bits = [1, 2, 3, 7, 8, 9, 63, 64];
    const wanted: number[] = [];
    let group = 0;
    for (const marked of words) {
      for (const each of bits) {
        for (let word = 0; word < marked; word++) {
          const first = 4096 * group + 64 * ((word * 27) % 64);
          for (let bit = 0; bit < each; bit++) wanted.push(first + ((bit * 37 + word) % 64));
        }
        group++;
      }
    }
    const bitmap = bitmapOf(4096 * group + 65, []);
    bitmap.markList(Uint32Array.from(wanted));
    wanted.sort((a, b) => a - b);
    expect([listed(bitmap, 4096, 0), listed(bitmap, 100, 0)]).toEqual([wanted, wanted]);
  });

  it('marks lists with runs in them, and with what only begins and ends as one, bit for bit', () => {
    const part = fc.record({
      first: fc.nat(9000),
      length: fc.constantFrom(1, 2, 3, 15, 16, 17, 31, 48, 70, 200),
      order: fc.constantFrom('ascending', 'two swapped', 'one twice'),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const list = parts.flatMap(({ first, length, order }) => {
          const pages = Array.from({ length }, (_, i) => first + i);
          if (order === 'two swapped' && length > 4) [pages[1], pages[length - 2]] = [pages[length - 2], pages[1]];
          if (order === 'one twice' && length > 4) pages[length >> 1] = first;
          return pages;
        });
        const bitmap = bitmapOf(9200, []);
        bitmap.markList(Uint32Array.from(list));
        const wanted = list.map((page) => [page, 1]);
        expect(bitsOf(9200, wanted).equals(bytesOf(bitmap))).toBe(true);
      }),
      { numRuns: runs(150) },
    );
  });

  it('marks short ranges bit for bit, at the ends of words and of the bitmap too', () => {
    const count = 1217;
    const range = fc.tuple(fc.nat(count - 1), fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (drawn, most) => {
        const ranges = drawn.map(([first, length]) => [first, Math.min(length, most, count - first)]);
        expect(bitsOf(count, ranges).equals(bytesOf(bitmapOf(count, ranges)))).toBe(true);
      }),
      { numRuns: runs(150) },
    );
  });

  it('marks ranges of any length bit for bit, and none of a batch that holds a wrong one', () => {
    const range = fc.tuple(fc.nat(9000), fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 9000 })));
    const count = 18_000;
    const wrongs: Record<string, { range: number[][]; code: string }> = {
      none: { range: [], code: 'none' },
      empty: { range: [[5, 0]], code: 'EINVAL' },
      beyond: { range: [[count - 1, 2]], code: 'ERANGE' },
      wrapping: { range: [[2 ** 32 - 1, 2]], code: 'ERANGE' },
      'wrapping by its length': { range: [[5, 2 ** 32 - 1]], code: 'ERANGE' },
    };
    const kinds = fc.constantFrom(...Object.keys(wrongs));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), kinds, fc.nat(12), (list, wrong, place) => {
        const bitmap = bitmapOf(count, []);
        const all = [...list.slice(0, place), ...wrongs[wrong].range, ...list.slice(place)];
        const code = codeOf(() => bitmap.markRanges(Uint32Array.from(all.flat())));
        const same = bitsOf(count, wrong === 'none' ? list : []).equals(bytesOf(bitmap));
        expect({ code, same }).toEqual({ code: wrongs[wrong].code, same: true });
      }),
      { numRuns: runs(200) },
    );
  });

  it('refuses half a range', () => {
    const bitmap = bitmapOf(100, []);
    expect(codeOf(() => bitmap.markRanges(Uint32Array.of(1, 2, 3)))).toBe('EINVAL');
    expect(bitmap.count()).toBe(0);
  });

  it('marks a list as page by page, and none where one page is beyond the bitmap, at every length and place', () => {
    const count = 10_000;
    const list = fc.array(fc.nat(count - 1), { minLength: 1, maxLength: 70 });
    fc.assert(
      fc.property(list, fc.option(fc.nat(69)), (list, beyond) => {
        const bitmap = bitmapOf(count, []);
        const asked = Uint32Array.from(list);
        if (beyond !== null) asked[beyond % asked.length] = count;
        const code = codeOf(() => bitmap.markList(asked));
        const wanted = beyond === null ? list.map((page) => [page, 1]) : [];
        const same = bitsOf(count, wanted).equals(bytesOf(bitmap));
        expect({ code, same }).toEqual({ code: beyond === null ? 'none' : 'ERANGE', same: true });
      }),
      { numRuns: runs(200) },
    );
  });

  it('reads and clears what a query holds, and leaves the rest', () => {
    fc.assert(
      fc.property(pages, pattern, fc.nat(20_000), fc.nat(20_000), fc.boolean(), (count, shape, a, b, clear) => {
        const [first, last] = [a % count, b % count].sort((x, y) => x - y);
        const ranges = rangesOf(count, shape);
        const { core } = site.core();
        const bitmap = core.bitmap({ length: count * 4096 });
        const into = core.bitmap({ length: count * 4096 });
        bitmap.markRanges(Uint32Array.from(ranges.flat()));
        const met = bitmap.readAndClear({ into, start: first * 4096, length: (last - first + 1) * 4096, clear });
        const inside = clipped(ranges, first, last);
        const outside = [...clipped(ranges, 0, first - 1), ...clipped(ranges, last + 1, count - 1)];
        const left = bitsOf(count, clear ? outside : ranges).equals(bytesOf(bitmap));
        const reported = bitsOf(count, inside).equals(bytesOf(into));
        expect({ met, left, reported }).toEqual({ met: pagesIn(inside), left: true, reported: true });
      }),
      { numRuns: runs(150) },
    );
  });
});
