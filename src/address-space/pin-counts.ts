import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import type { FrameRun } from './address-space.ts';
import { IntervalMap } from './interval-map.ts';

/** Frames with as many pins. */
export interface PinnedRun extends FrameRun {
  /** At least 1. */
  readonly count: number;
}

/** How often each frame is pinned. Its size follows the number of runs, not that of pages. */
export class PinCounts {
  readonly #counts = new IntervalMap<number>((a, b) => a === b);
  #bytes = 0n;

  /** Bytes pinned; what is pinned twice counts twice. */
  get bytes(): bigint {
    return this.#bytes;
  }

  /** What is pinned, ascending; neighbours differ in their counts. */
  get runs(): PinnedRun[] {
    return this.#counts.intervals.map(({ first, last, value }) => ({
      pa: first,
      length: last - first + 1n,
      count: value,
    }));
  }

  /** Whether all of [pa, pa + length) is pinned. */
  has(pa: bigint, length: bigint): boolean {
    return length <= 0n || this.#counts.pieces(pa, pa + length - 1n).every(({ value }) => value !== undefined);
  }

  /** Whether any of [pa, pa + length) is pinned. */
  hasSome(pa: bigint, length: bigint): boolean {
    return length > 0n && this.#counts.pieces(pa, pa + length - 1n).some(({ value }) => value !== undefined);
  }

  /** One pin more. */
  add({ pa, length }: FrameRun): void {
    if (length <= 0n) return;
    this.#counts.update(pa, pa + length - 1n, (count) => (count ?? 0) + 1);
    this.#bytes += length;
  }

  /** One pin less. EINVAL, with nothing changed: something there is not pinned. */
  remove({ pa, length }: FrameRun): void {
    if (!this.has(pa, length)) {
      throw new IommuError('EINVAL', 'unpin', `frames ${hex(pa)}, + ${hex(length)}: not all of them are pinned`);
    }
    if (length <= 0n) return;
    this.#counts.update(pa, pa + length - 1n, (count) => (count === 1 ? undefined : count! - 1));
    this.#bytes -= length;
  }

  /**
   * One pin less for each of the runs. EINVAL, with nothing changed: something there is not pinned, or not that often.
   */
  removeAll(runs: readonly FrameRun[]): void {
    let done = 0;
    try {
      for (; done < runs.length; done++) this.remove(runs[done]);
    } catch (error) {
      for (const run of runs.slice(0, done)) this.add(run);
      throw error;
    }
  }
}
