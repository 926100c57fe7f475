/**
 * DMA that has been translated and has not landed yet, in order of translation. What completes an invalidation waits for
 * everything translated before it (SMMUv3, IHI 0070, 3.21; Intel VT-d, section 6.5.2.11 on queued wait descriptors).
 */
export class InFlight {
  #next = 0;
  readonly #pending = new Set<number>();

  /** A DMA has been translated; the ticket that `land` takes. */
  translated(): number {
    this.#pending.add(this.#next);
    return this.#next++;
  }

  /** The DMA with this ticket has landed, or was given up. */
  land(ticket: number): void {
    this.#pending.delete(ticket);
  }

  /** Whether nothing is under way. */
  get idle(): boolean {
    return this.#pending.size === 0;
  }

  /** A mark of this moment, for `landedBefore`. */
  now(): number {
    return this.#next;
  }

  /** Whether all DMA that was translated before `mark` has landed. */
  landedBefore(mark: number): boolean {
    for (const ticket of this.#pending) {
      // Tickets lie in the set in ascending order: the first one is the oldest.
      return ticket >= mark;
    }
    return true;
  }
}
