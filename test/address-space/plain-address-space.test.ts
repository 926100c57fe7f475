import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { describeAddressSpace } from './conformance.ts';

const PAGE = 4096n;
const TIB = 2n ** 40n;

describeAddressSpace('plain', () => {
  const space = new PlainAddressSpace();
  space.mmap({ va: 0x10000, length: 16n * PAGE });
  space.mmap({ va: 0x40000, length: PAGE, writable: false });
  return {
    space,
    va: 0x10000n,
    pages: 16,
    missing: 0x30000n,
    readOnly: 0x40000n,
    pinnedBytes: () => space.pinnedBytes,
  };
});

describeAddressSpace('plain, frames scattered', () => {
  const space = new PlainAddressSpace();
  const va = 2n ** 63n;
  // Every page apart, from the top down; the last at the very end of physical addresses.
  for (let i = 0n; i < 16n; i++) space.mmap({ va: va + i * PAGE, length: PAGE, pa: 2n ** 64n - (2n * i + 1n) * PAGE });
  return { space, va, pages: 16, missing: 0n, pinnedBytes: () => space.pinnedBytes };
});

function bytesAt(space: PlainAddressSpace, va: bigint, length: number): number[] | undefined {
  const into = new Uint8Array(length).fill(0xee);
  return space.read(va, into) ? [...into] : undefined;
}

describe('plain address space', () => {
  it('has frames at the same addresses by default, in one run however it was mapped', () => {
    const space = new PlainAddressSpace();
    space.mmap({ va: 0x1000, length: PAGE });
    space.mmap({ va: 0x3000, length: PAGE, writable: false });
    space.mmap({ va: 0x2000, length: PAGE });
    expect(space.pin(0x1000n, 3n * PAGE, false)).toEqual([{ pa: 0x1000n, length: 3n * PAGE }]);
    expect(space.pin(0x1000n, 3n * PAGE, true)).toBeUndefined();
  });

  it('pins terabytes as one run, to the top of the address space', () => {
    const space = new PlainAddressSpace();
    const va = 2n ** 64n - TIB;
    space.mmap({ va, length: TIB, pa: 0 });
    const run = space.pin(va, TIB, true)!;
    expect([run, space.pinnedRuns]).toEqual([[{ pa: 0n, length: TIB }], [{ pa: 0n, length: TIB, count: 1 }]]);
    space.pin(va + 8n * PAGE, PAGE, true);
    expect(space.pinnedRuns).toEqual([
      { pa: 0n, length: 8n * PAGE, count: 1 },
      { pa: 8n * PAGE, length: PAGE, count: 2 },
      { pa: 9n * PAGE, length: TIB - 9n * PAGE, count: 1 },
    ]);
    space.unpin(run);
    expect([space.pinnedBytes, space.pinnedRuns]).toEqual([PAGE, [{ pa: 8n * PAGE, length: PAGE, count: 1 }]]);
  });

  it('keeps what is unmapped while pinned until it is unpinned', () => {
    const space = new PlainAddressSpace();
    space.mmap({ va: 0x1000, length: PAGE, pa: 0x9000 });
    space.write(0x1000n, Uint8Array.of(1, 2, 3));
    const run = space.pin(0x1000n, PAGE, true)!;
    space.munmap({ va: 0x1000, length: PAGE });
    const into = new Uint8Array(3);
    expect([bytesAt(space, 0x1000n, 3), space.readFrame(0x9000n, into), [...into]]).toEqual([
      undefined,
      true,
      [1, 2, 3],
    ]);
    space.mmap({ va: 0x5000, length: PAGE, pa: 0x9000 });
    expect(bytesAt(space, 0x5000n, 3)).toEqual([1, 2, 3]);
    space.munmap({ va: 0x5000, length: PAGE });
    space.unpin(run);
    space.mmap({ va: 0x5000, length: PAGE, pa: 0x9000 });
    expect(bytesAt(space, 0x5000n, 3)).toEqual([0, 0, 0]);
  });

  it('shares frames that are mapped twice, and forgets them with the last mapping', () => {
    const space = new PlainAddressSpace();
    space.mmap({ va: 0x1000, length: PAGE, pa: 0x9000 });
    space.mmap({ va: 0x5000, length: PAGE, pa: 0x9000, writable: false });
    space.write(0x1fffn, Uint8Array.of(4));
    space.munmap({ va: 0x1000, length: PAGE });
    expect(bytesAt(space, 0x5fffn, 1)).toEqual([4]);
    space.munmap({ va: 0, length: TIB });
    space.mmap({ va: 0x9000, length: PAGE });
    expect(bytesAt(space, 0x9fffn, 1)).toEqual([0]);
  });

  it('protects and unmaps parts, and passes over holes when unmapping', () => {
    const space = new PlainAddressSpace();
    space.mmap({ va: 0x1000, length: 4n * PAGE });
    space.mprotect({ va: 0x2000, length: PAGE, writable: false });
    const writes = [0x1000n, 0x2000n, 0x3000n, 0x4000n].map((va) => space.write(va, Uint8Array.of(1)));
    expect(writes).toEqual([true, false, true, true]);
    space.mprotect({ va: 0x1000, length: 4n * PAGE, writable: true });
    expect(space.pin(0x1000n, 4n * PAGE, true)?.length).toBe(1);
    space.munmap({ va: 0x3000, length: PAGE });
    space.munmap({ va: 0, length: 4n * PAGE });
    expect([0n, 0x1000n, 0x2000n, 0x3000n, 0x4000n].map((va) => bytesAt(space, va, 1))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      [1],
    ]);
  });

  it.each<[string, (space: PlainAddressSpace) => unknown, string]>([
    ['something is mapped there', (space) => space.mmap({ va: 0x1000, length: 4n * PAGE, pa: 0 }), 'EEXIST'],
    ['va within a page', (space) => space.mmap({ va: 0x8001, length: PAGE }), 'EINVAL'],
    ['pa within a page', (space) => space.mmap({ va: 0x8000, pa: 1, length: PAGE }), 'EINVAL'],
    ['length no whole page', (space) => space.mmap({ va: 0x8000, length: 100 }), 'EINVAL'],
    ['length 0', (space) => space.mmap({ va: 0x8000, length: 0 }), 'EINVAL'],
    ['beyond 2^64', (space) => space.mmap({ va: 2n ** 64n - PAGE, length: 2n * PAGE }), 'EOVERFLOW'],
    ['frames beyond 2^64', (space) => space.mmap({ va: 0x8000, pa: 2n ** 64n - PAGE, length: 2n * PAGE }), 'EOVERFLOW'],
    ['munmap within a page', (space) => space.munmap({ va: 0x1001, length: PAGE }), 'EINVAL'],
    ['mprotect of a hole', (space) => space.mprotect({ va: 0x2000, length: 2n * PAGE, writable: true }), 'ENOMEM'],
  ])('refuses: %s', (_, call, code) => {
    const space = new PlainAddressSpace();
    space.mmap({ va: 0x2000, length: PAGE, writable: false });
    expect(codeOf(() => call(space))).toBe(code);
    expect(space.write(0x2000n, Uint8Array.of(1))).toBe(false);
    expect([0x1000n, 0x3000n, 0x8000n].map((va) => bytesAt(space, va, 1))).toEqual([undefined, undefined, undefined]);
  });

  it('does with pages what a list of pages does', () => {
    const op = fc.record({
      op: fc.constantFrom('mmap', 'mmap', 'munmap', 'mprotect', 'write', 'write', 'pin', 'pin', 'unpin', 'dma'),
      first: fc.nat(11),
      count: fc.integer({ min: 1, max: 6 }),
      frame: fc.nat(11),
      flag: fc.boolean(),
      value: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 50 }), (operations) => {
        const space = new PlainAddressSpace();
        const model = new PageModel();
        const done = operations.map(({ op, first, count, frame, flag, value }) => {
          const range = { va: BigInt(first) * PAGE, length: BigInt(count) * PAGE };
          const pages = Array.from({ length: count }, (_, i) => first + i);
          const pa = BigInt(frame) * PAGE;
          switch (op) {
            case 'mmap':
              return [did(() => space.mmap({ ...range, pa, writable: flag })), model.map(pages, frame, flag)];
            case 'munmap':
              return [did(() => space.munmap(range)), model.unmap(pages)];
            case 'mprotect':
              return [did(() => space.mprotect({ ...range, writable: flag })), model.protect(pages, flag)];
            case 'write':
              return [space.write(range.va + 5n, Uint8Array.of(value)), model.write(first, value)];
            case 'pin':
              return [space.pin(range.va, range.length, flag) !== undefined, model.pin(pages, flag)];
            case 'unpin':
              return [did(() => space.unpin([{ pa, length: range.length }])), model.unpin(frame, count)];
            default:
              return [space.writeFrame(pa + 5n, Uint8Array.of(value)), model.dma(frame, value)];
          }
        });
        const seen = Array.from({ length: 18 }, (_, page) => bytesAt(space, BigInt(page) * PAGE + 5n, 1)?.[0]);
        const wanted = Array.from({ length: 18 }, (_, page) => model.read(page));
        expect([seen, countsOf(space), done.map(([ours]) => ours)]).toEqual([
          wanted,
          model.pinned,
          done.map(([, theirs]) => theirs),
        ]);
      }),
      { numRuns: runs(300) },
    );
  });
});

/** Pages and frames one by one; each operation says whether it is done. */
class PageModel {
  readonly #pages = new Map<number, { frame: number; writable: boolean }>();
  readonly #bytes = new Map<number, number>();
  readonly #pins = new Map<number, number>();

  map(pages: number[], frame: number, writable: boolean): boolean {
    if (pages.some((page) => this.#pages.has(page))) return false;
    pages.forEach((page, i) => this.#pages.set(page, { frame: frame + i, writable }));
    return true;
  }

  unmap(pages: number[]): boolean {
    for (const page of pages) this.#pages.delete(page);
    return this.#forget();
  }

  protect(pages: number[], writable: boolean): boolean {
    if (!this.#has(pages, false)) return false;
    for (const page of pages) this.#pages.get(page)!.writable = writable;
    return true;
  }

  write(page: number, value: number): boolean {
    if (!this.#has([page], true)) return false;
    this.#bytes.set(this.#pages.get(page)!.frame, value);
    return true;
  }

  read(page: number): number | undefined {
    const mapping = this.#pages.get(page);
    return mapping && (this.#bytes.get(mapping.frame) ?? 0);
  }

  pin(pages: number[], write: boolean): boolean {
    if (!this.#has(pages, write)) return false;
    for (const page of pages) this.#count(this.#pages.get(page)!.frame, 1);
    return true;
  }

  unpin(frame: number, count: number): boolean {
    const frames = Array.from({ length: count }, (_, i) => frame + i);
    if (frames.some((each) => !this.#pins.get(each))) return false;
    for (const each of frames) this.#count(each, -1);
    return this.#forget();
  }

  dma(frame: number, value: number): boolean {
    if (!this.#pins.get(frame)) return false;
    this.#bytes.set(frame, value);
    return true;
  }

  get pinned(): [number, number][] {
    return [...this.#pins].filter(([, count]) => count !== 0).sort(([a], [b]) => a - b);
  }

  #has(pages: number[], write: boolean): boolean {
    return pages.every((page) => this.#pages.has(page) && (!write || this.#pages.get(page)!.writable));
  }

  #count(frame: number, by: number): void {
    this.#pins.set(frame, (this.#pins.get(frame) ?? 0) + by);
  }

  /** Frames that nobody holds lose their bytes. */
  #forget(): boolean {
    const mapped = new Set([...this.#pages.values()].map(({ frame }) => frame));
    for (const frame of [...this.#bytes.keys()]) {
      if (!mapped.has(frame) && !this.#pins.get(frame)) this.#bytes.delete(frame);
    }
    return true;
  }
}

/** Pins by frame number. */
function countsOf(space: PlainAddressSpace): [number, number][] {
  return space.pinnedRuns.flatMap(({ pa, length, count }) =>
    Array.from({ length: Number(length / PAGE) }, (_, i): [number, number] => [Number(pa / PAGE) + i, count]),
  );
}

function did(call: () => unknown): boolean {
  return codeOf(call) === 'none';
}
