import type { ErrnoCode } from '../errno/errno.ts';

/** Where an operation may be made to fail: an allocation, the pinning of pages, a call into the IOMMU's driver. */
export type FailPoint = 'allocate' | 'pin' | 'driver';

/** Asked at each such place; an errno makes it fail with that. */
export type Fail = (what: FailPoint) => ErrnoCode | undefined;
