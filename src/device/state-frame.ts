import * as layout from '../../assembly/layout.ts';
import type { Instance } from '../wasm/instance.ts';
import type { StateBuffer } from './state-buffer.ts';

/** Frames of a state stream, in the order in which they come; only `memory` may come more than once. */
export const FRAME = { device: 1, memory: 2, registers: 3, queues: 4, end: 5 } as const;

// A frame, all little-endian (docs/device-state.md):
//   0       4          8        12                 12 + length
//   ┌───────┬──────────┬────────┬─────────────────┬─────────┐
//   │ type  │ sequence │ length │ payload         │ CRC32C  │  of everything before it
//   └───────┴──────────┴────────┴─────────────────┴─────────┘
export const FRAME_TYPE = 0;
export const FRAME_SEQUENCE = 4;
export const FRAME_LENGTH = 8;
export const FRAME_HEAD_BYTES = 12;
export const FRAME_CHECK_BYTES = 4;
/** What a frame has beside its payload. */
export const FRAME_EXTRA_BYTES = FRAME_HEAD_BYTES + FRAME_CHECK_BYTES;
/** Most bytes of a payload: a frame fits the transfer buffer. */
export const MAX_PAYLOAD_BYTES = layout.TRANSFER_BYTES - FRAME_EXTRA_BYTES;

/** Makes the frames of one stream, one after the other. */
export class FrameWriter {
  readonly #core: Instance;
  readonly #checksums: StateBuffer;
  #sequence = 0;

  /** `checksums`: a buffer in `core`, for the checksums. */
  constructor(core: Instance, checksums: StateBuffer) {
    this.#core = core;
    this.#checksums = checksums;
  }

  /** The frame with this payload, MAX_PAYLOAD_BYTES at most. */
  frame(type: number, payload: Uint8Array): Uint8Array {
    this.#core.view(this.#core.transfer + FRAME_HEAD_BYTES, payload.length).set(payload);
    return this.seal(type, payload.length);
  }

  /** The frame whose payload of `length` bytes lies in the transfer buffer already, from FRAME_HEAD_BYTES on. */
  seal(type: number, length: number): Uint8Array {
    const covered = FRAME_HEAD_BYTES + length;
    const frame = this.#core.view(this.#core.transfer, covered + FRAME_CHECK_BYTES);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    view.setUint32(FRAME_TYPE, type, true);
    view.setUint32(FRAME_SEQUENCE, this.#sequence++, true);
    view.setUint32(FRAME_LENGTH, length, true);
    view.setUint32(covered, this.#checksums.checksum(covered), true);
    return frame.slice();
  }
}

/** Puts a stream's bytes together to frames and checks each. */
export class FrameReader {
  readonly #core: Instance;
  readonly #checksums: StateBuffer;
  readonly #bytes = new Uint8Array(layout.TRANSFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #filled = 0;
  #sequence = 0;

  constructor(core: Instance, checksums: StateBuffer) {
    this.#core = core;
    this.#checksums = checksums;
  }

  /** Whether a frame has begun and has not ended. */
  get inFrame(): boolean {
    return this.#filled > 0;
  }

  /**
   * Takes bytes; calls `take` for each frame that they complete, with its type and its payload, valid during the call;
   * it lies in the transfer buffer too, from FRAME_HEAD_BYTES on. Returns why the stream is damaged, or what `take`
   * returns, at the first that says so.
   */
  push(from: Uint8Array, take: (type: number, payload: Uint8Array) => string | undefined): string | undefined {
    for (let at = 0; at < from.length;) {
      const part = from.subarray(at, at + this.#missing());
      this.#bytes.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      let refusal: string | undefined;
      if (this.#filled === FRAME_HEAD_BYTES) refusal = this.#refuseHead();
      else if (this.#missing() === 0) refusal = this.#refuseFrame() ?? this.#deliver(take);
      if (refusal) return refusal;
    }
    return undefined;
  }

  get #length(): number {
    return this.#view.getUint32(FRAME_LENGTH, true);
  }

  /** Bytes up to the end of the head, or of the frame once the head is there. */
  #missing(): number {
    if (this.#filled < FRAME_HEAD_BYTES) return FRAME_HEAD_BYTES - this.#filled;
    return FRAME_EXTRA_BYTES + this.#length - this.#filled;
  }

  #refuseHead(): string | undefined {
    if (this.#length > MAX_PAYLOAD_BYTES) {
      return `frame ${this.#sequence} says that it has ${this.#length} bytes; at most ${MAX_PAYLOAD_BYTES} are possible`;
    }
    const sequence = this.#view.getUint32(FRAME_SEQUENCE, true);
    return sequence === this.#sequence ? undefined : `frame ${sequence} comes where frame ${this.#sequence} should`;
  }

  #refuseFrame(): string | undefined {
    const covered = FRAME_HEAD_BYTES + this.#length;
    this.#core.view(this.#core.transfer, covered).set(this.#bytes.subarray(0, covered));
    const right = this.#checksums.checksum(covered) === this.#view.getUint32(covered, true);
    return right ? undefined : `the checksum of frame ${this.#sequence} differs`;
  }

  #deliver(take: (type: number, payload: Uint8Array) => string | undefined): string | undefined {
    const payload = this.#bytes.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + this.#length);
    this.#sequence++;
    this.#filled = 0;
    return take(this.#view.getUint32(FRAME_TYPE, true), payload);
  }
}
