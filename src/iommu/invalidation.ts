import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import type { FormatInfo } from './formats.ts';

/** How an invalidation of a range is sent. */
export interface InvalidateOptions {
  /** Keeps cached tables (VT-d IH, SMMU Leaf): right where no table was replaced or freed. Default false. */
  readonly leafOnly?: boolean;
  /**
   * The only leaf size that has changed, bytes: SMMU's TTL, or its stride without range commands. With `leafOnly`, Arm formats
   * and `invalidation: 'vendor'` alone; leaves of other levels may stay.
   */
  readonly leafSize?: number;
  /** Also invalidates the caches of devices (ATS). Default true; false forgets them. */
  readonly atc?: boolean;
}

/** The core's INVALIDATE_* for the options. EINVAL: a leaf size that is none, or without leafOnly. */
function invalidateFlags(op: string, format: FormatInfo, options: InvalidateOptions): number {
  const { leafOnly = false, leafSize, atc = true } = options;
  const flags = (leafOnly ? layout.INVALIDATE_LEAF_ONLY : 0) | (atc ? 0 : layout.INVALIDATE_NO_ATC);
  if (leafSize === undefined) return flags;
  const all = [...format.leafSizes, ...format.contiguousSizes];
  if (!leafOnly || format.granule === undefined || !all.includes(leafSize)) {
    const what = `leafSize is ${leafSize}`;
    throw new IommuError('EINVAL', op, `${what}; it must be a leaf size of an Arm format, and leafOnly be true`);
  }
  return flags | (Math.log2(leafSize) << layout.INVALIDATE_SIZE_SHIFT);
}

/** Invalidates [iova, iova + length) of the domain `domain`. EINVAL. */
export function invalidateRange(
  core: Instance,
  domain: number,
  format: FormatInfo,
  iova: Address,
  length: Address,
  options: InvalidateOptions,
): void {
  const op = 'domain.invalidate';
  const flags = invalidateFlags(op, format, options);
  const first = checkAddress(op, 'iova', iova);
  // All of 64 bits is 2^64 bytes long, one more than an Address can say.
  const whole = BigInt(first) === 0n && length === 2n ** 64n;
  const last = whole ? 2n ** 64n - 1n : lastOf(op, first, checkAddress(op, 'length', length));
  core.store64(layout.MAIL0, first);
  core.store64(layout.MAIL1, last);
  core.check(core.raw.domainInvalidateAs(core.base, domain, flags), op, (errno) =>
    errno === layout.EINVAL ? "leafSize needs an IOMMU with invalidation: 'vendor'" : undefined,
  );
}

/** Invalidates all that `form`, FORM_ASID or FORM_DOMAIN, means for the domain `domain`. */
export function invalidateForm(core: Instance, domain: number, op: string, form: number, atc = true): void {
  const flags = (form << layout.INVALIDATE_FORM_SHIFT) | (atc ? 0 : layout.INVALIDATE_NO_ATC);
  core.check(core.raw.domainInvalidateAs(core.base, domain, flags), op);
}
