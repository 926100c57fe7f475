import { IommuError } from '../errno/error.ts';
import type { Requester } from '../iommu/requester.ts';
import { checkAddress, type Address } from '../wasm/address.ts';
import { dmaRw } from './dma-rw.ts';
import type { Type1Group } from './group.ts';
import { pinPages, unpinPages } from './pins.ts';
import type { Type1State } from './state.ts';

/** How a device is opened. */
export interface OpenDeviceOptions {
  /** Which one of an IOMMU-backed group's devices. Default the first. */
  readonly requesterId?: number;
  /** Told of a mapping that is about to go, while pages of it are pinned; it must unpin its own. Without it nothing can be pinned. */
  readonly dmaUnmap?: (iova: bigint, size: bigint) => void;
}

/** An open device of a group, as its driver sees the container (vfio_pin_pages and others, drivers/vfio/vfio_main.c). */
export class Type1Device {
  /** Its DMA through the IOMMU; undefined in an emulated group. */
  readonly requester: Requester | undefined;
  /** @internal */
  readonly dmaUnmap: OpenDeviceOptions['dmaUnmap'];
  readonly #state: Type1State;
  readonly #group: Type1Group;
  #open = true;

  /** @internal */
  constructor(state: Type1State, group: Type1Group, requester: Requester | undefined, options: OpenDeviceOptions) {
    this.#state = state;
    this.#group = group;
    this.requester = requester;
    this.dmaUnmap = options.dmaUnmap;
    if (options.dmaUnmap) state.devices.add(this);
  }

  /**
   * Pins `pages` pages of 4 KiB from `iova` on and returns their physical addresses. What is pinned is dirty, whatever `access` (READ 1, WRITE
   * 2, or both) says; the first success puts the device's group into pinned scope. In this order: EINVAL (no page, not aligned, no
   * `dmaUnmap`), E2BIG (more than 512), EACCES (version 1), EBUSY (invalid vaddrs), then page by page EINVAL (not mapped), EPERM (the mapping
   * lacks the access), EFAULT, ENOMEM; then nothing is pinned.
   */
  pinPages(iova: Address, pages: number, access: number): bigint[] {
    const op = 'type1.pinPages';
    const state = this.#live(op);
    if (!this.dmaUnmap) throw new IommuError('EINVAL', op, 'the device was opened without dmaUnmap, so it cannot pin');
    if (!Number.isInteger(access) || access < 0 || access > 3) {
      throw new IommuError('EINVAL', op, `access is ${access}; it must be READ 1, WRITE 2, or both`);
    }
    return pinPages(state, this.#group, op, { iova: BigInt(checkAddress(op, 'iova', iova)), pages }, access);
  }

  /** Undoes one pin of each of `pages` pages. EINVAL: one is not pinned (TYPE1_QUIRKS), and then none is unpinned; E2BIG, EACCES. */
  unpinPages(iova: Address, pages: number): void {
    const op = 'type1.unpinPages';
    unpinPages(this.#live(op), op, { iova: BigInt(checkAddress(op, 'iova', iova)), pages });
  }

  /**
   * Reads user memory into `data`, or writes `data` to it, by IOVA; a write makes the pages dirty that it touches. It may span mappings;
   * those before an error are done. EINVAL: no bytes, or nothing is mapped there; EBUSY: invalid vaddrs; EPERM: the mapping
   * lacks READ, which a write needs too, or WRITE; EFAULT.
   */
  dmaRw(iova: Address, data: Uint8Array, write: boolean): void {
    const op = 'type1.dmaRw';
    const state = this.#live(op);
    if (data.length === 0) throw new IommuError('EINVAL', op, 'data is empty; it must have at least one byte');
    dmaRw(state, op, BigInt(checkAddress(op, 'iova', iova)), data, write);
  }

  /** Closes it. What it has pinned stays pinned: unmapping it is EBUSY until someone unpins it. */
  close(): void {
    this.#open = false;
    this.#state.devices.delete(this);
    this.#group.devices.delete(this);
  }

  #live(op: string): Type1State {
    if (this.#open) return this.#state;
    throw new IommuError('EBADF', op, 'the device was closed');
  }
}
