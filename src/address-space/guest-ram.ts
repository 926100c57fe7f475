import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { WasmAddressSpace } from './wasm-address-space.ts';

/** Memory of a guest that lies in a core. */
export interface GuestRamOptions {
  /** Bytes, a multiple of 4 KiB. */
  readonly length: Address;
  /** Physical address of its first byte, a multiple of 4 KiB. Default 0. */
  readonly pa?: Address;
  /** Virtual address in the process that holds the guest. Default: `pa`. */
  readonly va?: Address;
}

/**
 * Memory of a guest in a core, so that the IOMMU can walk tables that the guest keeps in it. An address space as well: what it maps is
 * itself.
 */
export class GuestRam extends WasmAddressSpace {
  readonly handle: number;
  readonly pa: Address;
  /** Bytes. */
  readonly length: number;
  readonly #core: Instance;

  /** @internal */
  constructor(core: Instance, options: GuestRamOptions) {
    const op = 'ram';
    const length = Number(checkAddress(op, 'length', options.length));
    const pa = checkAddress(op, 'pa', options.pa ?? 0);
    if (length > 2 ** 32 - 2 ** 20) {
      throw new IommuError('EINVAL', op, `length is ${length}; it must be below 4 GiB, as a core is`);
    }
    core.store64(layout.MAIL0, pa);
    const handle = core.check(core.raw.ramCreate(core.base, length), op, (errno) =>
      errno === layout.EINVAL ? `pa ${pa} and length ${length} must be multiples of 4096` : undefined,
    );
    const offset = core.base + core.load32(core.slot(handle, op) + layout.RAM_DATA);
    super({ memory: core.hostMemory, offset, length, pa, va: options.va ?? pa });
    this.handle = handle;
    this.pa = pa;
    this.length = length;
    this.#core = core;
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Gives its memory back. EBUSY: an IOMMU reads tables in it. */
  close(): void {
    this.#core.check(this.#core.raw.ramDestroy(this.#core.base, this.handle), 'ram.close');
  }
}
