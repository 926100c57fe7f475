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
