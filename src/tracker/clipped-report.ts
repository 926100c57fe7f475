import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import type { Steps } from '../schedule/step.ts';

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
    const bitmap = this.#bitmapFor(into);
    read(bitmap, bitmap.pages * 4096);
    this.#clip(bitmap, into);
  }

  /** `read`, where the read itself is a sequence of steps. */
  *readSteps(into: Bitmap, read: (bitmap: Bitmap, length: number) => Steps<void>): Steps<void> {
    const bitmap = this.#bitmapFor(into);
    yield* read(bitmap, bitmap.pages * 4096);
    this.#clip(bitmap, into);
  }

  #bitmapFor(into: Bitmap): Bitmap {
    if (this.#mappedBytes <= into.pages * 4096) return into;
    return (this.#whole ??= this.#core.bitmap({ length: this.#mappedBytes }));
  }

  #clip(bitmap: Bitmap, into: Bitmap): void {
    // What lies beyond RAM stays marked there, and is never asked for.
    if (bitmap !== into) bitmap.readAndClear({ into, start: 0, length: into.pages * 4096 });
  }

  close(): void {
    this.#whole?.close();
  }
}
