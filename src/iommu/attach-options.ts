import { IommuError } from '../errno/error.ts';
import * as layout from '../../assembly/layout.ts';

/** A cache of translations that a device has itself (PCIe ATS). */
export interface AtsOptions {
  /** A power of two. */
  readonly sets: number;
  readonly ways: number;
  /**
   * When its translation requests ask for write, which makes the page dirty: `on-write` (default) for a write alone, `always`
   * for reads too.
   */
  readonly requestWrite?: 'on-write' | 'always';
}

/** What a device is, as far as the IOMMU cares. */
export interface AttachOptions {
  /** A PCIe device: its requests can't stall. Default true. */
  readonly pcie?: boolean;
  /** A cache of its own. Default none. */
  readonly ats?: AtsOptions;
  /** Asks for pages that it misses, instead of giving the request up (PCIe PRI); with `ats` only. Default false. */
  readonly pri?: boolean;
}

/** The core's DEVICE_* for the options: of the device, and of its cache. EINVAL: options that exclude each other. */
export function deviceKinds(op: string, options: AttachOptions): { readonly device: number; readonly cache: number } {
  const { pcie = true, ats, pri = false } = options;
  const fail = (message: string): never => {
    throw new IommuError('EINVAL', op, message);
  };
  if (ats && !pcie) fail('ats is given for a device that is not PCIe; ATS is a part of PCIe');
  if (pri && !ats) fail('pri is true without ats; a device asks for pages when its own cache misses');
  const when = ats?.requestWrite ?? 'on-write';
  if (when !== 'on-write' && when !== 'always') {
    fail(`ats.requestWrite is '${String(when)}'; it must be 'on-write' or 'always'`);
  }
  const eager = when === 'always' ? layout.DEVICE_EAGER : 0;
  return { device: pcie ? 0 : layout.DEVICE_NOT_PCIE, cache: eager | (pri ? layout.DEVICE_PRI : 0) };
}
