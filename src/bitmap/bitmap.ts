import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, checkPowerOfTwo, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** What a bitmap covers. */
export interface BitmapOptions {
  /** Address of the first page, a multiple of `pageSize`. Default 0. */
  readonly start?: Address;
  /** Bytes covered; a last partial page counts as one. At least 1; at most 2^32 - 1 pages. */
  readonly length: Address;
  /** Bytes per page, a power of two from 2048 on. Default 4096. */
  readonly pageSize?: Address;
}

/** A run of marked pages, in bytes. */
export interface Run {
  readonly start: number;
  readonly length: number;
}

/** A run of marked pages, counted from the bitmap's first page. */
export interface PageRun {
  readonly page: number;
  readonly pages: number;
}

/** Which part of a bitmap to read, and whether to clear it. */
export interface DrainOptions {
  /** Takes the report. The range must be whole pages of it and lie inside. */
  readonly into: Bitmap;
  /** Default: the whole of the bitmap that is read. */
  readonly start?: Address;
  readonly length?: Address;
  /** Default true. */
  readonly clear?: boolean;
}

const RUNS_PER_CALL = 4096;
/** What is read while it still is in the first-level cache. */
const PAGES_PER_CALL = 4096;

/**
 * Which pages of [start, start + length) are dirty: one bit per page, little-endian words, bit i for page i, which is the
 * layout of the kernel's dirty bitmaps (include/uapi/linux/iommufd.h, iommu_hwpt_get_dirty_bitmap).
 */
export class Bitmap {
  readonly handle: number;
  readonly start: Address;
  readonly pageSize: Address;
  /** How many pages it covers. */
  readonly pages: number;
  readonly #core: Instance;
  readonly #shift: number;

  /** @internal */
  constructor(core: Instance, options: BitmapOptions) {
    const op = 'bitmap';
    const start = checkAddress(op, 'start', options.start ?? 0);
    const length = checkAddress(op, 'length', options.length);
    const pageSize = options.pageSize ?? 4096;
    this.#shift = checkPowerOfTwo(op, 'pageSize', pageSize, layout.UNIT_SHIFT);
    lastOf(op, start, length);
    const pages = (BigInt(length) + BigInt(pageSize) - 1n) >> BigInt(this.#shift);
    if (BigInt(start) % BigInt(pageSize) !== 0n) {
      throw new IommuError('EINVAL', op, `start is ${hex(start)}; it must be a multiple of the page size ${pageSize}`);
    }
    if (pages >= 2n ** 32n) {
      throw new IommuError('EINVAL', op, `length ${length} is ${pages} pages; a bitmap has at most 2^32 - 1`);
    }
    core.store64(layout.MAIL0, start);
    this.handle = core.check(core.raw.bitmapCreate(core.base, Number(pages), this.#shift), op);
    this.#core = core;
    this.start = start;
    this.pageSize = pageSize;
    this.pages = Number(pages);
  }

  /** Marks every page that holds a byte of [address, address + length). ERANGE: a byte that the bitmap does not cover. */
  mark(address: Address, length: Address): void {
    const op = 'bitmap.mark';
    const last = lastOf(op, checkAddress(op, 'address', address), checkAddress(op, 'length', length));
    const first = this.#pageOf(op, address);
    this.markPages(first, this.#pageOf(op, last) - first + 1);
  }

  /** Marks pages `first` .. `first + count - 1`, counted from the bitmap's start. ERANGE: a page that it does not have. */
  markPages(first: number, count: number): void {
    const whole = Number.isInteger(first) && Number.isInteger(count);
    if (!(whole && first >= 0 && count >= 1 && first + count <= this.pages)) {
      throw new IommuError('ERANGE', 'bitmap.markPages', `pages ${first} + ${count} of a bitmap of ${this.pages}`);
    }
    this.#core.check(this.#core.raw.bitmapMark(this.#core.base, this.handle, first, count), 'bitmap.markPages');
  }

  /**
   * Marks each page that is listed, in any order, repeats allowed. ERANGE: a page that it does not have; then none of its
   * batch of 16,384 is marked.
   */
  markList(pages: Uint32Array): void {
    const most = layout.TRANSFER_BYTES / 4;
    for (let at = 0; at < pages.length; at += most) {
      const part = pages.subarray(at, at + most);
      this.#core.words(this.#core.transfer, part.length).set(part);
      this.#core.check(
        this.#core.raw.bitmapMarkList(this.#core.base, this.handle, part.length),
        'bitmap.markList',
        (errno) => (errno === layout.ERANGE ? `a page of the list is not below ${this.pages}` : undefined),
      );
    }
  }

  /**
   * Marks ranges given as pairs (page, pages), as `pageRunsInto` gives runs, in any order, overlaps allowed. EINVAL: half a
   * pair, or a range without a page; ERANGE: a page that it does not have; then none of its batch of 8192 ranges is marked.
   */
  markRanges(pairs: Uint32Array): void {
    const op = 'bitmap.markRanges';
    if (pairs.length % 2) throw new IommuError('EINVAL', op, `pairs has ${pairs.length} elements; a range takes 2`);
    const most = layout.TRANSFER_BYTES / 4;
    for (let at = 0; at < pairs.length; at += most) {
      const part = pairs.subarray(at, at + most);
      this.#core.words(this.#core.transfer, part.length).set(part);
      const status = this.#core.raw.bitmapMarkRanges(this.#core.base, this.handle, part.length / 2);
      this.#core.check(status, op, (errno) => {
        if (errno === layout.EINVAL) return `a range of the list has no page; leave it out`;
        return errno === layout.ERANGE ? `a range of the list reaches beyond page ${this.pages - 1}` : undefined;
      });
    }
  }

  /** Whether the page that holds `address` is marked. ERANGE. */
  has(address: Address): boolean {
    const page = this.#pageOf('bitmap.has', checkAddress('bitmap.has', 'address', address));
    return this.#core.check(this.#core.raw.bitmapTest(this.#core.base, this.handle, page), 'bitmap.has') === 1;
  }

  /** How many pages are marked. */
  count(): number {
    this.#core.check(this.#core.raw.bitmapCount(this.#core.base, this.handle), 'bitmap.count');
    return this.#core.load64(layout.MAIL0);
  }

  /** Cleans every page. */
  clear(): void {
    this.#core.check(this.#core.raw.bitmapClear(this.#core.base, this.handle), 'bitmap.clear');
  }

  /** Marks every page that is marked in `other`. EINVAL: another start, page size or length. */
  or(other: Bitmap): void {
    this.#core.check(
      this.#core.raw.bitmapOr(this.#core.base, this.handle, other.handleIn(this.#core, 'bitmap.or')),
      'bitmap.or',
      (errno) => (errno === layout.EINVAL ? 'the two bitmaps differ in start, page size or length' : undefined),
    );
  }

  /**
   * Reports what is marked in [start, start + length) to `into`, whose pages may be larger or smaller, and clears it. A page
   * that lies only partly inside is reported clipped and stays marked. Returns how many marked pages of this bitmap it met.
   */
  readAndClear(options: DrainOptions): number {
    const op = 'bitmap.readAndClear';
    if (options.into === this) throw new IommuError('EINVAL', op, 'into is the bitmap itself; it must be another one');
    const start = checkAddress(op, 'start', options.start ?? this.start);
    const length = checkAddress(op, 'length', options.length ?? this.#span());
    const last = lastOf(op, start, length);
    this.#core.store64(layout.MAIL0, start);
    this.#core.store64(layout.MAIL1, last);
    const flags = options.clear === false ? layout.READ_DIRTY_NO_CLEAR : 0;
    const status = this.#core.raw.bitmapDrain(
      this.#core.base,
      this.handle,
      options.into.handleIn(this.#core, op),
      flags,
    );
    this.#core.check(status, op, (errno) => options.into.explainTarget(errno, start, last));
    return this.#core.load64(layout.MAIL2);
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Why a report on [start, last] does not fit this bitmap, for an error's message. @internal */
  explainTarget(errno: number, start: Address, last: Address): string | undefined {
    const range = `${hex(start)} .. ${hex(last)}`;
    if (errno === layout.EINVAL)
      return `${range} is not a whole number of the target bitmap's pages of ${this.pageSize}`;
    if (errno === layout.ERANGE)
      return `${range} reaches beyond the target bitmap, ${this.pages} pages from ${hex(this.start)} on`;
    return undefined;
  }

  /**
   * Marked pages as runs, ascending, without an allocation: writes pairs (page, pages) to `out` from page `from` on, and
   * returns how many runs; `nextPage` is where to go on, or `pages` at the end. ERANGE: `from` is beyond `pages`.
   */
  pageRunsInto(out: Uint32Array, from: number): number {
    const op = 'bitmap.pageRunsInto';
    if (out.length < 2) throw new IommuError('EINVAL', op, `out has ${out.length} elements; a run takes 2`);
    this.#goOnFrom(op, from);
    const most = Math.min(out.length >> 1, RUNS_PER_CALL);
    this.#core.check(this.#core.raw.bitmapRuns(this.#core.base, this.handle, most), op);
    const found = this.#core.load32(layout.MAIL1);
    this.nextPage = this.#core.load64(layout.MAIL0);
    out.set(this.#core.words(this.#core.transfer, found * 2));
    return found;
  }

  /**
   * Marked pages one by one, ascending, without an allocation: writes their numbers to `out` from page `from` on, and returns
   * how many, which can be fewer than fit; `nextPage` is where to go on, or `pages` at the end. ERANGE: `from` is beyond
   * `pages`.
   */
  pagesInto(out: Uint32Array, from: number): number {
    const op = 'bitmap.pagesInto';
    if (out.length < 1) throw new IommuError('EINVAL', op, 'out has no element; a page takes 1');
    this.#goOnFrom(op, from);
    const most = Math.min(out.length, PAGES_PER_CALL);
    this.#core.check(this.#core.raw.bitmapPages(this.#core.base, this.handle, most), op);
    const found = this.#core.load32(layout.MAIL1);
    this.nextPage = this.#core.load64(layout.MAIL0);
    out.set(this.#core.words(this.#core.transfer, found));
    return found;
  }

  /** Where the last `pageRunsInto` or `pagesInto` ended. */
  nextPage = 0;

  /** Marked pages as runs, ascending, counted from the bitmap's first page. */
  *pageRuns(): Generator<PageRun, void, undefined> {
    const out = new Uint32Array(RUNS_PER_CALL * 2);
    for (let page = 0; page < this.pages;) {
      const found = this.pageRunsInto(out, page);
      page = this.nextPage;
      for (let i = 0; i < found; i++) yield { page: out[2 * i], pages: out[2 * i + 1] };
    }
  }

  /** Marked pages as runs of bytes, ascending. EOVERFLOW for a bitmap that ends beyond 2^53: use `pageRuns`. */
  *runs(): Generator<Run, void, undefined> {
    const size = Number(this.pageSize);
    const start = Number(this.start);
    if (!Number.isSafeInteger(start + this.pages * size)) {
      throw new IommuError('EOVERFLOW', 'bitmap.runs', 'the bitmap ends beyond 2^53; use pageRuns()');
    }
    for (const { page, pages } of this.pageRuns()) yield { start: start + page * size, length: pages * size };
  }

  /** The bits as words of 32, bit i of word w for page 32 w + i; a view, valid until a host grows its memory. */
  words(): Uint32Array {
    const data = this.#core.load32(this.#core.slot(this.handle, 'bitmap.words') + layout.BITMAP_DATA);
    return this.#core.words(data, Math.ceil(this.pages / 32));
  }

  /** Gives its memory back. */
  close(): void {
    this.#core.check(this.#core.raw.bitmapDestroy(this.#core.base, this.handle), 'bitmap.close');
  }

  #goOnFrom(op: string, from: number): void {
    if (!(Number.isInteger(from) && from >= 0 && from <= this.pages)) {
      throw new IommuError('ERANGE', op, `from is ${from}; it must be an integer from 0 to ${this.pages}`);
    }
    this.#core.store64(layout.MAIL0, from);
  }

  #span(): Address {
    const bytes = BigInt(this.pages) << BigInt(this.#shift);
    return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : bytes;
  }

  #pageOf(op: string, address: Address): number {
    const page =
      typeof address === 'number' && typeof this.start === 'number' && typeof this.pageSize === 'number'
        ? Math.floor((address - this.start) / this.pageSize)
        : Number((BigInt(address) - BigInt(this.start)) >> BigInt(this.#shift));
    if (page >= 0 && page < this.pages) return page;
    const end = BigInt(this.start) + (BigInt(this.pages) << BigInt(this.#shift));
    throw new IommuError('ERANGE', op, `${hex(address)} is outside the bitmap, ${hex(this.start)} .. ${hex(end - 1n)}`);
  }
}
