import { GzipError } from './gzip.ts';

/** Readable bytes behind `end`, all 0 in a final window: a decoder may read this far before it checks. */
export const PADDING = 32;

/**
 * A part of a stream of bytes, in one array, that moves forward: decoders see whole records in it, however the stream was
 * cut into chunks. Valid are `bytes[position..end)`; a decoder moves `position` past what it has consumed.
 */
export class ByteWindow {
  readonly bytes: Uint8Array;
  position = 0;
  end: number;
  /** Whether the stream ends at `end`. */
  final: boolean;
  /** Why the stream ends at `end`, when it does so because it could not be decompressed further. */
  failure: GzipError | null;
  readonly #capacity: number;
  readonly #chunks: AsyncIterator<Uint8Array> | null;
  #pending: Uint8Array = new Uint8Array(0);
  /** Stream offset of `bytes[0]`. */
  #base = 0;

  private constructor(bytes: Uint8Array, end: number, chunks: AsyncIterator<Uint8Array> | null) {
    this.bytes = bytes;
    this.#capacity = bytes.length - PADDING;
    this.end = end;
    this.final = chunks === null;
    this.failure = null;
    this.#chunks = chunks;
  }

  /** A final window over a whole stream: `padded` is the stream and `PADDING` zeros. */
  static over(padded: Uint8Array, failure: GzipError | null): ByteWindow {
    const window = new ByteWindow(padded, padded.length - PADDING, null);
    window.failure = failure;
    return window;
  }

  /** A window of `capacity` bytes that moves over `chunks`; empty until the first `fill()`. */
  static moving(chunks: AsyncIterable<Uint8Array>, capacity: number): ByteWindow {
    return new ByteWindow(new Uint8Array(capacity + PADDING), 0, chunks[Symbol.asyncIterator]());
  }

  /** Stream offset of `position`. */
  get offset(): number {
    return this.#base + this.position;
  }

  /** Whether `fill()` cannot add anything until something is consumed. */
  get full(): boolean {
    return this.position === 0 && this.end === this.#capacity;
  }

  /** Moves on: drops what was consumed, then reads until the window is full or the stream ends. */
  async fill(): Promise<void> {
    if (this.final) return;
    this.bytes.copyWithin(0, this.position, this.end);
    this.#base += this.position;
    this.end -= this.position;
    this.position = 0;
    while (this.end < this.#capacity) {
      if (this.#pending.length === 0 && !(await this.#pull())) {
        this.final = true;
        this.bytes.fill(0, this.end, this.end + PADDING);
        return;
      }
      const taken = this.#pending.subarray(0, this.#capacity - this.end);
      this.bytes.set(taken, this.end);
      this.end += taken.length;
      this.#pending = this.#pending.subarray(taken.length);
    }
  }

  /** Lets go of the stream behind the window. */
  async close(): Promise<void> {
    if (!this.final) await this.#chunks?.return?.();
  }

  async #pull(): Promise<boolean> {
    try {
      const next = await this.#chunks!.next();
      if (next.done) return false;
      this.#pending = next.value;
      return true;
    } catch (error) {
      if (!(error instanceof GzipError)) throw error;
      this.failure = error;
      return false;
    }
  }
}
