import { changeMappings, GuestMappings } from '../workload/guest-mappings.ts';
import { FIRST_READ_OP, type EventBatch } from '../workload/recording.ts';
import type { Oracle } from './oracle.ts';

/** The rights that DMA needs of a mapping, as `GuestMapping.access` has them. */
const READS = 1;
const WRITES = 2;

/**
 * Where the DMA of a recording with mappings lands: each event by the mappings of its moment, told to an oracle by guest-physical page.
 * Shares nothing with the core, whose page tables and IOTLB have to come to the same.
 */
export class MappedLanding {
  readonly #oracle: Oracle;
  readonly #mappings = new GuestMappings();
  #faults = 0;

  /** `oracle`: over the pages of guest RAM. */
  constructor(oracle: Oracle) {
    this.#oracle = oracle;
  }

  /** DMA that met an IOVA without a mapping, or without the right; what came before that in its range has landed. */
  get faults(): number {
    return this.#faults;
  }

  /** The mappings of this moment. */
  get mappings(): GuestMappings {
    return this.#mappings;
  }

  /** Events [begin, end) happen. */
  events(batch: EventBatch, begin: number, end: number): void {
    const { op, device, address, length } = batch;
    for (let i = begin; i < end; i++) {
      if (changeMappings(this.#mappings, batch, i)) continue;
      const writes = op[i] < FIRST_READ_OP;
      const reaches = this.#mappings.translate(
        device[i],
        address[i],
        length[i],
        writes ? WRITES : READS,
        (gpa, bytes) => {
          if (writes) this.#oracle.landBytes(gpa, bytes);
        },
      );
      if (!reaches) this.#faults++;
    }
  }
}
