import { WRITE } from '../iommu/access.ts';
import type { Requester } from '../iommu/requester.ts';
import type { Steps } from '../schedule/step.ts';
import { hex, type Address } from '../wasm/address.ts';
import type { Bus } from './bus.ts';

/** What all channels of a device share. */
export interface Gate {
  /** Whether DMA may start. What has started goes on. */
  open: boolean;
  /** Counts what makes DMA under way void: a reset, another state loaded. */
  epoch: number;
}

/**
 * How a DMA ended. `void`: it did not start, or what it was for is gone; nothing moved. `fault`: the IOMMU refused it;
 * nothing moved. `unclaimed`: nobody had some of the bytes that were to be read. A write that nobody takes is `done`
 * all the same: memory writes of PCI Express are posted requests, to which no answer comes back.
 */
export type DmaOutcome = 'done' | 'fault' | 'unclaimed' | 'void';

/** Moves the bytes of one extent: those from byte `at` of the DMA on are at physical address `pa`. False: unclaimed. */
export type Move = (bus: Bus, pa: Address, at: number, length: number) => boolean;

/** The DMA of one queue: one transfer at a time, through the IOMMU and onto the bus. */
export class DmaChannel {
  readonly #requester: Requester;
  readonly #bus: Bus;
  readonly #gate: Gate;
  #underWay = 0;

  constructor(requester: Requester, bus: Bus, gate: Gate) {
    this.#requester = requester;
    this.#bus = bus;
    this.#gate = gate;
  }

  /** Whether it may start DMA. */
  get open(): boolean {
    return this.#gate.open;
  }

  /** DMA that has been translated and has not landed. */
  get underWay(): number {
    return this.#underWay;
  }

  /** A DMA of `length` bytes (1 .. 2^20) as two steps, translation and landing, which calls `move` for each extent. */
  *transferSteps(iova: Address, length: number, access: number, move: Move): Steps<DmaOutcome> {
    const gate = this.#gate;
    const epoch = gate.epoch;
    let claimed = true;
    const dma = this.#requester.dmaSteps(iova, length, access, (extents) => {
      if (gate.epoch !== epoch) return;
      let at = 0;
      for (const extent of extents) {
        if (!move(this.#bus, extent.address, at, extent.length)) claimed = false;
        at += extent.length;
      }
    });
    // Up to its first step a DMA has done nothing: the gate is looked at when that step is taken, not when it is
    // announced.
    const wraps = BigInt(iova) + BigInt(length) > 1n << 64n;
    const announced = wraps ? undefined : dma.next();
    yield announced && !announced.done ? announced.value : { what: `translate ${hex(iova)} + ${length}` };
    if (!gate.open || gate.epoch !== epoch) return 'void';
    if (wraps) return 'fault';
    const landed = yield* this.#land(dma);
    if (gate.epoch !== epoch) return 'void';
    if (!landed) return 'fault';
    return claimed || access === WRITE ? 'done' : 'unclaimed';
  }

  *#land(dma: Steps<boolean>): Steps<boolean> {
    this.#underWay++;
    try {
      return yield* dma;
    } finally {
      this.#underWay--;
    }
  }
}
