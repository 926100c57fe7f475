import type { AddressSpace } from '../address-space/address-space.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import type { DeviceLog } from '../device/device-log.ts';
import { UserBitmap } from '../iommufd/user-bitmap.ts';
import type { Steps } from '../schedule/step.ts';
import type { UserPointer } from '../uapi/user-pointer.ts';
import type { IovaRange } from './combine-ranges.ts';

/** Where a REPORT goes to. */
export interface ReportTarget {
  /** Reads and clears what `log` has in [first, last]; it logs `ranges` only. */
  read(log: DeviceLog, ranges: readonly IovaRange<bigint>[], first: bigint, last: bigint): Steps<void>;
  /** Marks [first, last], which lies in the query. */
  mark(first: bigint, last: bigint): void;
  /** Completes what was written. */
  flush(): void;
}

/** A REPORT into a bitmap of the core, by the addresses that it covers. */
export class BitmapTarget implements ReportTarget {
  readonly #into: Bitmap;

  constructor(into: Bitmap) {
    this.#into = into;
  }

  *read(log: DeviceLog, _ranges: readonly IovaRange<bigint>[], first: bigint, last: bigint): Steps<void> {
    yield* log.reportSteps({ iova: first, length: last - first + 1n, into: this.#into });
  }

  mark(first: bigint, last: bigint): void {
    this.#into.mark(first, last - first + 1n);
  }

  flush(): void {}
}

/** Pages of the core's bitmap through which a REPORT goes. */
const WINDOW_PAGES = 1n << 18n;

/** [first, last] in windows that a bitmap of the core takes with pages of `unit` bytes; `first` is whole pages. */
export function* windowsOf(first: bigint, last: bigint, unit: bigint): Generator<{ iova: bigint; length: bigint }> {
  for (let iova = first; iova <= last; iova += WINDOW_PAGES * unit) {
    const end = iova + WINDOW_PAGES * unit - 1n;
    yield { iova, length: (end < last ? end : last) - iova + 1n };
  }
}

/**
 * A REPORT into user memory: bit k stands for bytes [iova + k * pageSize, + pageSize), wherever the query begins.
 * Smaller and larger log pages set every bit that they touch.
 */
export class UserTarget implements ReportTarget {
  readonly bitmap: UserBitmap;
  /** How many bits the bitmap has. */
  readonly bits: number;
  readonly #core: Core;
  readonly #iova: bigint;
  readonly #last: bigint;
  readonly #pageSize: bigint;
  /** Bytes in which the log is read: those of a bit, or what the query's ends are multiples of, from 4096 on. */
  readonly #unit: bigint;

  constructor(
    core: Core,
    space: AddressSpace,
    query: { readonly iova: bigint; readonly length: bigint; readonly pageSize: bigint },
    data: UserPointer,
  ) {
    const { iova, length, pageSize } = query;
    this.#core = core;
    this.#iova = iova;
    this.#last = iova + length - 1n;
    this.#pageSize = pageSize;
    const all = iova | length | pageSize;
    const lowest = all & -all;
    this.#unit = lowest < 4096n ? 4096n : lowest;
    this.bits = Number((length + pageSize - 1n) / pageSize);
    this.bitmap = new UserBitmap({ space, data, bytes: Math.ceil(this.bits / 8), overrun: false });
  }

  *read(log: DeviceLog, ranges: readonly IovaRange<bigint>[], first: bigint, last: bigint): Steps<void> {
    const unit = this.#unit;
    const inner = { first: (first + unit - 1n) & -unit, last: ((last + 1n) & -unit) - 1n };
    for (const range of ranges) {
      const from = max(inner.first, range.iova & -unit);
      const to = min(inner.last, range.last | (unit - 1n));
      for (const { iova, length } of windowsOf(from, to, unit)) yield* this.#readWindow(log, iova, length, true);
    }
    // Units that stick out of the query are reported, and not cleared.
    for (const edge of new Set([first & -unit, last & -unit])) {
      if (edge < first || edge + unit - 1n > last) yield* this.#readWindow(log, edge, unit, false);
    }
  }

  mark(first: bigint, last: bigint): void {
    const at = (address: bigint) => Number((address - this.#iova) / this.#pageSize);
    this.bitmap.mark(at(max(first, this.#iova)), at(min(last, this.#last)));
  }

  flush(): void {
    this.bitmap.flush();
  }

  *#readWindow(log: DeviceLog, iova: bigint, length: bigint, clear: boolean): Steps<void> {
    const unit = this.#unit;
    const into = this.#core.bitmap({ start: iova, length, pageSize: unit });
    try {
      yield* log.reportSteps({ iova, length, into, clear });
      const aligned = unit === this.#pageSize && (iova - this.#iova) % unit === 0n;
      const direct = aligned ? Number((iova - this.#iova) / unit) : undefined;
      for (const { page, pages } of into.pageRuns()) {
        if (direct !== undefined) this.bitmap.mark(direct + page, direct + page + pages - 1);
        else this.mark(iova + BigInt(page) * unit, iova + BigInt(page + pages) * unit - 1n);
      }
    } finally {
      into.close();
    }
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
