/** Registers of the device: byte offsets in its BAR. All are u32, little-endian. */
export const REGISTER = {
  /** The device's type. Read-only. */
  id: 0x00,
  /** Bit 0: queues run. */
  control: 0x04,
  /** Bit q: queue q stopped on an error. Write 1 to clear: it goes on. */
  status: 0x08,
  /** Bit q: queue q has completed a descriptor that asked for an interrupt. Write 1 to clear. */
  interruptStatus: 0x0c,
  /** Bit q: interrupts of queue q are masked. */
  interruptMask: 0x10,
  /** How many queues there are. Read-only. */
  queues: 0x14,
  /** Pages of 4 KiB of local memory. Read-only. */
  memoryPages: 0x18,
  /** For the guest to use. */
  scratch: 0x1c,
} as const;

/** Registers of a queue, from QUEUE_BANK + q x QUEUE_STRIDE on. */
export const QUEUE_REGISTER = {
  /** IOVA of the descriptors. The queue's size and base can be written while it is empty only, and begin it anew. */
  baseLow: 0x00,
  baseHigh: 0x04,
  /** Descriptors that the queue has room for, 0 (off) to 65,536. */
  size: 0x08,
  /** The descriptor that the device executes next. Read-only. */
  head: 0x0c,
  /** The doorbell: the descriptor behind the last one to execute, below the size. */
  tail: 0x10,
} as const;

export const QUEUE_BANK = 0x100;
export const QUEUE_STRIDE = 0x20;
export const MAX_QUEUES = 16;
export const MAX_QUEUE_SIZE = 65536;

/** The registers have the first page of the BAR, local memory the rest. */
export const REGISTERS_BYTES = 4096;

export type RegisterName = keyof typeof REGISTER;
export type QueueRegisterName = keyof typeof QUEUE_REGISTER;

const QUEUE_NAMES = new Map<number, QueueRegisterName>(
  Object.entries(QUEUE_REGISTER).map(([name, offset]) => [offset, name as QueueRegisterName]),
);
const NAMES = new Map<number, RegisterName>(
  Object.entries(REGISTER).map(([name, offset]) => [offset, name as RegisterName]),
);

/** What registers of a device are fixed to. */
export interface FixedRegisters {
  readonly id: number;
  readonly queues: number;
  readonly memoryPages: number;
}

/** The registers of a device. Offsets without a register read as 0, and writes to them do nothing. */
export class Registers {
  readonly #words: Uint32Array;
  readonly #fixed: FixedRegisters;
  readonly #isEmpty: (queue: number) => boolean;

  /** `isEmpty`: whether a queue has nothing to execute and nothing under way. */
  constructor(fixed: FixedRegisters, isEmpty: (queue: number) => boolean) {
    this.#fixed = fixed;
    this.#isEmpty = isEmpty;
    this.#words = new Uint32Array((QUEUE_BANK + QUEUE_STRIDE * fixed.queues) / 4);
    this.reset();
  }

  /** Everything as at power-on. */
  reset(): void {
    this.#words.fill(0);
    const { id, queues, memoryPages } = this.#fixed;
    this.set('id', id);
    this.set('queues', queues);
    this.set('memoryPages', memoryPages);
  }

  get(name: RegisterName): number {
    return this.#words[REGISTER[name] / 4];
  }

  /** Sets a register as the device itself does, read-only ones included. */
  set(name: RegisterName, value: number): void {
    this.#words[REGISTER[name] / 4] = value;
  }

  getQueue(queue: number, name: QueueRegisterName): number {
    return this.#words[(QUEUE_BANK + QUEUE_STRIDE * queue + QUEUE_REGISTER[name]) / 4];
  }

  setQueue(queue: number, name: QueueRegisterName, value: number): void {
    this.#words[(QUEUE_BANK + QUEUE_STRIDE * queue + QUEUE_REGISTER[name]) / 4] = value;
  }

  /** The register at `offset`, a multiple of 4. */
  read(offset: number): number {
    return this.#words[offset / 4] ?? 0;
  }

  /** Writes the register at `offset`, a multiple of 4, as the guest does. What is out of its range changes nothing. */
  write(offset: number, value: number): void {
    const name = NAMES.get(offset);
    const queue = Math.floor((offset - QUEUE_BANK) / QUEUE_STRIDE);
    const queueName = QUEUE_NAMES.get((offset - QUEUE_BANK) % QUEUE_STRIDE);
    if (name) this.#writeGlobal(name, value);
    else if (queueName && queue >= 0 && queue < this.#fixed.queues) this.#writeQueue(queue, queueName, value);
  }

  /** All registers as they lie in the BAR. */
  save(): Uint8Array {
    const image = new Uint8Array(this.#words.length * 4);
    const view = new DataView(image.buffer);
    this.#words.forEach((word, i) => view.setUint32(4 * i, word, true));
    return image;
  }

  /** Why `image` is not what `save` of such a device gives; undefined where it is. */
  refusal(image: Uint8Array): string | undefined {
    if (image.length !== this.#words.length * 4) {
      return `there are ${image.length} bytes of registers; there must be ${this.#words.length * 4}`;
    }
    const other = new Registers(this.#fixed, this.#isEmpty);
    const view = new DataView(image.buffer, image.byteOffset, image.length);
    for (let i = 0; i < this.#words.length; i++) {
      const value = view.getUint32(4 * i, true);
      const right = other.#admits(4 * i, value);
      if (!right) return `the register at 0x${(4 * i).toString(16)} can't be 0x${value.toString(16)}`;
      other.#words[i] = value;
    }
    const beyond = Array.from({ length: this.#fixed.queues }, (_, q) => q).find((q) => !other.#hasPlaces(q));
    return beyond === undefined ? undefined : `head or tail of queue ${beyond} lies beyond its size`;
  }

  /** Takes over an image that `refusal` has passed. */
  load(image: Uint8Array): void {
    const view = new DataView(image.buffer, image.byteOffset, image.length);
    this.#words.forEach((_, i) => (this.#words[i] = view.getUint32(4 * i, true)));
  }

  get #queueBits(): number {
    return 2 ** this.#fixed.queues - 1;
  }

  #writeGlobal(name: RegisterName, value: number): void {
    if (name === 'control') this.set(name, value & 1);
    else if (name === 'status' || name === 'interruptStatus') this.set(name, this.get(name) & ~value);
    else if (name === 'interruptMask') this.set(name, value & this.#queueBits);
    else if (name === 'scratch') this.set(name, value);
  }

  #writeQueue(queue: number, name: QueueRegisterName, value: number): void {
    if (name === 'head') return;
    if (name === 'tail') {
      if (value < this.getQueue(queue, 'size')) this.setQueue(queue, 'tail', value);
      return;
    }
    if (!this.#isEmpty(queue) || (name === 'size' && value > MAX_QUEUE_SIZE)) return;
    this.setQueue(queue, name, value);
    this.setQueue(queue, 'head', 0);
    this.setQueue(queue, 'tail', 0);
  }

  /** Whether the word at `offset` may hold `value`. */
  #admits(offset: number, value: number): boolean {
    const name = NAMES.get(offset);
    if (name === 'scratch') return true;
    if (name === 'control') return value <= 1;
    if (name && name in this.#fixed) return value === this.#fixed[name as keyof FixedRegisters];
    if (name) return value <= this.#queueBits;
    const queueName = offset < QUEUE_BANK ? undefined : QUEUE_NAMES.get((offset - QUEUE_BANK) % QUEUE_STRIDE);
    if (queueName === 'baseLow' || queueName === 'baseHigh') return true;
    return queueName ? value <= MAX_QUEUE_SIZE : value === 0;
  }

  #hasPlaces(queue: number): boolean {
    const size = Math.max(this.getQueue(queue, 'size'), 1);
    return this.getQueue(queue, 'head') < size && this.getQueue(queue, 'tail') < size;
  }
}

/** The size of queue `queue` in what `save` gave. */
export function sizeInImage(image: Uint8Array, queue: number): number {
  const offset = QUEUE_BANK + QUEUE_STRIDE * queue + QUEUE_REGISTER.size;
  return new DataView(image.buffer, image.byteOffset, image.length).getUint32(offset, true);
}
