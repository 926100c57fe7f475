import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { orInto, overwrite } from '../../src/type1/copy-out.ts';
import { DirtyBits } from '../../src/type1/dirty-bits.ts';
import { runs } from '../runs.ts';
import { bitsOf, range } from './rig.ts';

const space = new PlainAddressSpace();

function bitsFrom(pages: number, dirty: readonly (readonly [number, number])[]): DirtyBits {
  const bits = new DirtyBits(pages);
  for (const [first, count] of dirty) if (first < pages) bits.mark(first, Math.min(count, pages - first));
  return bits;
}

const marks = fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 90 })), { maxLength: 5 });

/** update_user_bitmap on one number per bitmap: `kernel` and `user` before and after. */
function linux(kernel: bigint, user: bigint, at: number, pages: number): { kernel: bigint; user: bigint } {
  const first = BigInt(at - (at % 64));
  const shift = at % 64;
  const words = BigInt(Math.ceil((pages + shift) / 64) * 64);
  const mask = (1n << words) - 1n;
  if (shift > 0) {
    // What lies in the words that take part moves up; the rest, the spare word maybe, stays.
    kernel = (kernel & ~mask) | ((kernel << BigInt(shift)) & mask);
    kernel |= (user >> first) & (2n ** 64n - 1n);
  }
  return { kernel, user: (user & ~(mask << first)) | ((kernel & mask) << first) };
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

describe('type1 bitmaps on their way to the user', () => {
  it('are sets of pages', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), marks, (pages, dirty) => {
        const bits = bitsFrom(pages, dirty);
        const wanted = range(0, pages).filter((page) =>
          dirty.some(([first, count]) => page >= first && page < first + count),
        );
        const has = range(0, pages).filter((page) => bits.has(page));
        const raw = bitsOf(bits.bytes);
        bits.clear();
        expect([has, raw, bitsOf(bits.bytes), bits.bytes.length % 8]).toEqual([wanted, wanted, [], 0]);
      }),
      { numRuns: runs(100) },
    );
  });

  it('are ORed into what the user has, at any bit', () => {
    const cases = fc.record({
      pages: fc.integer({ min: 1, max: 400 }),
      dirty: marks,
      at: fc.nat(300),
      all: fc.boolean(),
      user: fc.uint8Array({ minLength: 96, maxLength: 96 }),
    });
    fc.assert(
      fc.property(cases, ({ pages, dirty, at, all, user }) => {
        const bits = bitsFrom(pages, dirty);
        const source = range(0, pages).filter((page) => all || bits.has(page));
        const wanted = new Set([...bitsOf(user), ...source.map((page) => at + page)]);
        const into = Uint8Array.from(user);
        const ok = orInto(space, into, at, all ? 'all' : bits, pages);
        expect([ok, bitsOf(into)]).toEqual([true, [...wanted].sort((a, b) => a - b)]);
      }),
      { numRuns: runs(200) },
    );
  });

  it('go out in pieces where they are large', () => {
    const pages = 8 * 200_000 + 5;
    for (const at of [0, 61, 64, 65536 * 8 + 3]) {
      for (const all of [false, true]) {
        const bits = new DirtyBits(pages);
        const dirty = [0, 65536 * 8 - 62, 65536 * 8 - 1, 65536 * 8, pages - 1];
        for (const page of dirty) bits.mark(page, 1);
        const into = new Uint8Array(Math.ceil((at + pages) / 64) * 8);
        orInto(space, into, at, all ? 'all' : bits, pages);
        let count = 0;
        for (let bit = 0; bit < into.length * 8; bit++) count += (into[bit >> 3] >> (bit & 7)) & 1;
        const first = (bit: number) => (into[bit >> 3] >> (bit & 7)) & 1;
        expect([count, dirty.every((page) => first(at + page))]).toEqual([all ? pages : dirty.length, true]);
      }
    }
  });

  it('are overwritten, shifted in place, as Linux does', () => {
    const cases = fc.record({
      pages: fc.integer({ min: 1, max: 300 }),
      ats: fc.array(fc.tuple(fc.nat(200), marks), { minLength: 1, maxLength: 4 }),
      user: fc.uint8Array({ minLength: 80, maxLength: 80 }),
    });
    fc.assert(
      fc.property(cases, ({ pages, ats, user }) => {
        const bits = new DirtyBits(pages);
        const into = Uint8Array.from(user);
        let model = { kernel: 0n, user: numberOf(user) };
        for (const [at, dirty] of ats) {
          for (const [first, count] of dirty) {
            const fits = Math.min(count, pages - first);
            if (fits <= 0) continue;
            bits.mark(first, fits);
            model.kernel |= ((1n << BigInt(fits)) - 1n) << BigInt(first);
          }
          overwrite(space, into, at, bits, pages);
          model = linux(model.kernel, model.user, at, pages);
          bits.clear();
          model.kernel = (model.kernel >> BigInt(pages)) << BigInt(pages);
        }
        expect([numberOf(bits.bytes), numberOf(into)]).toEqual([model.kernel, model.user]);
      }),
      { numRuns: runs(200) },
    );
  });

  it('fault where they end too early, and leave the bits', () => {
    const bits = bitsFrom(100, [[0, 100]]);
    const faults = [15, 16].map((bytes) => orInto(space, new Uint8Array(bytes), 0, bits, 100));
    expect([faults, bitsOf(bits.bytes)]).toEqual([[false, true], range(0, 100)]);
  });

  it('change their page size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), marks, fc.integer({ min: 1, max: 4 }), (large, dirty, by) => {
        const ratio = 2 ** by;
        const bits = bitsFrom(large * ratio, dirty);
        const fine = range(0, large * ratio).filter((page) => bits.has(page));
        const coarse = [...new Set(fine.map((page) => Math.floor(page / ratio)))];
        const up = bits.rescaled(large, by);
        const back = up.rescaled(large * ratio, -by);
        expect([bitsOf(up.bytes), bitsOf(back.bytes)]).toEqual([
          coarse,
          coarse.flatMap((page) => range(page * ratio, (page + 1) * ratio)),
        ]);
      }),
      { numRuns: runs(100) },
    );
  });
});
