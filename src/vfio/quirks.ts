import type { LinuxQuirk } from '../uapi/linux-quirk.ts';

/**
 * The quirks of VFIO device features (drivers/vfio/vfio_main.c, drivers/iommu/iommufd/iova_bitmap.c); each has a test
 * that shows both sides.
 */
export const VFIO_QUIRKS = [
  {
    name: 'log page size as a mask',
    strict: 'DMA_LOGGING_START with a page size that is no power of two is EINVAL.',
    'linux-6.12': 'The page size less 1 is a mask over iova and length; the device rounds down to a power of two.',
    test: 'log page size as a mask',
  },
  {
    name: 'empty log range',
    strict: 'DMA_LOGGING_START with a range of length 0 is EINVAL.',
    'linux-6.12': 'It logs nothing, except at iova 0, where it is the whole space.',
    test: 'empty log range',
  },
  {
    name: 'log bitmap that cannot be written',
    strict: 'DMA_LOGGING_REPORT is EFAULT, with nothing cleared.',
    'linux-6.12': 'Success: such pages of the bitmap are left out, and the bits that belonged there are lost.',
    test: 'log bitmap that cannot be written',
  },
] as const satisfies readonly LinuxQuirk[];
