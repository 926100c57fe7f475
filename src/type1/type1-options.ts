import type { AddressSpace } from '../address-space/address-space.ts';
import type { Fail } from '../errno/fail-point.ts';
import type { Quirks } from '../iommu/quirks.ts';

/** What a container is opened with. */
export interface Type1Options {
  /** The memory of the process that has it open. */
  readonly addressSpace: AddressSpace;
  /** Default strict; TYPE1_QUIRKS says what differs. */
  readonly quirks?: Quirks;
  /** Default 6.12; `next` has the errnos of later kernels, and mappings up to 2^64. */
  readonly uapi?: '6.12' | 'next';
  /** Most mappings (the kernel module's parameter of that name). Default 65,535. */
  readonly dmaEntryLimit?: number;
  /** Most pages of 4 KiB that may be pinned (RLIMIT_MEMLOCK). Default: no limit. */
  readonly lockedPagesLimit?: number;
  /** Fault injection. */
  readonly fail?: Fail;
}
