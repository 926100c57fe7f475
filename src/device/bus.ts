import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';

/** Guest RAM by physical address. */
export type FrameMemory = Pick<AddressSpace, 'readFrame' | 'writeFrame'>;

/** What answers in a BAR window. */
export interface BarTarget {
  /** Reads bytes from `offset` on. False, with `into` in any state: it does not answer. */
  barRead(offset: number, into: Uint8Array): boolean;
  /** Writes bytes at `offset`. False: it does not take them. */
  barWrite(offset: number, from: Uint8Array): boolean;
}

interface Window {
  readonly first: bigint;
  readonly last: bigint;
  readonly target: BarTarget;
}

/**
 * Where DMA ends up once it is translated: in the BAR of a peer where one has a window at that physical address (peer-
 * to-peer), else in guest RAM.
 */
export class Bus {
  readonly #frames: FrameMemory;
  readonly #windows: Window[] = [];

  constructor(frames: FrameMemory) {
    this.#frames = frames;
  }

  /** Gives `target` the window of `length` bytes at `pa`. EINVAL, EOVERFLOW; EEXIST: it overlaps another one. */
  place(pa: Address, length: Address, target: BarTarget): void {
    const op = 'bus.place';
    const first = BigInt(checkAddress(op, 'pa', pa));
    const last = BigInt(lastOf(op, pa, checkAddress(op, 'length', length)));
    const other = this.#windows.find((window) => window.first <= last && first <= window.last);
    if (other) {
      const where = `${hex(other.first)} .. ${hex(other.last)}`;
      throw new IommuError('EEXIST', op, `[${hex(pa)}, + ${hex(length)}) overlaps the window ${where}`);
    }
    this.#windows.push({ first, last, target });
  }

  /** Takes the windows of `target` away. */
  remove(target: BarTarget): void {
    for (let i = this.#windows.length - 1; i >= 0; i--) {
      if (this.#windows[i].target === target) this.#windows.splice(i, 1);
    }
  }

  /** Reads bytes from `pa` on. False: some of them nobody has; those read as 0xff. */
  read(pa: Address, into: Uint8Array): boolean {
    return this.#each(pa, into, (part, at, window) => {
      const answered = window
        ? window.target.barRead(Number(at - window.first), part)
        : this.#frames.readFrame(at, part);
      if (!answered) part.fill(0xff);
      return answered;
    });
  }

  /** Writes bytes to `pa`. False: some of them nobody took; the others are written. */
  write(pa: Address, from: Uint8Array): boolean {
    return this.#each(pa, from, (part, at, window) =>
      window ? window.target.barWrite(Number(at - window.first), part) : this.#frames.writeFrame(at, part),
    );
  }

  /** Calls `move` for each stretch of `bytes` that lies in one window, or in none. Whether all calls said true. */
  #each(pa: Address, bytes: Uint8Array, move: (part: Uint8Array, at: bigint, window?: Window) => boolean): boolean {
    let all = true;
    for (let done = 0; done < bytes.length;) {
      const at = BigInt(pa) + BigInt(done);
      const window = this.#windows.find(({ first, last }) => first <= at && at <= last);
      const length = Math.min(bytes.length - done, Number((window ? window.last + 1n : this.#nextWindow(at)) - at));
      if (!move(bytes.subarray(done, done + length), at, window)) all = false;
      done += length;
    }
    return all;
  }

  /** Where the first window behind `at` starts, or 2^64. */
  #nextWindow(at: bigint): bigint {
    return this.#windows.reduce((next, { first }) => (first > at && first < next ? first : next), 1n << 64n);
  }
}
