import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';
import type { DeviceImage } from './device-image.ts';
import { refuseParameters, type DeviceParameters } from './device-parameters.ts';
import { StateBuffer } from './state-buffer.ts';
import { FRAME, FRAME_EXTRA_BYTES, FRAME_HEAD_BYTES, FrameReader } from './state-frame.ts';

/** A state that was received whole and passed all checks. @internal */
export interface ReceivedState {
  /** The local memory; the receiver's from now on. */
  readonly memory: StateBuffer;
  readonly registers: Uint8Array;
  readonly queues: Uint8Array;
}

/** What a stream is for. @internal */
export interface LoadTarget {
  readonly parameters: DeviceParameters;
  readonly image: DeviceImage;
  /** The load is finished: the device becomes this. */
  commit(state: ReceivedState): void;
  /** The stream was closed, after `commit` or without. */
  closed(): void;
}

const NONE = new Uint8Array(0);

/**
 * Takes the state of a device as a stream of bytes, as a SaveStream gives it, cut in any way. It is put together beside
 * the device; `finish` judges it and changes the device, or leaves it as it was.
 */
export class LoadStream {
  readonly #target: LoadTarget;
  readonly #memory: StateBuffer;
  readonly #reader: FrameReader;
  #refusal: string | undefined;
  #open = true;
  /** Type of the last frame. */
  #previous = 0;
  /** Bytes of all frames so far. */
  #taken = 0;
  /** 1 for each page that a record has said something of, and how many pages there are still without. */
  readonly #received: Uint8Array;
  #missing: number;
  #registers: Uint8Array = NONE;
  #queues: Uint8Array = NONE;

  /** ENOMEM: as much as the local memory is needed beside it. @internal */
  constructor(core: Instance, target: LoadTarget) {
    this.#target = target;
    this.#missing = target.parameters.memory / layout.STATE_PAGE_BYTES;
    this.#received = new Uint8Array(this.#missing);
    this.#memory = new StateBuffer(core, this.#missing);
    this.#reader = new FrameReader(core, this.#memory);
  }

  /** Takes bytes and returns how many: all. What is wrong with them `finish` will say. EBADF: it was closed. */
  write(from: Uint8Array): number {
    this.#checkOpen('loadStream.write');
    this.#refusal ??= this.#reader.push(from, (type, payload) => this.#take(type, payload));
    return from.length;
  }

  /**
   * Ends the load: the device is what the stream said. EINVAL: the stream was cut short, damaged, or of another device;
   * then the device is as it was. Closed either way. EBADF: it was closed before.
   */
  finish(): void {
    const op = 'loadStream.finish';
    this.#checkOpen(op);
    const whole = this.#previous === FRAME.end && !this.#reader.inFrame;
    const refusal = this.#refusal ?? (whole ? undefined : this.#shortness());
    if (refusal) {
      this.close();
      throw new IommuError('EINVAL', op, `the stream is refused: ${refusal}`);
    }
    this.#open = false;
    this.#target.commit({ memory: this.#memory, registers: this.#registers, queues: this.#queues });
    this.#target.closed();
  }

  /** Gives up: the device is as it was. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#memory.close();
    this.#target.closed();
  }

  #checkOpen(op: string): void {
    if (!this.#open) throw new IommuError('EBADF', op, 'the stream was closed');
  }

  #shortness(): string {
    const where = this.#reader.inFrame ? 'inside a frame' : 'before its end frame';
    return `it ends ${where}, after ${this.#taken} bytes of whole frames`;
  }

  /** Takes a frame whose checksum is right; why it is refused. */
  #take(type: number, payload: Uint8Array): string | undefined {
    const previous = this.#previous;
    const next = type === previous + 1 && type <= FRAME.end;
    const again = type === FRAME.memory && previous === FRAME.memory;
    if (!next && !again) return `a frame of type ${type} can't follow one of type ${previous}`;
    const refusal = this.#takePayload(type, payload);
    this.#previous = type;
    this.#taken += payload.length + FRAME_EXTRA_BYTES;
    return refusal;
  }

  #takePayload(type: number, payload: Uint8Array): string | undefined {
    const { parameters, image } = this.#target;
    switch (type) {
      case FRAME.device:
        return refuseParameters(payload, parameters);
      case FRAME.memory:
        return this.#takeRecords(payload);
      case FRAME.registers:
        this.#registers = payload.slice();
        if (this.#missing > 0) return `pages of local memory are missing: ${this.#missing}`;
        return image.refuseRegisters(payload);
      case FRAME.queues:
        this.#queues = payload.slice();
        return image.refuseQueues(payload, this.#registers);
      default:
        return this.#takeEnd(payload);
    }
  }

  #takeRecords(payload: Uint8Array): string | undefined {
    try {
      this.#memory.apply(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + payload.length);
    } catch (error) {
      if (error instanceof IommuError && error.code !== 'EBADF') return error.message;
      throw error;
    }
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    for (let at = 0; at < payload.length; at += layout.RECORD_BYTES + view.getUint16(at + layout.RECORD_LENGTH, true)) {
      const page = view.getUint32(at + layout.RECORD_PAGE, true);
      this.#missing -= 1 - this.#received[page];
      this.#received[page] = 1;
    }
    return undefined;
  }

  #takeEnd(payload: Uint8Array): string | undefined {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const right = payload.length === 8 && view.getBigUint64(0, true) === BigInt(this.#taken);
    return right ? undefined : `its end frame does not say that ${this.#taken} bytes precede it`;
  }
}
