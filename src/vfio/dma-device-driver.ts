import type { Activity, DmaDevice } from '../device/dma-device.ts';
import type { LoadStream } from '../device/load-stream.ts';
import type { SaveStream as DeviceSaveStream } from '../device/save-stream.ts';
import { IommuError } from '../errno/error.ts';
import type { Steps } from '../schedule/step.ts';
import { VFIO_MIGRATION_P2P, VFIO_MIGRATION_PRE_COPY, VFIO_MIGRATION_STOP_COPY } from '../uapi/vfio.ts';
import type { MigrationDriver, ResumeStream, SaveStream } from './migration-driver.ts';

/** How a device migrates. */
export interface DmaDeviceDriverOptions {
  /** VFIO_MIGRATION_*: STOP_COPY 1, P2P 2, PRE_COPY 4. Default all. */
  readonly flags?: number | undefined;
  /** How a read in pre-copy says that there is nothing now. Default ENOMSG. */
  readonly temporaryEnd?: 'ENOMSG' | 'zero' | undefined;
}

const ALL = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

/**
 * The migration of a DmaDevice: what each arc of the state machine makes it do (docs/device-state.md, last table). P2P
 * states quiesce it: peers and guest reach it, it begins no DMA. An arc waits for DMA under way; taken whole it is EBUSY
 * then, and the device as before.
 *
 * RESUMING to STOP puts the state in place, or is EINVAL where the stream was cut short, damaged or of another device.
 * The device is then as it was, still in RESUMING; every further write and way out is EINVAL for the same reason, until a
 * reset.
 */
export class DmaDeviceDriver implements MigrationDriver {
  readonly flags: number;
  readonly temporaryEnd: 'ENOMSG' | 'zero';
  readonly #device: DmaDevice;
  /** How the last arc left it. */
  #activity: Activity = 'running';
  #save: DeviceSaveStream | undefined;
  #load: LoadStream | undefined;
  #refusal: unknown;

  /** EBUSY: the device does not run, as one does that is opened. */
  constructor(device: DmaDevice, options: DmaDeviceDriverOptions = {}) {
    if (device.activity !== 'running') {
      throw new IommuError('EBUSY', 'driver', `the device is ${device.activity}; start it first`);
    }
    this.#device = device;
    this.flags = options.flags ?? ALL;
    this.temporaryEnd = options.temporaryEnd ?? 'ENOMSG';
  }

  dataSize(): number {
    return this.#device.stopCopyBytes;
  }

  reset(): void {
    this.#device.reset();
    this.#activity = 'running';
    this.#save = this.#load = this.#refusal = undefined;
  }

  close(): void {
    this.#save?.close();
    this.#load?.close();
    this.#save = this.#load = undefined;
  }

  /** Whether somebody else has started, stopped or reset the device since the last arc. */
  get inError(): boolean {
    return this.#device.activity !== this.#activity;
  }

  stopToRunning(): void {
    this.#start();
  }

  stopToStopCopy(): SaveStream {
    return this.#saving(false);
  }

  stopToResuming(): ResumeStream {
    const stream = this.#device.load();
    this.#load = stream;
    return {
      write: (from) => {
        this.#checkRefusal();
        return stream.write(from);
      },
    };
  }

  stopToRunningP2p(): Steps<void> {
    return this.#settle('quiesced', this.#device.quiesceSteps());
  }

  runningToStop(): Steps<void> {
    return this.#settle('stopped', this.#device.stopSteps());
  }

  runningToRunningP2p(): Steps<void> {
    return this.#settle('quiesced', this.#device.quiesceSteps());
  }

  runningToPreCopy(): SaveStream {
    return this.#saving(true);
  }

  stopCopyToStop(): void {
    this.#endSave();
  }

  resumingToStop(): void {
    this.#checkRefusal();
    try {
      this.#load!.finish();
    } catch (error) {
      this.#refusal = error;
      throw error;
    }
    this.#load = undefined;
  }

  runningP2pToStop(): Steps<void> {
    return this.#settle('stopped', this.#device.stopSteps());
  }

  runningP2pToRunning(): void {
    this.#start();
  }

  runningP2pToPreCopyP2p(): SaveStream {
    return this.#saving(true);
  }

  preCopyToRunning(): void {
    this.#endSave();
  }

  preCopyToStopCopy(): Steps<void> {
    return this.#stopCopySteps();
  }

  preCopyToPreCopyP2p(): Steps<void> {
    return this.#settle('quiesced', this.#device.quiesceSteps());
  }

  preCopyP2pToStopCopy(): Steps<void> {
    return this.#stopCopySteps();
  }

  preCopyP2pToRunningP2p(): void {
    this.#endSave();
  }

  preCopyP2pToPreCopy(): void {
    this.#start();
  }

  #start(): void {
    this.#device.start();
    this.#activity = 'running';
  }

  /** Takes the device to `activity`; where that fails or is given up it goes on as before. */
  *#settle(activity: Activity, steps: Steps<void>): Steps<void> {
    const device = this.#device;
    const before = device.activity;
    try {
      yield* steps;
      this.#activity = activity;
    } finally {
      if (this.#activity !== activity && device.activity !== before) {
        if (before === 'running') device.start();
        else device.stop();
      }
    }
  }

  *#stopCopySteps(): Steps<void> {
    yield* this.#settle('stopped', this.#device.stopSteps());
    this.#save!.stopCopy();
  }

  #saving(preCopy: boolean): SaveStream {
    const stream = this.#device.save({ preCopy });
    this.#save = stream;
    const read = (into: Uint8Array) => stream.read(into);
    return this.flags & VFIO_MIGRATION_PRE_COPY ? { read, precopyInfo: () => stream.precopyInfo } : { read };
  }

  #endSave(): void {
    this.#save!.close();
    this.#save = undefined;
  }

  #checkRefusal(): void {
    if (this.#refusal) throw this.#refusal;
  }
}
