/** The gzip member does not decompress, or does not end where the input ends. */
export class GzipError extends Error {}

/** Length of a gzip member's trailer: CRC-32 and ISIZE (RFC 1952, 2.3.1). */
const TRAILER = 8;
/** Input goes to the decompressor in pieces of this size, so that what it has in flight stays small. */
const PIECE = 16384;

/** Passes `chunks` on, decompressed when they start with a gzip header of method 8 (`1f 8b 08`). */
export async function* decompressed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 3) {
    const { done, value } = await iterator.next();
    if (done) break;
    head.push(value);
    length += value.length;
  }
  const input = rejoined(head, iterator);
  yield* isGzip(head) ? gunzip(input) : input;
}

function isGzip(head: readonly Uint8Array[]): boolean {
  const first: number[] = [];
  for (const chunk of head) first.push(...chunk.subarray(0, 3));
  return first[0] === 0x1f && first[1] === 0x8b && first[2] === 8;
}

/** `head`, then the rest of `iterator`, which is closed when the reader stops early. */
export async function* rejoined(
  head: Uint8Array[],
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let ended = false;
  try {
    for (let chunk = head.shift(); chunk !== undefined; chunk = head.shift()) yield chunk;
    for (;;) {
      const next = await iterator.next();
      if (next.done) break;
      yield next.value;
    }
    ended = true;
  } finally {
    if (!ended) await iterator.return?.();
  }
}

/**
 * One gzip member, by the platform's `DecompressionStream`. Throws `GzipError` for damage, truncation, and bytes after
 * the member's end; what `chunks` itself throws passes through unchanged.
 *
 * The platforms differ in what they let pass after the end: browsers refuse any byte there, Node skips zeros and goes on
 * with further members. So the length that the last four bytes of the input state is compared with what came out.
 */
async function* gunzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream('gzip');
  const reader = stream.readable.getReader();
  const input = new GzipInput(stream.writable.getWriter() as ByteWriter);
  const written = input.writeAll(chunks);
  written.catch(() => undefined);
  let length = 0;
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      yield value;
    }
    await written;
    ended = true;
  } catch (error) {
    if (input.failed) throw input.failure;
    throw new GzipError(error instanceof Error ? error.message : String(error));
  } finally {
    if (!ended) reader.cancel().catch(() => undefined);
  }
  if (input.statedLength() !== length % 2 ** 32) {
    throw new GzipError('bytes after the end of the gzip member, or more than one member');
  }
}

interface ByteWriter {
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): Promise<void>;
}

/** Feeds a decompressor, and remembers the last bytes of what it was fed. */
class GzipInput {
  /** Whether reading the input failed, as opposed to decompressing it. */
  failed = false;
  failure: unknown;
  readonly #writer: ByteWriter;
  readonly #tail = new Uint8Array(TRAILER);

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  async writeAll(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of this.#pieces(chunks)) await this.#writer.write(piece);
    } catch (error) {
      this.#writer.abort(error).catch(() => undefined);
      throw error;
    }
    await this.#writer.close();
  }

  /** ISIZE of the trailer: the decompressed length modulo 2^32, if the input ends with its one member. */
  statedLength(): number {
    return new DataView(this.#tail.buffer).getUint32(4, true);
  }

  async *#pieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const iterator = chunks[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        const next = await this.#next(iterator);
        if (next.done) break;
        const chunk = next.value;
        const kept = Math.min(TRAILER, chunk.length);
        this.#tail.copyWithin(0, kept);
        this.#tail.set(chunk.subarray(chunk.length - kept), TRAILER - kept);
        for (let at = 0; at < chunk.length; at += PIECE) yield chunk.subarray(at, at + PIECE);
      }
      ended = true;
    } finally {
      if (!ended) await iterator.return?.();
    }
  }

  async #next(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    try {
      return await iterator.next();
    } catch (error) {
      this.failed = true;
      this.failure = error;
      throw error;
    }
  }
}
