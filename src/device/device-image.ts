import { ENGINE_BYTES, type QueueEngine } from './queue-engine.ts';
import { sizeInImage, type Registers } from './registers.ts';

/** The state of a device beside its local memory: registers, and what its queues are at. */
export class DeviceImage {
  readonly #registers: Registers;
  readonly #engines: readonly QueueEngine[];

  constructor(registers: Registers, engines: readonly QueueEngine[]) {
    this.#registers = registers;
    this.#engines = engines;
  }

  /** Payload of the frame `registers`: all registers as they lie in the BAR. */
  saveRegisters(): Uint8Array {
    return this.#registers.save();
  }

  /** Payload of the frame `queues`: ENGINE_BYTES for each. */
  saveQueues(): Uint8Array {
    const image = new Uint8Array(ENGINE_BYTES * this.#engines.length);
    this.#engines.forEach((engine, q) => image.set(engine.save(), ENGINE_BYTES * q));
    return image;
  }

  /** Why these can't be the registers of this device; undefined where they can. */
  refuseRegisters(registers: Uint8Array): string | undefined {
    return this.#registers.refusal(registers);
  }

  /** Why these can't be its queues, with `registers`, which have been passed; undefined where they can. */
  refuseQueues(queues: Uint8Array, registers: Uint8Array): string | undefined {
    const right = ENGINE_BYTES * this.#engines.length;
    if (queues.length !== right) return `there are ${queues.length} bytes of queues; there must be ${right}`;
    for (const [q, engine] of this.#engines.entries()) {
      const refusal = engine.refusal(
        queues.subarray(ENGINE_BYTES * q, ENGINE_BYTES * (q + 1)),
        sizeInImage(registers, q),
      );
      if (refusal) return `queue ${q} has ${refusal}`;
    }
    return undefined;
  }

  /** Takes over what has been passed. */
  load(registers: Uint8Array, queues: Uint8Array): void {
    this.#registers.load(registers);
    this.#engines.forEach((engine, q) => engine.load(queues.subarray(ENGINE_BYTES * q, ENGINE_BYTES * (q + 1))));
  }
}
