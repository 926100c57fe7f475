import type { AddressSpace } from '../address-space/address-space.ts';
import { readUser, writeUser, type UserPointer } from '../uapi/user-pointer.ts';

/** User memory is reached page by page: what one page refuses, the next may take. */
const PAGE_BYTES = 4096;
/** Pages of bitmap that iommufd has pinned at a time. */
const WINDOW_PAGES = 512;

/** Where a bitmap of the user lies. */
export interface UserBitmapOptions {
  readonly space: AddressSpace;
  readonly data: UserPointer;
  /** Bytes that the query needs. */
  readonly bytes: number;
  /**
   * Lets records run on behind the last byte as iommufd does, up to the end of the last page that it has pinned for the
   * bitmap (drivers/iommu/iommufd/iova_bitmap.c); else they are cut there. With more than 512 pages of bitmap, up to
   * the end of its last page.
   */
  readonly overrun: boolean;
}

/**
 * A dirty bitmap in user memory, at any byte: bits are set, never cleared (struct iova_bitmap,
 * drivers/iommu/iommufd/iova_bitmap.c). They are gathered per page of user memory, and are there after `flush`.
 */
export class UserBitmap {
  /** False once something could not be written. */
  complete = true;
  readonly #options: UserBitmapOptions;
  /** Bytes of the user's page that the bitmap's first byte lies in, before it. */
  readonly #skew: number;
  #limit: number | undefined;
  #page = -1;
  #buffer = new Uint8Array(PAGE_BYTES);
  #from = 0;
  #to = 0;

  constructor(options: UserBitmapOptions) {
    this.#options = options;
    this.#skew = typeof options.data === 'bigint' ? Number(options.data % BigInt(PAGE_BYTES)) : 0;
  }

  /** Whether all bytes of it can be written; nothing is changed. */
  writable(): boolean {
    const { space, data, bytes } = this.#options;
    if (bytes === 0) return true;
    if (typeof data !== 'bigint') return data.length >= bytes;
    const first = data - BigInt(this.#skew);
    const pages = BigInt(Math.ceil((this.#skew + bytes) / PAGE_BYTES) * PAGE_BYTES);
    if (first + pages > 1n << 64n) return false;
    const frames = space.pin(first, pages, true);
    if (frames) space.unpin(frames);
    return frames !== undefined;
  }

  /** Sets bits `first` .. `last`, both included. */
  mark(first: number, last: number): void {
    const end = this.#end(Math.floor(first / 8));
    for (let at = Math.floor(first / 8); at <= Math.floor(last / 8) && at < end;) {
      const stop = Math.min(this.#open(at), end, Math.floor(last / 8) + 1);
      if (stop > at) {
        const bytes = this.#buffer.subarray(this.#skewed(at), this.#skewed(at) + stop - at);
        const head = at * 8 < first ? 0xff << (first % 8) : 0xff;
        const tail = (stop - 1) * 8 + 7 > last ? 0xff >> (7 - (last % 8)) : 0xff;
        if (bytes.length === 1) bytes[0] |= head & tail;
        else {
          bytes[0] |= head;
          bytes.fill(0xff, 1, bytes.length - 1);
          bytes[bytes.length - 1] |= tail;
        }
      }
      at = stop;
    }
  }

  /** Sets the bits that are set in `bytes`, from byte `at` of the bitmap on. */
  or(at: number, bytes: Uint8Array): void {
    let i = 0;
    for (;;) {
      while (i < bytes.length && bytes[i] === 0) i++;
      if (i >= bytes.length || at + i >= this.#end(at + i)) return;
      const stop = Math.min(this.#open(at + i), at + bytes.length, this.#end(at + i)) - at;
      const target = this.#skewed(at + i) - i;
      for (; i < stop; i++) this.#buffer[target + i] |= bytes[i];
    }
  }

  /** Writes what is not written yet. */
  flush(): void {
    const { space, data } = this.#options;
    if (this.#page < 0) return;
    const from = this.#page * PAGE_BYTES - this.#skew + this.#from;
    if (!writeUser(space, data, from, this.#buffer.subarray(this.#from, this.#to))) this.complete = false;
    this.#page = -1;
  }

  /** Byte behind the last one that a record may reach; the first record settles it. */
  #end(first: number): number {
    const { bytes, overrun } = this.#options;
    if (!overrun) return bytes;
    const base = bytes > WINDOW_PAGES * PAGE_BYTES ? bytes : first;
    const pages = Math.ceil((bytes - base) / PAGE_BYTES) + (this.#skewed(base) > 0 ? 1 : 0);
    return (this.#limit ??= base - this.#skewed(base) + Math.min(pages, WINDOW_PAGES) * PAGE_BYTES);
  }

  #skewed(at: number): number {
    return (this.#skew + at) % PAGE_BYTES;
  }

  /** Has the page with byte `at` in the buffer; returns the byte behind its end, or behind what there is of it. */
  #open(at: number): number {
    const page = Math.floor((this.#skew + at) / PAGE_BYTES);
    const next = (page + 1) * PAGE_BYTES - this.#skew;
    const known = this.#page * PAGE_BYTES - this.#skew + this.#to;
    if (page === this.#page && at < known) return known;
    this.flush();
    const { space, data } = this.#options;
    const start = Math.max(0, page * PAGE_BYTES - this.#skew);
    const stop = typeof data === 'bigint' ? next : Math.min(next, data.length);
    this.#from = this.#skewed(start);
    this.#to = this.#from + Math.max(0, stop - start);
    if (stop <= at || !readUser(space, data, start, this.#buffer.subarray(this.#from, this.#to))) {
      this.complete = false;
      this.#buffer.fill(0);
      return next;
    }
    this.#page = page;
    return stop;
  }
}
