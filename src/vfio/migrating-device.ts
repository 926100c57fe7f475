import type { Core } from '../core/core.ts';
import type { DmaDevice, DmaDeviceOptions } from '../device/dma-device.ts';
import type { Iommu } from '../iommu/iommu.ts';
import { VfioDevice, type VfioDeviceOptions } from './device.ts';
import { IDEAL_DEVICE, type DeviceProfile } from './device-profile.ts';
import { DmaDeviceDriver, type DmaDeviceDriverOptions } from './dma-device-driver.ts';

/** A device, how it migrates, and where its user is. */
export interface MigratingDeviceOptions
  extends DmaDeviceOptions, DmaDeviceDriverOptions, Omit<VfioDeviceOptions, 'migration' | 'logging'> {
  /** What its dirty logging can do; null: it has none. Default IDEAL_DEVICE. */
  readonly logging?: DeviceProfile | null;
  /** The IOMMU behind which it sits; a REPORT then waits until DMA that was logged has landed. */
  readonly iommu?: Iommu;
}

/**
 * A whole device that migrates: registers, queues, DMA and local memory (`dma`, what the guest and its peers see) behind
 * the VFIO interface, which saves, resumes and logs it.
 */
export class MigratingDevice extends VfioDevice {
  readonly dma: DmaDevice;

  /** EINVAL, ENOMEM, EEXIST as for `core.dmaDevice`; EINVAL: migration flags that no device has. */
  constructor(core: Core, options: MigratingDeviceOptions) {
    const { logging: profile = IDEAL_DEVICE, requester, iommu, ...rest } = options;
    const dma = core.dmaDevice(options);
    try {
      super({
        ...rest,
        migration: new DmaDeviceDriver(dma, options),
        ...(profile && { logging: { core, requester, iommu, profile } }),
      });
    } catch (error) {
      dma.close();
      throw error;
    }
    this.dma = dma;
  }

  /** Closes it, and the device with it. The requester stays. EBADF: it was closed before. */
  override close(): void {
    super.close();
    this.dma.close();
  }
}
