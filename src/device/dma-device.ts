import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Requester } from '../iommu/requester.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { checkAddress, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import type { BarTarget, Bus } from './bus.ts';
import { DeviceImage } from './device-image.ts';
import type { DeviceParameters } from './device-parameters.ts';
import { DmaChannel, type Gate } from './dma-channel.ts';
import { LoadStream } from './load-stream.ts';
import { LocalMemory } from './local-memory.ts';
import { QueueEngine } from './queue-engine.ts';
import {
  MAX_QUEUES,
  QUEUE_BANK,
  QUEUE_REGISTER,
  QUEUE_STRIDE,
  REGISTER,
  REGISTERS_BYTES,
  Registers,
  type QueueRegisterName,
  type RegisterName,
} from './registers.ts';
import { SaveStream, stateBytesMost } from './save-stream.ts';

/** What a device is like. */
export interface DmaDeviceOptions {
  /** The device as the IOMMU sees it: its DMA goes there. */
  readonly requester: Requester;
  /** Where its DMA ends up once translated. */
  readonly bus: Bus;
  /** Physical address of its BAR: a page of registers, then local memory. Default: nobody can reach it by DMA. */
  readonly bar?: Address;
  /** Bytes of local memory, a multiple of 4096. */
  readonly memory: number;
  /** 1 .. 16. Default 1. */
  readonly queues?: number;
  /** Which model of a device it is, u32: the state of another type is refused. Default 1. */
  readonly type?: number;
}

/**
 * `running`; `quiesced`: it starts no DMA, and still answers (the P2P states of include/uapi/linux/vfio.h); `stopped`:
 * it does not answer either, and does not change.
 */
export type Activity = 'running' | 'quiesced' | 'stopped';

/**
 * A device with guest-visible registers, queues in guest memory, and local memory that DMA changes, whose state can be
 * moved to another one of its kind. It begins running, its queues off.
 */
export class DmaDevice implements BarTarget {
  readonly parameters: DeviceParameters;
  readonly requester: Requester;
  readonly memory: LocalMemory;
  readonly #core: Instance;
  readonly #bus: Bus;
  readonly #registers: Registers;
  readonly #engines: readonly QueueEngine[];
  readonly #image: DeviceImage;
  readonly #gate: Gate = { open: true, epoch: 0 };
  #activity: Activity = 'running';
  #session: SaveStream | LoadStream | null = null;
  #unanswered = 0;

  /** EINVAL, ENOMEM; EEXIST: the BAR overlaps another. @internal */
  constructor(core: Instance, options: DmaDeviceOptions) {
    const { requester, bus, bar, memory, queues = 1, type = 1 } = options;
    if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUES) {
      throw new IommuError('EINVAL', 'device', `queues is ${queues}; it must be an integer from 1 to ${MAX_QUEUES}`);
    }
    if (type >>> 0 !== type) {
      throw new IommuError('EINVAL', 'device', `type is ${type}; it must be an integer from 0 to 2^32 - 1`);
    }
    this.memory = new LocalMemory(core, memory);
    this.parameters = { type, queues, memory };
    this.requester = requester;
    this.#core = core;
    this.#bus = bus;
    const fixed = { id: type, queues, memoryPages: memory / layout.STATE_PAGE_BYTES };
    this.#registers = new Registers(fixed, (queue) => this.#engines[queue].isEmpty);
    this.#engines = Array.from({ length: queues }, (_, queue) => {
      return new QueueEngine(queue, this.#registers, this.memory, new DmaChannel(requester, bus, this.#gate));
    });
    this.#image = new DeviceImage(this.#registers, this.#engines);
    if (bar !== undefined) this.#placeBar(bar);
  }

  get activity(): Activity {
    return this.#activity;
  }

  /** Accesses to its BAR that it did not answer because it was stopped: what peers wrote there is lost. */
  get unanswered(): number {
    return this.#unanswered;
  }

  register(name: RegisterName): number {
    return this.#registers.get(name);
  }

  /** Writes a register as the guest does. EBUSY: the device is stopped. */
  writeRegister(name: RegisterName, value: number): void {
    this.#guestWrite(REGISTER[name], value);
  }

  queueRegister(queue: number, name: QueueRegisterName): number {
    return this.#registers.getQueue(this.#checkQueue('device.queueRegister', queue), name);
  }

  /**
   * Writes a register of a queue as the guest does; `tail` is the doorbell. EINVAL: no such queue; EBUSY: the device is
   * stopped.
   */
  writeQueueRegister(queue: number, name: QueueRegisterName, value: number): void {
    const bank = QUEUE_BANK + QUEUE_STRIDE * this.#checkQueue('device.writeQueueRegister', queue);
    this.#guestWrite(bank + QUEUE_REGISTER[name], value);
  }

  /** Sets a queue up and empties it: `size` descriptors at `iova`. EINVAL, EBUSY as `writeQueueRegister`. */
  setQueue(queue: number, iova: Address, size: number): void {
    const base = BigInt(checkAddress('device.setQueue', 'iova', iova));
    this.writeQueueRegister(queue, 'baseLow', Number(base & 0xffffffffn));
    this.writeQueueRegister(queue, 'baseHigh', Number(base >> 32n));
    this.writeQueueRegister(queue, 'size', size);
  }

  /** Whether an interrupt is pending that is not masked. */
  get interruptPending(): boolean {
    return (this.#registers.get('interruptStatus') & ~this.#registers.get('interruptMask')) !== 0;
  }

  /** Whether a queue could go on now. EINVAL. */
  hasWork(queue: number): boolean {
    return this.#engines[this.#checkQueue('device.hasWork', queue)].hasWork;
  }

  /**
   * Executes the descriptors of a queue, step by step, until it has no more or the device is quiesced. EINVAL, EBUSY.
   */
  queueSteps(queue: number): Steps<void> {
    return this.#engines[this.#checkQueue('device.queueSteps', queue)].steps();
  }

  /** Executes all that the queues have, whole. */
  run(): void {
    for (let busy = true; busy;) {
      busy = false;
      for (const engine of this.#engines) {
        if (!engine.hasWork) continue;
        busy = true;
        runWhole(engine.steps());
      }
    }
  }

  /** DMA that has been translated and has not landed. */
  get underWay(): number {
    return this.#engines.reduce((sum, engine) => sum + engine.underWay, 0);
  }

  /** From stopped, or running, to quiesced. EBUSY: DMA is under way, or stop-copy data are being read. */
  quiesce(): void {
    this.#checkIdle('device.quiesce');
    runWhole(this.quiesceSteps());
  }

  /** `quiesce`, step by step: no DMA starts from the first step on, and it waits for what has. */
  *quiesceSteps(): Steps<void> {
    yield { what: 'quiesce' };
    this.#checkFree('device.quiesce');
    this.#enter('quiesced');
    yield* this.#drainSteps();
  }

  /** Stops, for which it quiesces first. EBUSY: DMA is under way. */
  stop(): void {
    this.#checkIdle('device.stop');
    runWhole(this.stopSteps());
  }

  /** `stop`, step by step. */
  *stopSteps(): Steps<void> {
    if (this.#activity === 'running') {
      yield* this.quiesceSteps();
    }
    yield { what: 'stop', ready: () => this.underWay === 0 };
    this.#enter('stopped');
  }

  /** Runs again. EBUSY: stop-copy data are being read, or a state is being loaded. */
  start(): void {
    this.#checkFree('device.start');
    this.#enter('running');
  }

  /**
   * A device reset: registers and memory are as at first, it runs, and a stream that was open is closed. DMA under way
   * lands nowhere.
   */
  reset(): void {
    this.#session?.close();
    this.#gate.epoch++;
    this.#registers.reset();
    for (const engine of this.#engines) engine.reset();
    this.memory.clear();
    this.#enter('running');
  }

  /**
   * Begins to save its state: with `preCopy` while it runs, else at once what a stopped device has. EBUSY: another
   * stream is open, or without `preCopy` the device is not stopped. ENOMEM.
   */
  save(options: { readonly preCopy: boolean }): SaveStream {
    this.#checkSession('device.save');
    const source = {
      parameters: this.parameters,
      memory: this.memory,
      image: this.#image,
      isStopped: () => this.#activity === 'stopped',
      closed: () => (this.#session = null),
    };
    if (!options.preCopy && !source.isStopped()) {
      throw new IommuError(
        'EBUSY',
        'device.save',
        `the device is ${this.#activity}; without pre-copy it must be stopped`,
      );
    }
    const stream = new SaveStream(this.#core, source, options.preCopy);
    this.#session = stream;
    return stream;
  }

  /** Begins to take over the state of another device. EBUSY: it is not stopped, or another stream is open. ENOMEM. */
  load(): LoadStream {
    this.#checkSession('device.load');
    if (this.#activity !== 'stopped') {
      throw new IommuError('EBUSY', 'device.load', `the device is ${this.#activity}; it must be stopped`);
    }
    const stream = new LoadStream(this.#core, {
      parameters: this.parameters,
      image: this.#image,
      commit: ({ memory, registers, queues }) => {
        this.#gate.epoch++;
        this.memory.replace(memory);
        this.#image.load(registers, queues);
      },
      closed: () => (this.#session = null),
    });
    this.#session = stream;
    return stream;
  }

  /**
   * At most how many bytes would have to be read if it stopped now (VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
   * `stop_copy_length`).
   */
  get stopCopyBytes(): number {
    return this.#session instanceof SaveStream ? this.#session.stopCopyBytes : stateBytesMost(this.parameters);
  }

  /**
   * Reads its BAR, as a peer or the guest does. False where it does not answer: it is stopped, or that is no access to
   * registers.
   */
  barRead(offset: number, into: Uint8Array): boolean {
    return this.#eachPart(offset, into, (at, part) => {
      if (at >= REGISTERS_BYTES) part.set(this.memory.view(at - REGISTERS_BYTES, part.length));
      else this.#eachRegister(part, (view, i) => view.setUint32(i, this.#registers.read(at + i), true));
    });
  }

  /**
   * Writes to its BAR, as a peer or the guest does. False, and nothing is written, where it does not answer; as
   * `barRead`.
   */
  barWrite(offset: number, from: Uint8Array): boolean {
    return this.#eachPart(offset, from, (at, part) => {
      if (at >= REGISTERS_BYTES) this.memory.write(at - REGISTERS_BYTES, part);
      else this.#eachRegister(part, (view, i) => this.#registers.write(at + i, view.getUint32(i, true)));
    });
  }

  /** Takes it away from the bus, closes an open stream and gives its memory back. The requester stays. */
  close(): void {
    this.#session?.close();
    this.#bus.remove(this);
    this.#gate.epoch++;
    this.#gate.open = false;
    this.memory.close();
  }

  #placeBar(bar: Address): void {
    try {
      this.#bus.place(bar, REGISTERS_BYTES + this.memory.bytes, this);
    } catch (error) {
      this.memory.close();
      throw error;
    }
  }

  #enter(activity: Activity): void {
    this.#activity = activity;
    this.#gate.open = activity === 'running';
  }

  *#drainSteps(): Steps<void> {
    yield { what: 'drain', ready: () => this.underWay === 0 };
  }

  #guestWrite(offset: number, value: number): void {
    if (this.#activity === 'stopped') {
      throw new IommuError('EBUSY', 'device.write', 'the device is stopped; its registers must stay as they are');
    }
    this.#registers.write(offset, value >>> 0);
  }

  #eachPart(offset: number, bytes: Uint8Array, move: (at: number, part: Uint8Array) => void): boolean {
    const inRegisters = Math.max(0, Math.min(bytes.length, REGISTERS_BYTES - offset));
    const aligned = inRegisters === 0 || (offset % 4 === 0 && inRegisters % 4 === 0);
    if (this.#activity === 'stopped') this.#unanswered++;
    const inside = offset >= 0 && offset + bytes.length <= REGISTERS_BYTES + this.memory.bytes;
    if (this.#activity === 'stopped' || !aligned || !inside) return false;
    if (inRegisters > 0) move(offset, bytes.subarray(0, inRegisters));
    if (inRegisters < bytes.length) move(offset + inRegisters, bytes.subarray(inRegisters));
    return true;
  }

  #eachRegister(part: Uint8Array, access: (view: DataView, i: number) => void): void {
    const view = new DataView(part.buffer, part.byteOffset, part.length);
    for (let i = 0; i < part.length; i += 4) access(view, i);
  }

  #checkQueue(op: string, queue: number): number {
    if (Number.isInteger(queue) && queue >= 0 && queue < this.#engines.length) return queue;
    throw new IommuError('EINVAL', op, `queue is ${queue}; the device has ${this.#engines.length}, from 0 on`);
  }

  #checkIdle(op: string): void {
    if (this.underWay === 0) return;
    throw new IommuError('EBUSY', op, `${this.underWay} DMA under way; take the steps of ${op}Steps among theirs`);
  }

  #checkSession(op: string): void {
    if (this.#session) throw new IommuError('EBUSY', op, 'a state stream of the device is open; close it first');
  }

  /** The device may leave `stopped`. */
  #checkFree(op: string): void {
    const session = this.#session;
    if (session instanceof LoadStream || session?.inStopCopy) {
      throw new IommuError(
        'EBUSY',
        op,
        'its state is being read or loaded, and must not change; close the stream first',
      );
    }
  }
}
