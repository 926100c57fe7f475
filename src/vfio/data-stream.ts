import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { readStruct, resultOf, writeStruct, type IoctlArg } from '../uapi/envelope.ts';
import { VFIO_MIG_GET_PRECOPY_INFO, VfioPrecopyInfo } from '../uapi/vfio.ts';
import { hex } from '../wasm/address.ts';
import { isPrecopy, STATE_NAMES, type DeviceState } from './device-state.ts';
import type { ResumeStream, SaveStream } from './migration-driver.ts';

/** What a data stream needs of the device. @internal */
export interface StreamOwner {
  readonly state: DeviceState;
  readonly temporaryEnd: 'ENOMSG' | 'zero';
  readonly addressSpace: AddressSpace;
}

/**
 * The file behind `data_fd` of a migration (include/uapi/linux/vfio.h): read while a device saves its state, written
 * while it resumes. A stream without positions; bytes keep their order, and may be cut differently on the two sides.
 * After the session (an arc that ends it, or a reset) every access is ENODEV.
 */
export class DataStream {
  /** What it is for: a saved state is read, a state to resume is written. */
  readonly direction: 'read' | 'write';
  readonly #owner: StreamOwner;
  readonly #save: SaveStream | undefined;
  readonly #resume: ResumeStream | undefined;
  #enabled = true;
  #closed = false;
  #ended = false;

  /** @internal */
  constructor(owner: StreamOwner, end: SaveStream | ResumeStream) {
    this.#owner = owner;
    if ('read' in end) this.#save = end;
    else this.#resume = end;
    this.direction = this.#save ? 'read' : 'write';
  }

  /** Whether the session goes on. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Whether the user closed it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends the session for it. @internal */
  disable(): void {
    this.#enabled = false;
  }

  /**
   * read(2): copies the bytes that come next into `into`, as many as there are at once, and returns how many. 0 is the
   * end, in STOP_COPY and for good; in pre-copy, where there may be more later, it is ENOMSG, or 0 with drivers that
   * say it so. Errors, the first that holds: EBADF closed; EINVAL a negative offset; ESPIPE an offset at all (pread);
   * EBADF a stream to be written; ENODEV after the session; those of the driver.
   */
  read(into: Uint8Array, offset?: number): number {
    const op = 'dataStream.read';
    this.#checkAccess(op, 'read', offset);
    if (into.length === 0 || this.#ended) return 0;
    const count = within(this.#save!.read(into), into.length);
    if (count > 0) return count;
    if (!isPrecopy(this.#owner.state)) this.#ended = true;
    else if (this.#owner.temporaryEnd === 'ENOMSG') {
      throw new IommuError('ENOMSG', op, 'there is nothing now; ask again later, or go on to STOP_COPY');
    }
    return 0;
  }

  /**
   * write(2): hands bytes to the device and returns how many it took from the front of `from`. Errors as for `read`,
   * with the sides changed; those of the driver are ENOMEM for more than it can take, mostly.
   */
  write(from: Uint8Array, offset?: number): number {
    this.#checkAccess('dataStream.write', 'write', offset);
    return from.length === 0 ? 0 : within(this.#resume!.write(from), from.length);
  }

  /**
   * MIG_GET_PRECOPY_INFO, bytes. Errors, the first that holds: EBADF closed; ENOTTY a stream to be written, or a driver
   * that cannot tell; EINVAL a device that is not in PRE_COPY or PRE_COPY_P2P; ENODEV after the session.
   */
  precopyInfo(): { initialBytes: bigint; dirtyBytes: bigint } {
    this.#checkPrecopyDoor();
    return this.#precopyInfo();
  }

  /** ioctl(2): 0, or -errno. Takes VFIO_MIG_GET_PRECOPY_INFO; every other request is ENOTTY. */
  ioctl(request: number, arg: IoctlArg): number {
    return resultOf(() => {
      this.#checkPrecopyDoor(request);
      const space = this.#owner.addressSpace;
      const info = readStruct(space, VfioPrecopyInfo, arg, PRECOPY_INFO);
      if (info.argsz < VfioPrecopyInfo.size) {
        const least = `${VfioPrecopyInfo.name} has ${VfioPrecopyInfo.size} bytes`;
        throw new IommuError('EINVAL', PRECOPY_INFO, `argsz is ${info.argsz}; ${least}`);
      }
      writeStruct(space, VfioPrecopyInfo, arg, { ...info, ...this.#precopyInfo() }, PRECOPY_INFO);
    });
  }

  /** close(2). The device's state does not change, and the session goes on without it. EBADF: closed before. */
  close(): void {
    this.#checkOpen('dataStream.close');
    this.#closed = true;
  }

  #precopyInfo(): { initialBytes: bigint; dirtyBytes: bigint } {
    const { state } = this.#owner;
    if (!isPrecopy(state)) {
      const where = `the device is in ${STATE_NAMES[state]}; it must be in PRE_COPY or PRE_COPY_P2P`;
      throw new IommuError('EINVAL', PRECOPY_INFO, where);
    }
    this.#checkSession(PRECOPY_INFO);
    const { initialBytes, dirtyBytes } = this.#save!.precopyInfo!();
    return { initialBytes: BigInt(initialBytes), dirtyBytes: BigInt(dirtyBytes) };
  }

  #checkPrecopyDoor(request = VFIO_MIG_GET_PRECOPY_INFO): void {
    this.#checkOpen(PRECOPY_INFO);
    if (request === VFIO_MIG_GET_PRECOPY_INFO && this.#save?.precopyInfo) return;
    const known = this.#save?.precopyInfo ? hex(VFIO_MIG_GET_PRECOPY_INFO) : 'none';
    throw new IommuError('ENOTTY', PRECOPY_INFO, `request is ${hex(request >>> 0)}; this stream takes ${known}`);
  }

  #checkAccess(op: string, direction: 'read' | 'write', offset: number | undefined): void {
    if (offset !== undefined && offset < 0) {
      throw new IommuError('EINVAL', op, `offset is ${offset}; a data stream takes none`);
    }
    this.#checkOpen(op);
    if (offset !== undefined) throw new IommuError('ESPIPE', op, `offset is ${offset}; a data stream takes none`);
    if (direction !== this.direction) throw new IommuError('EBADF', op, `this stream is there to ${this.direction}`);
    this.#checkSession(op);
  }

  #checkOpen(op: string): void {
    if (this.#closed) throw new IommuError('EBADF', op, 'the stream was closed');
  }

  #checkSession(op: string): void {
    if (this.#enabled) return;
    throw new IommuError('ENODEV', op, 'the session is over; a SET to a state with a stream begins a new one');
  }
}

const PRECOPY_INFO = 'MIG_GET_PRECOPY_INFO';

function within(count: number, most: number): number {
  if (Number.isInteger(count) && count >= 0 && count <= most) return count;
  throw new Error(`the driver says ${count} bytes of ${most}`);
}
