/** Which side of the quirks a device takes: as a clean model would have it (the default), or as Linux 6.12 does. */
export type VfioQuirks = 'strict' | 'linux-6.12';

/** A place where Linux does what a clean model would not repeat. */
export interface VfioQuirk {
  readonly name: string;
  /** What happens with `quirks: 'strict'`. */
  readonly strict: string;
  /** What happens with `quirks: 'linux-6.12'`. */
  readonly 'linux-6.12': string;
  /** File of the test that shows both sides. */
  readonly test: string;
}

const TEST = 'test/vfio/quirks.test.ts';

/**
 * Every quirk of VFIO device features that is modelled (drivers/vfio/vfio_main.c, drivers/iommu/iommufd/iova_bitmap.c).
 */
export const VFIO_QUIRKS: readonly VfioQuirk[] = [
  {
    name: 'log-page-size-mask',
    strict: 'DMA_LOGGING_START: a page_size that is no power of two is EINVAL',
    'linux-6.12': 'page_size - 1 is taken as a mask over iova and length; the device rounds down to a power of two',
    test: TEST,
  },
  {
    name: 'empty-log-range',
    strict: 'DMA_LOGGING_START: a range of length 0 is EINVAL',
    'linux-6.12': 'a range of length 0 logs nothing, except at iova 0, where it is the whole space',
    test: TEST,
  },
  {
    name: 'unwritable-log-bitmap',
    strict: 'DMA_LOGGING_REPORT: a bitmap that is not writable is EFAULT, with nothing cleared',
    'linux-6.12': 'pages of the bitmap that are not writable are left out, and the bits that belonged there are lost',
    test: TEST,
  },
];
