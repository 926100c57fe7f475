import { IommuError } from '../errno/error.ts';
import { VFIO_MIGRATION_PRE_COPY } from '../uapi/vfio.ts';
import type { DataStream } from '../vfio/data-stream.ts';
import { VfioDevice } from '../vfio/device.ts';
import { DeviceState } from '../vfio/device-state.ts';
import { FIRST_MAPPING_OP, FIRST_READ_OP, type EventBatch } from '../workload/recording.ts';
import { exact } from './exact.ts';
import { LocalState } from './local-state.ts';

/** The state of a device. */
export interface StateSize {
  /** Which device of the recording it is. */
  readonly device: number;
  /** Bytes of local memory, whole pages of 4 KiB. */
  readonly bytes: number;
  /** Whether it can be sent while the device runs. */
  readonly preCopy: boolean;
}

/** What the devices' state came to. Bytes of their streams but for `bytes`. */
export interface DeviceStateResult {
  readonly devices: number;
  /** Local memory of all devices. */
  readonly bytes: number;
  /** Sent while they ran; the first of it is the state as it was at first. */
  readonly preCopyBytes: number;
  /** What was left when it was decided to stop, as MIG_DATA_SIZE tells (feature 9 of VFIO_DEVICE_FEATURE). */
  readonly stopCopyLength: number;
  /** Sent while they were stopped. */
  readonly stopCopyBytes: number;
  /** Sent in each round; the last one is `stopCopyBytes`. */
  readonly rounds: readonly number[];
}

interface Device {
  readonly vfio: VfioDevice;
  readonly state: LocalState;
  stream: DataStream | undefined;
}

const { RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, STOP_COPY } = DeviceState;

/** Most bytes of one read(2), as QEMU reads. */
const READ_BYTES = 2 ** 20;

/**
 * Devices with state of their own that migrate with the guest, each through its VFIO device: pre-copy from the first
 * round on; to stop, all are quiesced (PRE_COPY_P2P, RUNNING_P2P) before the first one goes to STOP_COPY, as QEMU does.
 *
 * What changes their local memory is an assumption: what a device reads from RAM it keeps at the same address, modulo
 * its size.
 */
export class MigratedDevices {
  readonly #devices: readonly Device[];
  readonly #byIndex: LocalState[] = [];
  readonly #rounds: number[] = [];
  readonly #buffer = new Uint8Array(READ_BYTES);
  #stopCopyLength = 0;

  constructor(sizes: readonly StateSize[]) {
    this.#devices = sizes.map(({ device, bytes, preCopy }) => {
      const state = new LocalState(bytes, preCopy);
      this.#byIndex[device] = state;
      return { vfio: new VfioDevice({ migration: state }), state, stream: undefined };
    });
  }

  /** Pre-copy begins on those that have it. */
  start(): void {
    for (const device of this.#devices) {
      if (hasPreCopy(device)) device.stream = device.vfio.setMigDeviceState({ deviceState: PRE_COPY }).stream;
    }
  }

  /** Events [begin, end) of a batch happen. */
  dma({ device, op, address, length }: EventBatch, begin: number, end: number): void {
    for (let i = begin; i < end; i++) {
      if (op[i] >= FIRST_READ_OP && op[i] < FIRST_MAPPING_OP && length[i] > 0)
        this.#byIndex[device[i]]?.change(address[i], length[i]);
    }
  }

  /** Bytes that a round would send now. */
  get preCopyBytes(): number {
    return this.#devices.reduce((sum, { stream }) => {
      if (!stream) return sum;
      const { initialBytes, dirtyBytes } = stream.precopyInfo();
      return sum + Number(initialBytes + dirtyBytes);
    }, 0);
  }

  /** Bytes that would have to be sent if all stopped now, as the devices tell. */
  get stopCopyLength(): number {
    return this.#devices.reduce((sum, { vfio }) => sum + Number(vfio.migDataSize().stopCopyLength), 0);
  }

  /** Sends what there is while they run; its bytes. */
  sendPreCopy(): number {
    return this.#sent(this.#devices.reduce((sum, { stream }) => sum + (stream ? this.#drain(stream) : 0), 0));
  }

  /** Stops all in two passes and sends the rest; its bytes. */
  stopAndSend(): number {
    this.#stopCopyLength = this.stopCopyLength;
    for (const device of this.#devices) {
      device.vfio.setMigDeviceState({ deviceState: hasPreCopy(device) ? PRE_COPY_P2P : RUNNING_P2P });
    }
    for (const device of this.#devices) {
      device.stream = device.vfio.setMigDeviceState({ deviceState: STOP_COPY }).stream ?? device.stream;
    }
    return this.#sent(this.#devices.reduce((sum, { stream }) => sum + this.#drain(stream!), 0));
  }

  /** Only once all have been sent. */
  get result(): DeviceStateResult {
    const rounds = this.#rounds;
    const total = rounds.reduce((sum, bytes) => sum + bytes, 0);
    const stopCopyBytes = rounds[rounds.length - 1];
    return {
      devices: this.#devices.length,
      bytes: this.#devices.reduce((sum, { state }) => sum + state.bytes, 0),
      preCopyBytes: exact('preCopyBytes', total - stopCopyBytes),
      stopCopyLength: this.#stopCopyLength,
      stopCopyBytes,
      rounds,
    };
  }

  #sent(bytes: number): number {
    this.#rounds.push(bytes);
    return bytes;
  }

  /** Reads a stream until there is nothing, for now or for good. */
  #drain(stream: DataStream): number {
    let bytes = 0;
    try {
      for (let count = stream.read(this.#buffer); count > 0; count = stream.read(this.#buffer)) bytes += count;
    } catch (error) {
      if (!(error instanceof IommuError && error.code === 'ENOMSG')) throw error;
    }
    return bytes;
  }
}

function hasPreCopy({ vfio }: Device): boolean {
  return (Number(vfio.migration().flags) & VFIO_MIGRATION_PRE_COPY) !== 0;
}
