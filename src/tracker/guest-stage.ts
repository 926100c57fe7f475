import type { GuestRam } from '../address-space/guest-ram.ts';
import { READ, WRITE } from '../iommu/access.ts';
import type { Domain } from '../iommu/domain.ts';
import type { FormatName } from '../iommu/formats.ts';
import { GuestPageTable } from '../iommu/guest-page-table.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { NestedDomain } from '../iommu/nested-domain.ts';
import type { Requester } from '../iommu/requester.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';
import { FIRST_MAPPING_OP, FIRST_READ_OP, MAP_OP, type EventBatch } from '../workload/recording.ts';
import { TABLE_BYTES, tablesFor } from './guest-tables.ts';
import { MAX_REQUEST, postBatch } from './post-batch.ts';

/** Bits of an IOVA that both formats of stage 1 take with four levels. */
export const IOVA_BITS = 48;

export interface GuestStageOptions {
  readonly iommu: Iommu;
  /** Stage 2: all of guest RAM and `ram`, IPA = PA. */
  readonly parent: Domain;
  /** Holds the guest's tables and nothing else: `tableBytesFor(spaces)` bytes. */
  readonly ram: GuestRam;
  readonly format: FormatName;
  /** The IOVA space that each device ever has mappings in, below 2^48. */
  readonly spaces: readonly (readonly MappedSpan[])[];
}

/** A device of the workload, in an address space of its own. */
interface Translated {
  readonly table: GuestPageTable;
  readonly domain: NestedDomain;
  readonly requester: Requester;
}

/**
 * Stage 1 as a guest's IOMMU driver keeps it: a page table per device with leaves of 4 KiB, which the events of a recording fill and
 * empty. An unmap clears the entries and invalidates them before anything else happens. What finds no entry faults, without a record.
 */
export class GuestStage {
  readonly #options: GuestStageOptions;
  readonly #devices: Translated[] = [];
  /** Guest-physical address of each device's tables. */
  readonly #tables: number[] = [];

  constructor(options: GuestStageOptions) {
    this.#options = options;
    let gpa = Number(options.ram.pa);
    for (const spans of options.spaces) {
      this.#tables.push(gpa);
      gpa += TABLE_BYTES * tablesFor(spans);
    }
  }

  /** Events [begin, end) happen, each before the next; returns how many faults have been recorded, which stage 2 alone does. */
  feed(batch: EventBatch, begin: number, end: number): number {
    const { op, length } = batch;
    let from = begin;
    for (let i = begin; i < end; i++) {
      const maps = op[i] >= FIRST_MAPPING_OP;
      if (!maps && length[i] <= MAX_REQUEST) continue;
      this.#run(batch, from, i);
      if (maps) this.#change(batch, i);
      else this.#long(batch, i);
      from = i + 1;
    }
    return this.#run(batch, from, end);
  }

  close(): void {
    for (const device of this.#devices) {
      device?.requester.close();
      device?.domain.close();
    }
  }

  #run(batch: EventBatch, begin: number, end: number): number {
    postBatch(this.#requester, batch, begin, end, true);
    return this.#options.iommu.run();
  }

  /** An event of several requests: one that faults is the last. */
  #long({ device, op, address, length }: EventBatch, i: number): void {
    const { iommu } = this.#options;
    const requester = this.#requester(device[i]);
    const faults = () => iommu.faultCounters.silentAborts;
    for (let done = 0, before = faults(); done < length[i] && faults() === before; done += MAX_REQUEST) {
      const piece = Math.min(length[i] - done, MAX_REQUEST);
      requester.post(address[i] + done, piece, op[i] < FIRST_READ_OP ? WRITE : READ);
      iommu.run();
    }
  }

  #change({ device, op, address, length, mapping }: EventBatch, i: number): void {
    const { table, domain } = this.#device(device[i]);
    const [iova, bytes] = [address[i], length[i]];
    if (op[i] === MAP_OP) {
      // Neither format has a right to write alone.
      const access = mapping!.access[i] & WRITE ? READ | WRITE : READ;
      table.map({ iova, gpa: mapping!.gpa[i], length: bytes, access });
      return;
    }
    table.unmap(iova, bytes);
    domain.invalidate(iova, bytes);
  }

  readonly #requester = (index: number): Requester => this.#device(index).requester;

  #device(index: number): Translated {
    return this.#devices[index] ?? this.#add(index);
  }

  #add(index: number): Translated {
    const { iommu, parent, ram, format, spaces } = this.#options;
    const tables = { gpa: this.#tables[index], length: TABLE_BYTES * tablesFor(spaces[index]) };
    const table = new GuestPageTable({ format, inputBits: IOVA_BITS, memory: ram, tables });
    const shape = { format, root: table.root, inputBits: IOVA_BITS, signed: false, faults: { record: false } };
    const domain = iommu.nested(parent, shape);
    // Requester ids are of 16 bits; devices that share one are told apart by their streams all the same.
    const requester = iommu.attach(index & 0xffff, null);
    requester.attachTo(domain);
    return (this.#devices[index] = { table, domain, requester });
  }
}
