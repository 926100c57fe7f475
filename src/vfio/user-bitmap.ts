import { PAGE_SIZE, type AddressSpace, type FrameRun } from '../address-space/address-space.ts';
import { readUser, writeUser, type UserPointer } from '../uapi/user-pointer.ts';

const PAGE = Number(PAGE_SIZE);

/** Sets bits `first` .. `last` of `bytes`, bit k in byte k / 8. */
function setBits(bytes: Uint8Array, first: number, last: number): void {
  const [from, to] = [first >> 3, last >> 3];
  const head = (0xff << (first & 7)) & 0xff;
  const tail = 0xff >> (7 - (last & 7));
  if (from === to) {
    bytes[from] |= head & tail;
    return;
  }
  bytes[from] |= head;
  bytes.fill(0xff, from + 1, to);
  bytes[to] |= tail;
}

/**
 * A dirty bitmap in user memory: bit k, which is bit k % 8 of byte k / 8, stands for page k of the query. Bits are only
 * ever set (struct iova_bitmap, drivers/iommu/iommufd/iova_bitmap.c). They are gathered per page of user memory, and
 * are there after `flush`.
 */
export class UserBitmap {
  readonly #space: AddressSpace;
  readonly #pointer: UserPointer;
  readonly #bytes: number;
  /** Bytes from the start of a page of user memory to the bitmap. */
  readonly #skew: number;
  #pinned: readonly FrameRun[] | undefined;
  readonly #gathered = new Uint8Array(PAGE);
  #page = 0;
  /** Bytes of the gathered page that have bits, the last one inclusive. */
  #from = PAGE;
  #to = -1;

  /** `bits`: how many it has, at most 2^52. */
  constructor(space: AddressSpace, pointer: UserPointer, bits: number) {
    this.#space = space;
    this.#pointer = pointer;
    this.#bytes = Math.ceil(bits / 8);
    this.#skew = typeof pointer === 'bigint' ? Number(pointer & (PAGE_SIZE - 1n)) : 0;
  }

  /** Pins it for writing, until `unpin`; false where a byte of it cannot be written. */
  pin(): boolean {
    const pointer = this.#pointer;
    if (typeof pointer !== 'bigint') return this.#bytes <= pointer.length;
    if (this.#bytes === 0) return true;
    const start = pointer & -PAGE_SIZE;
    const end = (pointer + BigInt(this.#bytes) + PAGE_SIZE - 1n) & -PAGE_SIZE;
    if (end > 1n << 64n) return false;
    this.#pinned = this.#space.pin(start, end - start, true);
    return this.#pinned !== undefined;
  }

  unpin(): void {
    if (this.#pinned) this.#space.unpin(this.#pinned);
    this.#pinned = undefined;
  }

  /** Sets bits `first` .. `last`. */
  set(first: number, last: number): void {
    // Bits are counted from the start of the first page of user memory.
    const skew = this.#skew * 8;
    const end = last + skew;
    for (let bit = first + skew; bit <= end;) {
      const page = Math.floor(bit / (8 * PAGE));
      if (page !== this.#page) this.flush();
      this.#page = page;
      const start = page * 8 * PAGE;
      const to = Math.min(end - start, 8 * PAGE - 1);
      setBits(this.#gathered, bit - start, to);
      this.#from = Math.min(this.#from, (bit - start) >> 3);
      this.#to = Math.max(this.#to, to >> 3);
      bit = start + to + 1;
    }
  }

  /** Writes what was gathered. Where a page of the bitmap cannot be written, its bits are left out. */
  flush(): void {
    if (this.#to < this.#from) return;
    const bits = this.#gathered.subarray(this.#from, this.#to + 1);
    const offset = this.#page * PAGE + this.#from - this.#skew;
    const bytes = new Uint8Array(bits.length);
    if (readUser(this.#space, this.#pointer, offset, bytes)) {
      bits.forEach((each, i) => (bytes[i] |= each));
      writeUser(this.#space, this.#pointer, offset, bytes);
    }
    bits.fill(0);
    [this.#from, this.#to] = [PAGE, -1];
  }
}
