import { IommuError } from '../errno/error.ts';
import type { Steps } from '../schedule/step.ts';
import { hex } from '../wasm/address.ts';
import type { PagingHwpt } from './hwpt.ts';
import { intersection, type Interval } from './interval.ts';
import type { UserPointer } from '../uapi/user-pointer.ts';
import { UserBitmap } from './user-bitmap.ts';

/** A read of an HWPT's dirty state whose arguments are checked. */
export interface DirtyQuery extends Interval {
  /** log2 of the bytes per bit. Both ends are multiples. */
  readonly shift: bigint;
  readonly data: UserPointer;
  readonly clear: boolean;
}

/** Pages of a core bitmap that a read goes through, at most and at least: less where the core has less room. */
const WINDOW = { most: 2n ** 26n, least: 2n ** 12n };

/** log2 of the least page of a core bitmap. */
const LEAST_SHIFT = 11n;

/** No process has more memory than x86-64 user space. */
const MOST_BYTES = 2n ** 47n;

/** One read under way. */
class DirtyRead {
  readonly op: string;
  readonly hwpt: PagingHwpt;
  readonly query: DirtyQuery;
  readonly bitmap: UserBitmap;
  #window = WINDOW.most;

  constructor(op: string, hwpt: PagingHwpt, query: DirtyQuery) {
    const { strict, space } = hwpt.context;
    const bits = (query.last - query.first + 1n) >> query.shift;
    const bytes = Number((bits + 7n) / 8n);
    this.op = op;
    this.hwpt = hwpt;
    this.query = query;
    this.bitmap = new UserBitmap({ space, data: query.data, bytes, overrun: !strict });
  }

  get fits(): boolean {
    const { first, last, shift } = this.query;
    return (last - first + 1n) >> shift <= MOST_BYTES * 8n && this.bitmap.writable();
  }

  /** Marks `first` .. `last` in the user's bitmap. */
  mark(first: bigint, last: bigint): void {
    const { first: base, shift } = this.query;
    this.bitmap.mark(Number((first - base) >> shift), Number((last - base) >> shift));
  }

  /** Reads whole ranges through core bitmaps as large as there is room for, cut between leaves. */
  *range(first: bigint, last: bigint): Steps<void> {
    const wanted = 1n << (this.query.shift > LEAST_SHIFT ? this.query.shift : LEAST_SHIFT);
    const aligned = (first | (last + 1n)) & -(first | (last + 1n));
    const page = aligned < wanted ? aligned : wanted;
    for (let at = first; at <= last;) {
      const whole = at + this.#window * page - 1n;
      const end = whole < last ? this.#betweenLeaves(at, whole, last) : last;
      const leaf = this.#leafAt(at);
      if (whole < last && leaf && leaf.last >= end && (leaf.first < at || leaf.last > end)) this.#peek(at, end);
      else if (!(yield* this.#segment(at, end, page))) continue;
      at = end + 1n;
    }
  }

  /** Where a range from `at` on may end, at `end` or thereabouts, so that no leaf is cut that lies within the query. */
  #betweenLeaves(at: bigint, end: bigint, last: bigint): bigint {
    const leaf = this.#leafAt(end + 1n);
    if (!leaf || leaf.first > end) return end;
    if (leaf.first > at) return leaf.first - 1n;
    return leaf.last < last ? leaf.last : last;
  }

  #leafAt(iova: bigint): (Interval & { readonly dirty: boolean }) | undefined {
    const found = this.hwpt.domain.domain.translate(iova);
    if (!found) return undefined;
    const first = iova - (iova % BigInt(found.leafSize));
    return { first, last: first + BigInt(found.leafSize) - 1n, dirty: found.dirty };
  }

  /** A leaf that reaches beyond the query, and is too large for a bitmap: reported clipped, and left as it is. */
  #peek(first: bigint, last: bigint): void {
    if (this.#leafAt(first)?.dirty) this.mark(first, last);
  }

  /** One core bitmap full. False: there was no room for it, and the next try is half as large. */
  *#segment(first: bigint, last: bigint, page: bigint): Steps<boolean> {
    const { shift, clear, first: base } = this.query;
    const length = last - first + 1n;
    const leaf = this.#leafAt(first);
    const pageSize = leaf && leaf.first === first && leaf.last === last ? length : page;
    let into;
    try {
      into = this.hwpt.context.core.bitmap({ start: first, length, pageSize });
    } catch (error) {
      if (!(error instanceof IommuError) || error.code !== 'ENOMEM' || this.#window <= WINDOW.least) throw error;
      this.#window /= 2n;
      return false;
    }
    try {
      const { order, splitTo } = this.hwpt.readPolicy;
      const splitting = clear && splitTo !== undefined ? { splitTo } : {};
      yield* this.hwpt.domain.domain.readAndClearDirtySteps({ iova: first, length, into, clear, order, ...splitting });
      const bit = (first - base) >> shift;
      if (pageSize === 1n << shift && bit % 8n === 0n) {
        const words = into.words();
        this.bitmap.or(Number(bit / 8n), new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
      } else {
        for (const run of into.pageRuns()) {
          const from = first + BigInt(run.page) * pageSize;
          this.mark(from, from + BigInt(run.pages) * pageSize - 1n);
        }
      }
    } finally {
      into.close();
    }
    return true;
  }

  /**
   * What Linux drivers do with [first, last] of one area: the cursor starts where the query does, also inside a leaf,
   * and goes on by whole leaves; a leaf of which any part is met is recorded from the cursor on in its full size, and
   * cleared whole.
   */
  *linuxRange(first: bigint, last: bigint): Steps<void> {
    const head = this.#leafAt(first);
    const tail = this.#leafAt(last);
    const fromHead = !head || head.first === first;
    // With the first leaf met at its head, only the last one can be met in part.
    const cut = fromHead && tail && tail.last > last ? tail.first : last + 1n;
    const read = fromHead ? cut - 1n : first - 1n;
    if (read >= first) yield* this.range(first, read);
    for (let cursor = read + 1n; cursor <= last;) {
      const leaf = this.#leafAt(cursor);
      if (!leaf) {
        cursor += this.hwpt.domain.smallestLeaf;
        continue;
      }
      const size = leaf.last - leaf.first + 1n;
      if (leaf.dirty) {
        this.mark(cursor, cursor + size - 1n);
        if (this.query.clear) yield* this.#clear(leaf.first, size);
      }
      cursor += size;
    }
  }

  *#clear(first: bigint, size: bigint): Steps<void> {
    const into = this.hwpt.context.core.bitmap({ start: first, length: size, pageSize: size });
    try {
      const policy = this.hwpt.readPolicy;
      yield* this.hwpt.domain.domain.readAndClearDirtySteps({ iova: first, length: size, into, ...policy });
    } finally {
      into.close();
    }
  }
}

/** Where the areas from `first` on end, at `last` at most: the byte before the first hole. */
function endOfAreas({ ioas }: PagingHwpt, first: bigint, last: bigint): bigint {
  const end = ioas.areas.contiguousIn(first, last).at(-1)?.last ?? first - 1n;
  return end < last ? end : last;
}

/** Finds every error before anything is cleared. */
function* strictRead(read: DirtyRead): Steps<void> {
  const { op, hwpt, query } = read;
  const { first, last } = query;
  if (!hwpt.tracking) {
    throw new IommuError('EINVAL', op, `HWPT ${hwpt.id} does not track; call hwptSetDirtyTracking first`);
  }
  const end = endOfAreas(hwpt, first, last);
  if (end < last) throw new IommuError('EINVAL', op, `nothing is mapped at ${hex(end + 1n)}, which lies in the range`);
  if (!read.fits) throw new IommuError('EFAULT', op, 'the bitmap at data cannot be written throughout');
  hwpt.ioas.areas.allIn(first, last).forEach(() => hwpt.context.mayFail(op, 'driver', 'reading the dirty state'));
  yield* read.range(first, last);
}

/**
 * Whatever goes wrong, the answer is success (iopt_read_and_clear_dirty_data, drivers/iommu/iommufd/io_pagetable.c).
 */
function* linuxRead(read: DirtyRead): Steps<void> {
  const { op, hwpt, query } = read;
  if (!hwpt.logs) return;
  for (const area of hwpt.ioas.areas.contiguousIn(query.first, query.last)) {
    const part = intersection(area, query)!;
    try {
      hwpt.context.mayFail(op, 'driver', 'reading the dirty state');
    } catch {
      return;
    }
    if (area.access !== 0) yield* read.linuxRange(part.first, part.last);
  }
}

/**
 * Sets in the bitmap at `data` a bit for each piece of 2^shift bytes of the query with a dirty page in it, and clears
 * what it reports. Bit k is for the piece at `first + k * 2^shift`. Strict: EINVAL (tracking is off, a hole), EFAULT;
 * ENOMEM: no room for the least bitmap.
 */
export function* readDirty(op: string, hwpt: PagingHwpt, query: DirtyQuery): Steps<void> {
  hwpt.context.mayFail(op, 'allocate', 'allocating the bitmap object');
  const read = new DirtyRead(op, hwpt, query);
  yield* hwpt.context.strict ? strictRead(read) : linuxRead(read);
  read.bitmap.flush();
  if (hwpt.context.strict && !read.bitmap.complete) {
    throw new IommuError('EFAULT', op, 'the bitmap at data could be pinned, but not written');
  }
}
