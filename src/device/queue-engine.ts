import { READ, WRITE } from '../iommu/access.ts';
import { IommuError } from '../errno/error.ts';
import type { Steps } from '../schedule/step.ts';
import type { Address } from '../wasm/address.ts';
import {
  COMPLETION,
  COMPLETION_BYTES,
  COMPLETION_OFFSET,
  DESCRIPTOR_BYTES,
  INTERRUPT,
  MAX_TRANSFER,
  TO_IOVA,
} from './descriptor.ts';
import type { DmaChannel, DmaOutcome } from './dma-channel.ts';
import type { LocalMemory } from './local-memory.ts';
import type { Registers } from './registers.ts';

/** Bytes of a queue's hidden state: 8 words, as drawn at QueueEngine. */
export const ENGINE_BYTES = 32;

/** What the engine does next with the descriptor at the head. */
const PHASE = { fetch: 0, move: 1, complete: 2 } as const;

/** Words of the hidden state. */
const WORD = { phase: 0, iovaLow: 1, iovaHigh: 2, local: 3, length: 4, flags: 5, status: 6, moved: 7 } as const;

const STATUS: Record<Exclude<DmaOutcome, 'void'>, number> = {
  done: COMPLETION.done,
  fault: COMPLETION.fault,
  unclaimed: COMPLETION.unclaimed,
};

function addressOf(value: bigint): Address {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Whether a descriptor with these words can be executed with `memory`. */
function isValid(words: Uint32Array, memory: LocalMemory): boolean {
  const length = words[WORD.length];
  const end = ((BigInt(words[WORD.iovaHigh]) << 32n) | BigInt(words[WORD.iovaLow])) + BigInt(length);
  return (
    length >= 1 &&
    length <= MAX_TRANSFER &&
    memory.has(words[WORD.local], length) &&
    (words[WORD.flags] & ~(TO_IOVA | INTERRUPT)) === 0 &&
    end <= 1n << 64n
  );
}

/**
 * Executes the descriptors of one queue: fetch, move, complete, each a DMA of its own. Between two of them it can be
 * held; what it has fetched and not completed is state that no register shows:
 *
 *     0       4        8        12      16      20      24      28      32
 *     ┌───────┬────────┬────────┬───────┬───────┬───────┬───────┬───────┐
 *     │ phase │ iova u64        │ local │ length│ flags │ status│ moved │    all 0 in phase 0
 *     └───────┴────────┴────────┴───────┴───────┴───────┴───────┴───────┘
 */
export class QueueEngine {
  readonly #queue: number;
  readonly #registers: Registers;
  readonly #memory: LocalMemory;
  readonly #channel: DmaChannel;
  readonly #words = new Uint32Array(ENGINE_BYTES / 4);
  #executing = false;

  constructor(queue: number, registers: Registers, memory: LocalMemory, channel: DmaChannel) {
    this.#queue = queue;
    this.#registers = registers;
    this.#memory = memory;
    this.#channel = channel;
  }

  /** Whether it could go on now: the device runs, the queue is on, and there is something to do. */
  get hasWork(): boolean {
    const failed = (this.#registers.get('status') >>> this.#queue) & 1;
    return this.#channel.open && this.#registers.get('control') === 1 && !failed && !this.#isDrained;
  }

  /** Whether it has nothing to execute and nothing under way. */
  get isEmpty(): boolean {
    return this.#isDrained && this.#channel.underWay === 0;
  }

  get underWay(): number {
    return this.#channel.underWay;
  }

  /** Executes descriptors until there is no more work. EBUSY: this queue's steps are being taken elsewhere. */
  *steps(): Steps<void> {
    if (this.#executing) {
      throw new IommuError('EBUSY', 'device.queueSteps', `queue ${this.#queue} is being executed already`);
    }
    this.#executing = true;
    try {
      while (this.hasWork) yield* this.#phaseSteps();
    } finally {
      this.#executing = false;
    }
  }

  /** Forgets what it was doing. */
  reset(): void {
    this.#words.fill(0);
  }

  /** Its hidden state. */
  save(): Uint8Array {
    const image = new Uint8Array(ENGINE_BYTES);
    const view = new DataView(image.buffer);
    this.#words.forEach((word, i) => view.setUint32(4 * i, word, true));
    return image;
  }

  /**
   * Why `image` (ENGINE_BYTES) can't be the hidden state of this queue of `size` descriptors; undefined where it can.
   */
  refusal(image: Uint8Array, size: number): string | undefined {
    const words = wordsOf(image);
    const phase = words[WORD.phase];
    if (phase === PHASE.fetch) return words.some((word) => word !== 0) ? 'a fetched descriptor in phase 0' : undefined;
    if (phase > PHASE.complete) return `phase ${phase}`;
    if (size === 0) return `phase ${phase} in a queue that is off`;
    if (phase === PHASE.move) return isValid(words, this.#memory) ? undefined : 'a descriptor that is not valid';
    const status = words[WORD.status];
    return status >= COMPLETION.done && status <= COMPLETION.unclaimed ? undefined : `completion status ${status}`;
  }

  /** Takes over an image that `refusal` has passed. */
  load(image: Uint8Array): void {
    this.#words.set(wordsOf(image));
  }

  get #isDrained(): boolean {
    const { head, tail } = this.#places;
    return head === tail && this.#words[WORD.phase] === PHASE.fetch;
  }

  get #places(): { head: number; tail: number } {
    const [head, tail] = (['head', 'tail'] as const).map((name) => this.#registers.getQueue(this.#queue, name));
    return { head, tail };
  }

  /** IOVA of byte `offset` of the descriptor at the head. */
  #descriptorIova(offset: number): Address {
    const [low, high] = (['baseLow', 'baseHigh'] as const).map((name) => this.#registers.getQueue(this.#queue, name));
    const base = (BigInt(high) << 32n) | BigInt(low);
    return addressOf(base + BigInt(this.#places.head * DESCRIPTOR_BYTES + offset));
  }

  #phaseSteps(): Steps<void> {
    const phase = this.#words[WORD.phase];
    if (phase === PHASE.fetch) return this.#fetchSteps();
    return phase === PHASE.move ? this.#moveSteps() : this.#completeSteps();
  }

  *#fetchSteps(): Steps<void> {
    const bytes = new Uint8Array(DESCRIPTOR_BYTES);
    const outcome = yield* this.#channel.transferSteps(this.#descriptorIova(0), bytes.length, READ, (bus, pa, at, n) =>
      bus.read(pa, bytes.subarray(at, at + n)),
    );
    if (outcome === 'void') return;
    if (outcome !== 'done') return this.#fail();
    const words = this.#words;
    words.set(wordsOf(bytes.subarray(0, 20)), WORD.iovaLow);
    words[WORD.phase] = PHASE.move;
    if (!isValid(words, this.#memory)) this.#moved(COMPLETION.invalid);
  }

  *#moveSteps(): Steps<void> {
    const words = this.#words;
    const iova = addressOf((BigInt(words[WORD.iovaHigh]) << 32n) | BigInt(words[WORD.iovaLow]));
    const local = words[WORD.local];
    const out = (words[WORD.flags] & TO_IOVA) !== 0;
    const memory = this.#memory;
    const outcome = yield* this.#channel.transferSteps(
      iova,
      words[WORD.length],
      out ? WRITE : READ,
      (bus, pa, at, n) =>
        out ? bus.write(pa, memory.view(local + at, n)) : memory.fill(local + at, n, (bytes) => bus.read(pa, bytes)),
    );
    if (outcome !== 'void') this.#moved(STATUS[outcome]);
  }

  *#completeSteps(): Steps<void> {
    const completion = new Uint8Array(COMPLETION_BYTES);
    const view = new DataView(completion.buffer);
    view.setUint32(0, this.#words[WORD.status], true);
    view.setUint32(4, this.#words[WORD.moved], true);
    const iova = this.#descriptorIova(COMPLETION_OFFSET);
    const outcome = yield* this.#channel.transferSteps(iova, COMPLETION_BYTES, WRITE, (bus, pa, at, n) =>
      bus.write(pa, completion.subarray(at, at + n)),
    );
    if (outcome === 'void') return;
    if (outcome !== 'done') return this.#fail();
    const registers = this.#registers;
    const next = (this.#places.head + 1) % registers.getQueue(this.#queue, 'size');
    registers.setQueue(this.#queue, 'head', next);
    if (this.#words[WORD.flags] & INTERRUPT) this.#raise('interruptStatus');
    this.#words.fill(0);
  }

  /** The bytes of the descriptor have been moved, or can't be. */
  #moved(status: number): void {
    this.#words[WORD.phase] = PHASE.complete;
    this.#words[WORD.status] = status;
    this.#words[WORD.moved] = status === COMPLETION.done ? this.#words[WORD.length] : 0;
  }

  /** The queue itself can't be read or written: it stops until the guest clears its bit. */
  #fail(): void {
    this.#raise('status');
  }

  #raise(name: 'status' | 'interruptStatus'): void {
    this.#registers.set(name, this.#registers.get(name) | (1 << this.#queue));
  }
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}
