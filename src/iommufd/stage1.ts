import type { NestedOptions } from '../iommu/nested-domain.ts';
import type { Endpoint } from './bind-options.ts';
import type { Context } from './context.ts';
import type { NestedDomain } from '../iommu/nested-domain.ts';
import type { NestingKind } from './bind-options.ts';
import type { UserPointer } from '../uapi/user-pointer.ts';

/** Structs of a driver in user memory. */
export interface DriverData {
  readonly type: number;
  /** Bytes of one struct, as the user has it. */
  readonly length: number;
  readonly pointer: UserPointer;
}

/** The 8 bytes at a guest-physical address, through stage 2; undefined where that leads to no memory of tables. */
export type ReadGuest = (ipa: bigint) => bigint | undefined;

/** What the user's data say of stage 1. */
export type Stage1 =
  | { readonly kind: 'translate'; readonly options: NestedOptions }
  /** Requests go through stage 2 alone. */
  | { readonly kind: 'bypass' }
  /** No request passes; `why` in words. */
  | { readonly kind: 'abort'; readonly why: string };

/** The driver's side of a nested HWPT. */
export interface Stage1Driver {
  readonly kind: NestingKind;
  /** What the user gave, decoded. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Whether it can be attached by PASID. */
  readonly pasids: boolean;
  /** The type of its invalidation commands; undefined: it has none. */
  readonly invalidateType: number | undefined;
  /** EINVAL: the device's IOMMU cannot do what the data ask for. EOPNOTSUPP: nothing is translated. */
  check(op: string, endpoint: Endpoint): void;
  /** Stage 1 as it is when a device like `endpoint` is led into it. EOPNOTSUPP: what the model lacks. */
  stage1(op: string, endpoint: Endpoint, read: ReadGuest): Stage1;
  /**
   * Runs command `index` of those at `data.pointer` on `domain`, undefined while no device is attached and nothing can be
   * cached. EFAULT, EINVAL, E2BIG, EOPNOTSUPP.
   */
  invalidate(op: string, context: Context, data: DriverData, index: number, domain: NestedDomain | undefined): void;
}
