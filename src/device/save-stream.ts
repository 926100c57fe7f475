import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';
import type { DeviceImage } from './device-image.ts';
import { PARAMETERS_BYTES, writeParameters, type DeviceParameters } from './device-parameters.ts';
import type { LocalMemory } from './local-memory.ts';
import { ENGINE_BYTES } from './queue-engine.ts';
import { QUEUE_BANK, QUEUE_STRIDE } from './registers.ts';
import { StateBuffer, type RecordCounts } from './state-buffer.ts';
import { FRAME, FRAME_CHECK_BYTES, FRAME_EXTRA_BYTES, FRAME_HEAD_BYTES, FrameWriter } from './state-frame.ts';

/** What a stream is of. @internal */
export interface SaveSource {
  readonly parameters: DeviceParameters;
  readonly memory: LocalMemory;
  readonly image: DeviceImage;
  /** Whether the device can no longer change. */
  isStopped(): boolean;
  /** The stream was closed. */
  closed(): void;
}

/**
 * Estimates in bytes, as VFIO_MIG_GET_PRECOPY_INFO gives them (include/uapi/linux/vfio.h, struct vfio_precopy_info).
 */
export interface PrecopyInfo {
  /** Of the first pass over the state, still to be read; it never grows. */
  readonly initialBytes: number;
  /** Of what has changed since it was read. */
  readonly dirtyBytes: number;
}

/** What a page takes at most: its record, and a frame around it. */
const PAGE_BYTES_MOST = FRAME_EXTRA_BYTES + layout.RECORD_BYTES + layout.STATE_PAGE_BYTES;
const HEAD_FRAME_BYTES = FRAME_EXTRA_BYTES + PARAMETERS_BYTES;
const END_BYTES = 8;
const TAIL_FRAMES = 3;

/** Bytes of each of the frames behind the pages: registers, queues, end. */
function tailBytes(queues: number): number[] {
  return [QUEUE_BANK + QUEUE_STRIDE * queues, ENGINE_BYTES * queues, END_BYTES].map(
    (bytes) => bytes + FRAME_EXTRA_BYTES,
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** At most how many bytes the whole state of a stopped device is. */
export function stateBytesMost(parameters: DeviceParameters): number {
  const pages = parameters.memory / layout.STATE_PAGE_BYTES;
  return HEAD_FRAME_BYTES + pages * PAGE_BYTES_MOST + sum(tailBytes(parameters.queues));
}

/**
 * The state of a device as a stream of bytes (docs/device-state.md). In pre-copy it carries local memory while the
 * device runs, and again what changes; after `stopCopy` the rest, and an end.
 */
export class SaveStream {
  readonly #source: SaveSource;
  readonly #writer: FrameWriter;
  readonly #dirty: Bitmap;
  readonly #last: StateBuffer | null;
  readonly #countsBefore: RecordCounts;
  readonly #pages: number;
  #phase: 'pre-copy' | 'stop-copy' | 'closed' = 'pre-copy';
  /** The frame that is being read, and how much of it has been. */
  #frame: Uint8Array = new Uint8Array(0);
  #taken = 0;
  #frameIsInitial = false;
  /** Bytes of all frames so far. */
  #made = 0;
  /** First page that has not been sent at all. */
  #unsent = 0;
  /** Where the search for changed pages goes on. */
  #cursor = 0;
  /** How many of the frames behind the pages there are. */
  #tail = 0;

  /**
   * EBUSY, ENOMEM: the copy of what was sent takes as much as the local memory; without `preCopy` there is none.
   * @internal
   */
  constructor(core: Instance, source: SaveSource, preCopy: boolean) {
    const { memory } = source;
    this.#source = source;
    this.#pages = memory.pages.pages;
    this.#writer = new FrameWriter(core, memory.pages);
    this.#countsBefore = memory.pages.sent;
    this.#last = preCopy ? new StateBuffer(core, this.#pages) : null;
    try {
      this.#dirty = memory.track();
    } catch (error) {
      this.#last?.close();
      throw error;
    }
    if (!preCopy) this.stopCopy();
  }

  /**
   * Reads the next bytes of the stream and returns how many; fewer than `into` has are no sign of anything. 0: in pre-
   * copy nothing for now, after `stopCopy` the end. EBADF: it was closed.
   */
  read(into: Uint8Array): number {
    if (this.#phase === 'closed') throw new IommuError('EBADF', 'saveStream.read', 'the stream was closed');
    let done = 0;
    while (done < into.length && (this.#queued > 0 || this.#refill())) {
      const part = this.#frame.subarray(this.#taken, this.#taken + into.length - done);
      into.set(part, done);
      done += part.length;
      this.#taken += part.length;
    }
    return done;
  }

  /** Ends pre-copy: what has not been read follows, and then the end. EBUSY: the device is not stopped. */
  stopCopy(): void {
    if (!this.#source.isStopped()) {
      throw new IommuError(
        'EBUSY',
        'saveStream.stopCopy',
        'the device is not stopped; its state would change meanwhile',
      );
    }
    if (this.#phase === 'pre-copy') this.#phase = 'stop-copy';
  }

  /** Whether pre-copy is over, so that the device must stay as it is. */
  get inStopCopy(): boolean {
    return this.#phase === 'stop-copy';
  }

  /** Whether everything has been read. */
  get ended(): boolean {
    return this.#tail === TAIL_FRAMES && this.#queued === 0;
  }

  /** Both 0: pre-copy has nothing for now. */
  get precopyInfo(): PrecopyInfo {
    const head = this.#made === 0 ? HEAD_FRAME_BYTES : 0;
    const queued = this.#queued;
    return {
      initialBytes: head + (this.#frameIsInitial ? queued : 0) + this.#unsentPages * PAGE_BYTES_MOST,
      dirtyBytes: (this.#frameIsInitial ? 0 : queued) + this.#changedPages * PAGE_BYTES_MOST,
    };
  }

  /** At most how many bytes would follow if the device stopped now. */
  get stopCopyBytes(): number {
    if (this.#phase === 'closed') return 0;
    const { initialBytes, dirtyBytes } = this.precopyInfo;
    return initialBytes + dirtyBytes + sum(tailBytes(this.#source.parameters.queues).slice(this.#tail));
  }

  /** Records that this stream has carried so far. */
  get sent(): RecordCounts {
    const now = this.#source.memory.pages.sent;
    const before = this.#countsBefore;
    return {
      zero: now.zero - before.zero,
      unchanged: now.unchanged - before.unchanged,
      delta: now.delta - before.delta,
      whole: now.whole - before.whole,
    };
  }

  /** Ends the session, read to the end or not, and gives its memory back. */
  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#last?.close();
    this.#source.memory.untrack();
    this.#source.closed();
  }

  /** Bytes of the frame that have not been read. */
  get #queued(): number {
    return this.#frame.length - this.#taken;
  }

  get #unsentPages(): number {
    return this.#pages - this.#unsent;
  }

  /** Pages that were sent and have changed since: all pages that were not sent are marked too. */
  get #changedPages(): number {
    return this.#dirty.count() - this.#unsentPages;
  }

  /** Makes the next frame; false where there is none, for now or at the end. */
  #refill(): boolean {
    this.#frameIsInitial = this.#made === 0 || this.#unsentPages > 0;
    const frame = this.#made === 0 ? this.#headFrame() : (this.#memoryFrame() ?? this.#tailFrame());
    if (!frame) return false;
    this.#frame = frame;
    this.#taken = 0;
    this.#made += frame.length;
    return true;
  }

  #headFrame(): Uint8Array {
    return this.#writer.frame(FRAME.device, writeParameters(this.#source.parameters));
  }

  /** The next frame of page records: pages never sent first, then those that changed, in turn. */
  #memoryFrame(): Uint8Array | undefined {
    if (this.#unsentPages > 0) {
      const frame = this.#recordsFrom(this.#unsent);
      this.#unsent = this.#source.memory.pages.nextPage;
      return frame;
    }
    const frame = this.#recordsFrom(this.#cursor) ?? this.#recordsFrom(0);
    this.#cursor = this.#source.memory.pages.nextPage;
    return frame;
  }

  #recordsFrom(page: number): Uint8Array | undefined {
    const end = layout.TRANSFER_BYTES - FRAME_CHECK_BYTES;
    const length =
      this.#source.memory.pages.encode(this.#last, this.#dirty, page, FRAME_HEAD_BYTES, end) - FRAME_HEAD_BYTES;
    return length > 0 ? this.#writer.seal(FRAME.memory, length) : undefined;
  }

  #tailFrame(): Uint8Array | undefined {
    if (this.#phase !== 'stop-copy' || this.#tail === TAIL_FRAMES) return undefined;
    const { image } = this.#source;
    switch (this.#tail++) {
      case 0:
        return this.#writer.frame(FRAME.registers, image.saveRegisters());
      case 1:
        return this.#writer.frame(FRAME.queues, image.saveQueues());
      default:
        return this.#writer.frame(FRAME.end, this.#lengthSoFar());
    }
  }

  #lengthSoFar(): Uint8Array {
    const bytes = new Uint8Array(END_BYTES);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(this.#made), true);
    return bytes;
  }
}
