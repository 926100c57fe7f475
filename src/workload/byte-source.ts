/** What `ByteStream.getReader()` gives: the part of a default stream reader that is used here. */
export interface ByteStreamReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

/** A readable stream of bytes. */
export interface ByteStream {
  getReader(): ByteStreamReader;
}

/** A Blob or File, in the structural sense: it can be read from its start any number of times. */
export interface BlobLike {
  readonly name?: string;
  stream(): ByteStream;
}

/**
 * Bytes that can be read any number of times: in memory, as a Blob or File, or as a function that opens them anew at
 * each call (chunks of any size). They may be gzipped; that is seen from their first three bytes.
 */
export type TraceSource = Uint8Array | BlobLike | (() => AsyncIterable<Uint8Array>);

/** Throws a TypeError that names `argument` unless `source` is a `TraceSource`. */
export function checkSource(source: unknown, argument: string): asserts source is TraceSource {
  const blob = source as BlobLike | null | undefined;
  if (source instanceof Uint8Array || typeof source === 'function' || typeof blob?.stream === 'function') return;
  const got = source === null ? 'null' : Array.isArray(source) ? 'an array' : typeof source;
  throw new TypeError(
    `openTrace: ${argument} is ${got}; it must be a Uint8Array, a Blob, or a function that returns an AsyncIterable of Uint8Array`,
  );
}

/** The chunks of `source`, from its start. */
export function chunksOf(source: TraceSource): AsyncIterable<Uint8Array> {
  if (source instanceof Uint8Array) return single(source);
  return typeof source === 'function' ? opened(source) : streamed(source);
}

async function* opened(open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterable<unknown> = open();
  if (typeof chunks?.[Symbol.asyncIterator] !== 'function') {
    throw new TypeError('openTrace: the source function returned no AsyncIterable; it must return one of Uint8Array');
  }
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) {
      throw new TypeError(`openTrace: a source function gave a chunk of type ${typeof chunk}; it must be a Uint8Array`);
    }
    yield chunk;
  }
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* streamed(blob: BlobLike): AsyncGenerator<Uint8Array> {
  const reader = blob.stream().getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done) return;
      if (value !== undefined) yield value;
    }
  } finally {
    if (!ended) await reader.cancel().catch(() => undefined);
  }
}
