import { FIRST_MAPPING_OP, UNMAP_OP, type EventBatch } from './recording.ts';

/** A mapping of a device's address space, as the guest's own IOMMU driver makes it. All are multiples of 4096. */
export interface GuestMapping {
  readonly iova: number;
  /** Guest-physical address of its first byte. */
  readonly gpa: number;
  /** Bytes, above 0. */
  readonly length: number;
  /** What devices may do: 1 read, 2 write, 3 both. */
  readonly access: number;
}

/** The mappings of each device at a moment of a recording: plain intervals, and nothing of an IOMMU's page tables. */
export class GuestMappings {
  /** Per device, ascending, without overlap. */
  readonly #spaces: GuestMapping[][] = [];

  /** Maps; false, with nothing changed, where something is mapped there. */
  map(device: number, mapping: GuestMapping): boolean {
    const space = (this.#spaces[device] ??= []);
    const at = firstEndingBehind(space, mapping.iova);
    if (at < space.length && space[at].iova < mapping.iova + mapping.length) return false;
    space.splice(at, 0, mapping);
    return true;
  }

  /** Unmaps [iova, iova + length), parts of mappings too; false, with nothing changed, where not all of it is mapped. */
  unmap(device: number, iova: number, length: number): boolean {
    const space = this.#spaces[device] ?? [];
    const end = iova + length;
    const from = firstEndingBehind(space, iova);
    let to = from;
    let covered = iova;
    while (to < space.length && covered < end && space[to].iova <= covered) covered = endOf(space[to++]);
    if (covered < end) return false;
    const parts = [part(space[from], space[from].iova, iova), part(space[to - 1], end, endOf(space[to - 1]))];
    space.splice(from, to - from, ...parts.filter(({ length: bytes }) => bytes > 0));
    return true;
  }

  /**
   * What a DMA to [iova, iova + length) reaches, in guest-physical pieces, up to where it faults: what comes before has landed.
   * False: it faults, for want of a mapping or of the right (`access`: 1 read, 2 write).
   */
  translate(
    device: number,
    iova: number,
    length: number,
    access: number,
    reach: (gpa: number, length: number) => void,
  ): boolean {
    const space = this.#spaces[device] ?? [];
    const end = iova + length;
    let at = iova;
    for (let i = firstEndingBehind(space, iova); at < end; i++) {
      const mapping = space[i];
      if (mapping === undefined || mapping.iova > at || (mapping.access & access) !== access) return false;
      const stop = Math.min(end, endOf(mapping));
      reach(mapping.gpa + (at - mapping.iova), stop - at);
      at = stop;
    }
    return true;
  }

  /** What of [iova, iova + length) is mapped with the right `access` (1 read, 2 write), in guest-physical pieces; gaps are passed over. */
  pieces(
    device: number,
    iova: number,
    length: number,
    access: number,
    found: (gpa: number, length: number) => void,
  ): void {
    const space = this.#spaces[device] ?? [];
    const end = iova + length;
    for (let i = firstEndingBehind(space, iova); i < space.length && space[i].iova < end; i++) {
      if ((space[i].access & access) !== access) continue;
      const { gpa, length: bytes } = part(space[i], Math.max(iova, space[i].iova), Math.min(end, endOf(space[i])));
      found(gpa, bytes);
    }
  }

  /** All mappings of a device, ascending. */
  of(device: number): readonly GuestMapping[] {
    return this.#spaces[device] ?? [];
  }

  /** Devices that have ever had a mapping are numbered below this. */
  get devices(): number {
    return this.#spaces.length;
  }
}

/** Maps or unmaps as event `i` says; false where it is a DMA. Events of a recording fit what is mapped: its reader checks that. */
export function changeMappings(mappings: GuestMappings, batch: EventBatch, i: number): boolean {
  const { op, device, address: iova, length } = batch;
  if (op[i] < FIRST_MAPPING_OP) return false;
  if (op[i] === UNMAP_OP) mappings.unmap(device[i], iova[i], length[i]);
  else {
    const { gpa, access } = batch.mapping!;
    mappings.map(device[i], { iova: iova[i], gpa: gpa[i], length: length[i], access: access[i] });
  }
  return true;
}

function endOf({ iova, length }: GuestMapping): number {
  return iova + length;
}

/** What of `mapping` lies in [from, to). */
function part(mapping: GuestMapping, from: number, to: number): GuestMapping {
  return { ...mapping, iova: from, gpa: mapping.gpa + (from - mapping.iova), length: to - from };
}

/** Index of the first mapping that ends behind `iova`, or the number of mappings. */
function firstEndingBehind(space: readonly GuestMapping[], iova: number): number {
  let low = 0;
  let high = space.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(space[middle]) <= iova) low = middle + 1;
    else high = middle;
  }
  return low;
}
