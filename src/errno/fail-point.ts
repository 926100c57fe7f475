import type { ErrnoCode } from './errno.ts';
import { IommuError } from './error.ts';

/** Where an operation may be made to fail: an allocation, the pinning of pages, a call into the IOMMU's driver. */
export type FailPoint = 'allocate' | 'pin' | 'driver';

/** Asked at each such place; an errno makes it fail with that. */
export type Fail = (what: FailPoint) => ErrnoCode | undefined;

/** Throws where `fail` asks for it. */
export function mayFail(fail: Fail | undefined, op: string, what: FailPoint, of: string): void {
  const code = fail?.(what);
  if (code) throw new IommuError(code, op, `${of} failed, as the option 'fail' asked for`);
}
