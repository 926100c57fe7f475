import { FIRST_READ_OP, type EventBatch } from '../workload/recording.ts';
import type { Landed } from './resizing.ts';

/** One DMA event, or what is left of it. */
export interface DmaEvent {
  readonly device: number;
  readonly writes: boolean;
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

/** Has a device do a DMA; returns how many of its bytes landed before it met a broken leaf, all where it met none. */
export type Attempt = (event: DmaEvent) => number;

interface Waiting extends DmaEvent {
  readonly sinceNs: number;
}

/** Event `i` of a batch. */
export function eventAt({ device, op, address, length }: EventBatch, i: number): DmaEvent {
  return { device: device[i], writes: op[i] < FIRST_READ_OP, address: address[i], length: length[i] };
}

/**
 * DMA that waits for a broken leaf, oldest first (the stall model of SMMUv3, IHI 0070). What comes later and meets no broken
 * leaf passes it. The limit of hardware (IDR5.STALL_MAX) is not part of this, nor is what software takes to answer.
 */
export class StalledDma {
  #waiting: Waiting[] = [];

  get depth(): number {
    return this.#waiting.length;
  }

  /** What is left of an event begins to wait. */
  add(event: DmaEvent, nowNs: number): void {
    this.#waiting.push({ ...event, sinceNs: nowNs });
  }

  /** Nothing is broken any more: all of it is tried again, and lands. Returns how long it had waited, ns, summed. */
  retry(nowNs: number, attempt: Attempt, landed: Landed): number {
    let waitedNs = 0;
    for (const event of this.#waiting) {
      const done = attempt(event);
      if (done !== event.length)
        throw new Error(`DMA to ${event.address} faulted again at its retry; this is a defect`);
      if (event.writes) landed(event.address, done);
      waitedNs += nowNs - event.sinceNs;
    }
    this.#waiting = [];
    return waitedNs;
  }
}
