import { ByteWindow, PADDING } from './byte-window.ts';
import { chunksOf, type TraceSource } from './byte-source.ts';
import { decompressed, GzipError, rejoined } from './gzip.ts';

/**
 * A stream of up to this many bytes (decompressed) is kept after the first reading, so that reading it again costs
 * decoding only. A longer one is read anew each time, in a window of fixed size.
 */
export const CACHE_LIMIT = 64 * 1024 * 1024;

/** Size of the window over a stream that is not kept. */
const WINDOW = 256 * 1024;

/** The decompressed bytes of one file, readable from the start any number of times. */
export class TraceBytes {
  /** The file's name, for messages. */
  readonly name: string;
  readonly #source: TraceSource;
  readonly #limit: number;
  readonly #windowBytes: number;
  #kept: { readonly padded: Uint8Array; readonly failure: GzipError | null } | null = null;
  #tooLong: boolean;

  /** `limit` and `windowBytes` (at least 128) are there for tests, which want small ones. */
  constructor(source: TraceSource, name: string, limit = CACHE_LIMIT, windowBytes = WINDOW) {
    this.#source = source;
    this.name = name;
    this.#limit = limit;
    this.#windowBytes = windowBytes;
    this.#tooLong = limit === 0;
  }

  /** Whether the bytes are in memory, so that a window over them may be moved to any offset. */
  get kept(): boolean {
    return this.#kept !== null;
  }

  /** A window at the start of the bytes. Whoever opens it closes it. */
  async open(): Promise<ByteWindow> {
    if (this.#kept !== null) return ByteWindow.over(this.#kept.padded, this.#kept.failure);
    const chunks = decompressed(chunksOf(this.#source));
    if (this.#tooLong) return ByteWindow.moving(chunks, this.#windowBytes);
    return this.#keep(chunks);
  }

  async #keep(chunks: AsyncGenerator<Uint8Array>): Promise<ByteWindow> {
    const head: Uint8Array[] = [];
    let length = 0;
    let failure: GzipError | null = null;
    try {
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
        length += next.value.length;
        if (length > this.#limit) {
          this.#tooLong = true;
          head.push(next.value);
          return ByteWindow.moving(rejoined(head, chunks), this.#windowBytes);
        }
        // A source may use its chunk's memory again for the next one.
        head.push(next.value.slice());
      }
    } catch (error) {
      if (!(error instanceof GzipError)) throw error;
      failure = error;
    }
    const padded = new Uint8Array(length + PADDING);
    let at = 0;
    for (let chunk = head.shift(); chunk !== undefined; chunk = head.shift()) {
      padded.set(chunk, at);
      at += chunk.length;
    }
    this.#kept = { padded, failure };
    return ByteWindow.over(padded, failure);
  }
}
