import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';

/**
 * Reads a tracker over all that it maps or logs, and clips the report to RAM. A leaf that reaches beyond RAM would lie only
 * partly inside a query on RAM, and would never be cleared.
 */
export class ClippedReport {
  readonly #core: Core;
  readonly #mappedBytes: number;
  #whole: Bitmap | undefined;

  constructor(core: Core, mappedBytes: number) {
    this.#core = core;
    this.#mappedBytes = mappedBytes;
  }

  /** Calls `read` with a bitmap that holds the `length` bytes from 0 on, and ORs what it reported of RAM into `into`. */
  read(into: Bitmap, read: (bitmap: Bitmap, length: number) => void): void {
    const ramBytes = into.pages * 4096;
    if (this.#mappedBytes <= ramBytes) return read(into, ramBytes);
    this.#whole ??= this.#core.bitmap({ length: this.#mappedBytes });
    read(this.#whole, this.#whole.pages * 4096);
    // What lies beyond RAM stays marked there, and is never asked for.
    this.#whole.readAndClear({ into, start: 0, length: ramBytes });
  }

  close(): void {
    this.#whole?.close();
  }
}
