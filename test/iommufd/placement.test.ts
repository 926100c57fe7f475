import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ADDRESS_MAX, gaps, merged, type Interval } from '../../src/iommufd/interval.ts';
import { placeIova, type PlacementRequest } from '../../src/iommufd/placement.ts';
import { codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { FIXED, MIB, PAGE, RAM, READABLE, TOP, rig } from './rig.ts';

const EMPTY = { address: 0n, length: PAGE, alignment: 1n, allowed: [], searched: undefined, pageSize: PAGE };
type Request = Partial<PlacementRequest> & { readonly used?: readonly Interval[] };
const place = ({ used = [], ...request }: Request) =>
  placeIova('test', { ...EMPTY, usedFrom: () => used, ...request }).from;
const upTo = (last: bigint): Interval => ({ first: 0n, last });

describe('automatic IOVAs', () => {
  it.each<[string, Request, bigint]>([
    ['never 0', {}, PAGE],
    ['aligned to the length, rounded up', { length: 3n * PAGE }, 4n * PAGE],
    ['aligned as the user address', { address: 2n * PAGE, length: 16n * PAGE }, 2n * PAGE],
    ['aligned to at most 2 MiB', { length: 64n * MIB }, 2n * MIB],
    ['aligned to at most 32 MiB with pages of 16 KiB', { length: 64n * MIB, pageSize: 16384n }, 32n * MIB],
    ['congruent to the user address in the page', { address: 0x12345n, length: 1n }, PAGE + 0x345n],
    ['behind what is used', { used: [upTo(5n * PAGE)] }, 6n * PAGE],
    ['in a hole that just fits', { used: [upTo(PAGE - 1n), { first: 2n * PAGE, last: TOP }] }, PAGE],
    [
      'not at the end of a hole of one byte',
      { length: 1n, used: [upTo(2n * PAGE - 1n), { first: 2n * PAGE + 1n, last: 9n * PAGE - 1n }] },
      9n * PAGE,
    ],
    ['within what is allowed', { allowed: [{ first: 7n * PAGE, last: 9n * PAGE - 1n }] }, 7n * PAGE],
    [
      'across allowed ranges that touch',
      {
        length: 2n * PAGE,
        allowed: [
          { first: 9n * PAGE, last: 10n * PAGE },
          { first: 8n * PAGE, last: 9n * PAGE - 1n },
        ],
      },
      8n * PAGE,
    ],
    [
      'up to the page before the last',
      { used: [upTo(TOP - 2n * PAGE - 1n)], length: PAGE - 1n, address: 1n },
      TOP - 2n * PAGE + 1n,
    ],
  ])('are %s', (_, request, iova) => {
    expect(place(request)).toBe(iova);
  });

  it.each<[string, Request, string]>([
    ['2^63 - 1 bytes', { length: 2n ** 63n - 1n }, 'EOVERFLOW'],
    ['less alignment than the IOAS has', { address: 1n, alignment: 2n }, 'EINVAL'],
    ['a length below the alignment', { length: 1n, alignment: PAGE }, 'EINVAL'],
    ['no hole', { used: [upTo(ADDRESS_MAX)] }, 'ENOSPC'],
    [
      'a hole that is too small once aligned',
      { length: 2n * PAGE, used: [upTo(PAGE - 1n), { first: 3n * PAGE, last: TOP }] },
      'ENOSPC',
    ],
    ['only the last page left', { used: [upTo(TOP - PAGE - 1n)] }, 'ENOSPC'],
    ['allowed ranges that are not searched', { allowed: [upTo(PAGE - 1n)] }, 'ENOSPC'],
  ])('%s: refused', (_, request, code) => {
    expect(codeOf(() => place(request))).toBe(code);
  });

  it('are the lowest that fit', () => {
    const interval = fc.tuple(fc.nat(60), fc.nat(6)).map(([at, length]) => ({
      first: BigInt(at) * PAGE,
      last: BigInt(at + length) * PAGE + PAGE - 1n,
    }));
    fc.assert(
      fc.property(
        fc.array(interval, { maxLength: 8 }),
        fc.array(interval, { maxLength: 3 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(40),
        (used, allowed, pages, at) => {
          const request = { ...EMPTY, address: BigInt(at) * PAGE, length: BigInt(pages) * PAGE, alignment: PAGE };
          const open = (page: number) => {
            const iova = BigInt(page) * PAGE;
            const within = ({ first, last }: Interval) => first <= iova && iova <= last;
            return page > 0 && !used.some(within) && (allowed.length === 0 || allowed.some(within));
          };
          let align = 1;
          while (align < pages) align *= 2;
          if (at > 0) align = Math.min(align, at & -at);
          let expected: bigint | string = 'ENOSPC';
          for (let page = align; page < 200; page += align) {
            if (!Array.from({ length: pages }, (_, i) => page + i).every(open)) continue;
            expected = BigInt(page) * PAGE;
            break;
          }
          let found: bigint | undefined;
          const code = codeOf(() => (found = place({ ...request, allowed, used: merged(used) })));
          expect(code === 'none' ? found : code).toBe(expected);
        },
      ),
      { numRuns: runs(300) },
    );
  });
});

describe('automatic IOVAs of an IOAS', () => {
  it('are those of a search from the start, whatever was searched for before', () => {
    const step = fc.record({
      op: fc.constantFrom('map', 'map', 'map', 'fixed', 'unmap', 'allow'),
      pages: fc.integer({ min: 1, max: 5 }),
      bytes: fc.constantFrom(0n, 0n, 0n, 1n, 100n),
      at: fc.constantFrom(0n, 1n, 2n, 4n, 6n).map((n) => n * PAGE),
      offset: fc.constantFrom(0n, 0n, 0n, 2048n, 96n),
      which: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { fd } = rig();
        const { outIoasId: ioasId } = fd.ioasAlloc();
        let areas: Interval[] = [];
        let allowed: Interval[] = [];
        const wrong: unknown[] = [];
        for (const { op, pages, bytes, at, offset, which } of steps) {
          const length = BigInt(pages) * PAGE - bytes;
          const userVa = RAM + at + offset;
          if (op === 'unmap' && areas.length) {
            const [area] = areas.splice(which % areas.length, 1);
            fd.ioasUnmap({ ioasId, iova: area.first, length: area.last - area.first + 1n });
          } else if (op === 'allow') {
            const start = BigInt(which) * PAGE;
            allowed = which % 3 ? [{ first: start, last: start + 64n * PAGE }] : [];
            const allowedIovas = new Uint8Array(new BigUint64Array([start, start + 64n * PAGE]).buffer);
            fd.ioasAllowIovas({ ioasId, numIovas: allowed.length, allowedIovas });
          } else if (op === 'fixed') {
            const iova = BigInt(which) * PAGE;
            if (codeOf(() => fd.ioasMap({ flags: READABLE | FIXED, ioasId, userVa, length, iova })) === 'none') {
              areas.push({ first: iova, last: iova + length - 1n });
            }
          } else if (op === 'map') {
            areas = areas.sort((a, b) => (a.first < b.first ? -1 : 1));
            let expected: bigint | undefined;
            let found: bigint | undefined;
            const code = codeOf(() => (expected = place({ address: userVa, length, allowed, used: areas })));
            const real = codeOf(() => (found = fd.ioasMap({ flags: READABLE, ioasId, userVa, length }).iova));
            if (code !== real || found !== expected) wrong.push([code, expected, real, found]);
            if (found !== undefined) areas.push({ first: found, last: found + length - 1n });
          }
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: runs(300) },
    );
  });
});

describe('intervals', () => {
  it('are merged, and their gaps found, as sets of addresses would be', () => {
    const interval = fc
      .tuple(fc.nat(30), fc.nat(5))
      .map(([first, more]) => ({ first: BigInt(first), last: BigInt(first + more) }));
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 6 }), fc.nat(20), fc.nat(20), (list, from, more) => {
        const within = { first: BigInt(from), last: BigInt(from + more) };
        const numbers = Array.from({ length: 45 }, (_, i) => BigInt(i));
        const holds = (each: readonly Interval[], n: bigint) => each.some(({ first, last }) => first <= n && n <= last);
        const result = merged(list);
        const apart = result.every((each, i) => i === 0 || each.first > result[i - 1].last + 1n);
        const free = [...gaps(result, within)];
        const wrong = numbers.filter(
          (n) => holds(result, n) !== holds(list, n) || holds(free, n) !== (holds([within], n) && !holds(list, n)),
        );
        expect([apart, wrong]).toEqual([true, []]);
      }),
      { numRuns: runs(300) },
    );
  });
});
