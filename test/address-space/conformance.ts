import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AddressSpace, FrameRun } from '../../src/address-space/address-space.ts';
import { runs } from '../runs.ts';

/** An address space to judge, fresh for each test. */
export interface Fixture {
  readonly space: AddressSpace;
  /** First of `pages` writable pages that hold zeros; page-aligned. */
  readonly va: bigint;
  /** At least 16. */
  readonly pages: number;
  /** A page that is missing. */
  readonly missing: bigint;
  /** A page that may only be read, where there can be such. */
  readonly readOnly?: bigint;
  /** Bytes pinned, each pin counted. */
  pinnedBytes(): bigint;
}

const PAGE = 4096;

function frames(count: number): bigint {
  return BigInt(count) * BigInt(PAGE);
}

/** The frame of each page of `runs`, in their order. */
function framesOf(runs: readonly FrameRun[]): bigint[] {
  return runs.flatMap(({ pa, length }) => Array.from({ length: Number(length) / PAGE }, (_, i) => pa + frames(i)));
}

/** What every AddressSpace has to do. */
export function describeAddressSpace(name: string, make: () => Fixture): void {
  describe(`address space: ${name}`, () => {
    it('reads what was written, across pages', () => {
      const { space, va } = make();
      const bytes = Uint8Array.from({ length: 2 * PAGE + 5 }, (_, i) => i % 251);
      expect(space.write(va + 100n, bytes)).toBe(true);
      const into = new Uint8Array(bytes.length + 2).fill(9);
      expect(space.read(va + 99n, into)).toBe(true);
      expect(into).toEqual(Uint8Array.of(0, ...bytes, 0));
    });

    it('faults where a page is missing, and writes nothing then', () => {
      const { space, va, pages, missing } = make();
      const last = va + frames(pages) - 4n;
      expect(space.read(missing, new Uint8Array(1))).toBe(false);
      expect(space.write(missing, new Uint8Array(1))).toBe(false);
      expect(space.read(last, new Uint8Array(5))).toBe(false);
      expect(space.write(last, new Uint8Array(5).fill(1))).toBe(false);
      const into = new Uint8Array(4).fill(9);
      expect([space.read(last, into), [...into]]).toEqual([true, [0, 0, 0, 0]]);
      expect([space.read(2n ** 64n - 1n, new Uint8Array(2)), space.write(2n ** 64n - 1n, new Uint8Array(2))]).toEqual([
        false,
        false,
      ]);
    });

    it('reads and writes no bytes anywhere', () => {
      const { space, missing } = make();
      expect([space.read(missing, new Uint8Array(0)), space.write(missing, new Uint8Array(0))]).toEqual([true, true]);
      expect(space.pin(missing, 0n, true)).toEqual([]);
    });

    it('pins pages: one frame for each, in their order, the same ones every time', () => {
      const { space, va, pages, pinnedBytes } = make();
      const all = framesOf(space.pin(va, frames(pages), true)!);
      const part = framesOf(space.pin(va + frames(3), frames(2), false)!);
      expect([all.length, part, pinnedBytes()]).toEqual([pages, all.slice(3, 5), frames(pages + 2)]);
    });

    it('pins nothing where a page is missing', () => {
      const { space, va, pages, missing, pinnedBytes } = make();
      const tries = [
        space.pin(missing, frames(1), false),
        space.pin(va + frames(pages - 1), frames(2), false),
        space.pin(2n ** 64n - frames(1), frames(2), false),
      ];
      expect([tries, pinnedBytes()]).toEqual([[undefined, undefined, undefined], 0n]);
    });

    it('refuses to pin what is no whole page', () => {
      const { space, va, pinnedBytes } = make();
      expect(() => space.pin(va + 1n, frames(1), false)).toThrow(/EINVAL/);
      expect(() => space.pin(va, 100n, false)).toThrow(/EINVAL/);
      expect(pinnedBytes()).toBe(0n);
    });

    it('gives bytes of pinned frames to drivers, and to the process what they wrote', () => {
      const { space, va } = make();
      space.write(va, Uint8Array.of(1, 2, 3));
      const [{ pa }] = space.pin(va, frames(1), true)!;
      const into = new Uint8Array(2);
      expect([space.readFrame(pa + 1n, into), [...into]]).toEqual([true, [2, 3]]);
      expect([space.writeFrame(pa + 2n, Uint8Array.of(7)), space.read(va + 1n, into), [...into]]).toEqual([
        true,
        true,
        [2, 7],
      ]);
    });

    it('has no bytes of frames that are not pinned', () => {
      const { space, va } = make();
      const run = space.pin(va, frames(1), true)!;
      const { pa } = run[0];
      const next = pa + frames(1) - 1n;
      expect([space.readFrame(next, new Uint8Array(2)), space.writeFrame(next, Uint8Array.of(5, 5))]).toEqual([
        false,
        false,
      ]);
      space.unpin(run);
      expect([space.readFrame(pa, new Uint8Array(1)), space.writeFrame(pa, Uint8Array.of(5))]).toEqual([false, false]);
      const into = new Uint8Array(2);
      expect([space.read(va + frames(1) - 1n, into), [...into]]).toEqual([true, [0, 0]]);
    });

    it('unpins in parts, and throws where that was not pinned, with nothing changed', () => {
      const { space, va, pinnedBytes } = make();
      const runs = space.pin(va, frames(4), true)!;
      const each = framesOf(runs).map((pa) => ({ pa, length: frames(1) }));
      space.unpin([each[1], each[3]]);
      expect(pinnedBytes()).toBe(frames(2));
      for (const wrong of [runs, [each[0], each[1]], [each[0], each[2], each[0]]]) {
        expect(() => space.unpin(wrong)).toThrow(/not all of them are pinned \(EINVAL\)/);
      }
      expect(pinnedBytes()).toBe(frames(2));
      space.unpin([each[0], each[2]]);
      expect(pinnedBytes()).toBe(0n);
    });

    it('counts pins as a list of pages does', () => {
      const operation = fc.record({
        pin: fc.boolean(),
        first: fc.nat(15),
        count: fc.integer({ min: 1, max: 16 }),
      });
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
          const { space, va, pinnedBytes } = make();
          const counts: number[] = Array(16).fill(0);
          const refused: boolean[][] = [];
          const all = space.pin(va, frames(16), false)!;
          const pas = framesOf(all);
          space.unpin(all);
          for (const { pin, first, count } of operations) {
            const last = Math.min(first + count, 16);
            const pages = Array.from({ length: last - first }, (_, i) => first + i);
            if (pin) {
              space.pin(va + frames(first), frames(pages.length), false);
              for (const page of pages) counts[page]++;
            } else {
              const wrong = pages.some((page) => counts[page] === 0);
              refused.push([
                wrong,
                throws(() => space.unpin(pages.map((page) => ({ pa: pas[page], length: frames(1) })))),
              ]);
              if (!wrong) for (const page of pages) counts[page]--;
            }
          }
          const live = pas.map((pa) => space.readFrame(pa, new Uint8Array(PAGE)));
          expect([pinnedBytes(), live, refused.every(([wrong, thrown]) => wrong === thrown)]).toEqual([
            frames(counts.reduce((sum, count) => sum + count, 0)),
            counts.map((count) => count > 0),
            true,
          ]);
        }),
        { numRuns: runs(100) },
      );
    });

    if (make().readOnly === undefined) return;

    it('lets read-only pages be read and pinned for reading only', () => {
      const { space, readOnly, pinnedBytes } = make();
      expect([space.read(readOnly!, new Uint8Array(8)), space.write(readOnly!, new Uint8Array(8))]).toEqual([
        true,
        false,
      ]);
      expect([space.pin(readOnly!, frames(1), true), pinnedBytes()]).toEqual([undefined, 0n]);
      expect([space.pin(readOnly!, frames(1), false)?.length, pinnedBytes()]).toEqual([1, frames(1)]);
    });
  });
}

function throws(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}
