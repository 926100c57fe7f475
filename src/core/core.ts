import { GuestRam, type GuestRamOptions } from '../address-space/guest-ram.ts';
import { Bitmap, type BitmapOptions } from '../bitmap/bitmap.ts';
import { DeviceLog, type DeviceLogOptions } from '../device/device-log.ts';
import { DmaDevice, type DmaDeviceOptions } from '../device/dma-device.ts';
import { IommuError } from '../errno/error.ts';
import { Iommu } from '../iommu/iommu.ts';
import type { IommuOptions } from '../iommu/iommu-options.ts';
import { parseSize } from '../units/units.ts';
import type { HostMemory, Instance } from '../wasm/instance.ts';
import { instantiate, type CoreOptions } from '../wasm/instantiate.ts';
import { readSnapshot, writeSnapshot } from './snapshot.ts';

/** Where a core lies. */
export interface OpenOptions extends Omit<CoreOptions, 'memory'> {
  /** Bytes of a memory of its own, also as people write them (`64MiB`), a multiple of 1 MiB; or a host's memory. Default 64 MiB. */
  readonly memory?: number | string | HostMemory;
}

/** One core: a stretch of memory with everything in it that its methods make. */
export class Core {
  readonly #instance: Instance;
  #open = true;

  /** @internal */
  constructor(instance: Instance) {
    this.#instance = instance;
  }

  /** An IOMMU; more than one may be made. EINVAL, ENOMEM. */
  iommu(options: IommuOptions = {}): Iommu {
    return new Iommu(this.#live('iommu'), options);
  }

  /** A bitmap with no page marked. EINVAL, ENOMEM. */
  bitmap(options: BitmapOptions): Bitmap {
    return new Bitmap(this.#live('bitmap'), options);
  }

  /** Memory of a guest, in which an IOMMU can walk its tables. EINVAL, ENOMEM. */
  ram(options: GuestRamOptions): GuestRam {
    return new GuestRam(this.#live('ram'), options);
  }

  /** A dirty log for a device; `iommu` is the one behind which it sits, where operations run step by step. EINVAL, ENOMEM. */
  deviceLog(options: DeviceLogOptions, iommu?: Iommu): DeviceLog {
    return new DeviceLog(this.#live('deviceLog'), options, iommu?.inFlight);
  }

  /** A device with registers, queues, DMA and local memory, whose state can be migrated. EINVAL, EEXIST, ENOMEM. */
  dmaDevice(options: DmaDeviceOptions): DmaDevice {
    return new DmaDevice(this.#live('dmaDevice'), options);
  }

  /** Bytes handed out and bytes there are, the core's own header included in both. */
  get usage(): { readonly usedBytes: number; readonly bytes: number } {
    const core = this.#live('usage');
    return { usedBytes: core.usedBytes, bytes: core.bytes };
  }

  /**
   * Everything in the core as bytes, the same at any base: IOTLBs, page tables, bitmaps, logs. The JavaScript objects
   * are not in it: they go on to be used after `load`.
   */
  save(): Uint8Array {
    return writeSnapshot(this.#live('save'));
  }

  /**
   * Puts back what `save` gave, in this core or in another of the same size where the same objects were made in the same
   * order. Objects made since are refused afterwards (EBADF). EINVAL: no snapshot, of another version or size, or damaged;
   * then nothing is changed.
   */
  load(snapshot: Uint8Array): void {
    readSnapshot(this.#live('load'), snapshot);
  }

  /** Ends its use, and that of everything in it (EBADF). In a host's memory its bytes may be used for something else. */
  close(): void {
    this.#live('close').close();
    this.#open = false;
  }

  #live(op: string): Instance {
    if (!this.#open) throw new IommuError('EBADF', op, 'the core was closed');
    return this.#instance;
  }
}

function memoryOf(memory: OpenOptions['memory'] = '64MiB'): CoreOptions['memory'] {
  if (typeof memory !== 'string') return memory;
  try {
    return parseSize(memory, 'memory');
  } catch (error) {
    throw new IommuError('EINVAL', 'open', (error as Error).message);
  }
}

/**
 * Opens a core, in a memory of its own or in a host's. EINVAL names the option that does not fit. Asynchronous so that a
 * platform may compile in the background.
 */
export async function open(options: OpenOptions = {}): Promise<Core> {
  return new Core(instantiate({ ...options, memory: memoryOf(options.memory) }));
}
