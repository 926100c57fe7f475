import * as layout from '../../assembly/layout.ts';
import { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';
import { StateBuffer } from './state-buffer.ts';

/**
 * The memory of a device (a GPU's frame buffer, a NIC's rings), and which of its pages have changed while someone
 * tracks that.
 */
export class LocalMemory {
  readonly bytes: number;
  readonly #core: Instance;
  #pages: StateBuffer;
  #dirty: Bitmap | null = null;

  /** `bytes`: a multiple of 4096, below 4 GiB, all 0. EINVAL, ENOMEM. @internal */
  constructor(core: Instance, bytes: number) {
    const pages = bytes / layout.STATE_PAGE_BYTES;
    if (!Number.isInteger(pages) || pages < 1 || pages > layout.STATE_MAX_PAGES) {
      const right = `it must be a multiple of ${layout.STATE_PAGE_BYTES}, at least one, below 2^32`;
      throw new IommuError('EINVAL', 'device', `memory is ${bytes} bytes; ${right}`);
    }
    this.bytes = bytes;
    this.#core = core;
    this.#pages = new StateBuffer(core, pages);
  }

  /** The pages themselves. What changes them beside `write` and `fill` is not tracked. @internal */
  get pages(): StateBuffer {
    return this.#pages;
  }

  /** Whether [offset, offset + length) lies inside. */
  has(offset: number, length: number): boolean {
    return offset >= 0 && length >= 0 && offset + length <= this.bytes;
  }

  /** A view of bytes for reading, valid until a host grows its memory. ERANGE. */
  view(offset: number, length: number): Uint8Array {
    return this.#pages.view(offset, length);
  }

  /** Writes `from` at `offset`. ERANGE. */
  write(offset: number, from: Uint8Array): void {
    this.fill(offset, from.length, (bytes) => bytes.set(from));
  }

  /** Has `change` change the bytes of [offset, offset + length), and gives what it returns. ERANGE. */
  fill<T>(offset: number, length: number, change: (bytes: Uint8Array) => T): T {
    const bytes = this.#pages.view(offset, length);
    if (this.#dirty && length > 0) {
      const first = Math.floor(offset / layout.STATE_PAGE_BYTES);
      const last = Math.floor((offset + length - 1) / layout.STATE_PAGE_BYTES);
      this.#dirty.markPages(first, last - first + 1);
    }
    return change(bytes);
  }

  /** Starts to track which pages change; all of them count as changed. EBUSY: it is tracked. ENOMEM. */
  track(): Bitmap {
    if (this.#dirty) throw new IommuError('EBUSY', 'device.track', 'the local memory is tracked already');
    this.#dirty = new Bitmap(this.#core, { length: this.bytes });
    this.#dirty.markPages(0, this.#pages.pages);
    return this.#dirty;
  }

  /** Ends the tracking. */
  untrack(): void {
    this.#dirty?.close();
    this.#dirty = null;
  }

  /** Takes other pages, as many, in place of its own, which are freed. @internal */
  replace(pages: StateBuffer): void {
    this.#pages.close();
    this.#pages = pages;
    this.#dirty?.markPages(0, pages.pages);
  }

  /** Makes all bytes 0. */
  clear(): void {
    this.fill(0, this.bytes, (bytes) => bytes.fill(0));
  }

  /** Gives its memory back. */
  close(): void {
    this.untrack();
    this.#pages.close();
  }
}
