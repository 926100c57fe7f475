import { IommuError } from '../errno/error.ts';
import type { AttachOptions } from '../iommu/attach-options.ts';
import type { ReadOrder } from '../iommu/dirty-read.ts';
import type { DomainOptions } from '../iommu/domain-options.ts';
import { findFormat, type FormatInfo } from '../iommu/formats.ts';
import type { Iommu } from '../iommu/iommu.ts';
import { checkAddress, hex, type Address } from '../wasm/address.ts';
import type { Context } from './context.ts';
import type { Interval } from './interval.ts';
import type { IommuGroup } from './iommu-group.ts';

/** How the user's data for a nested HWPT are laid out; the driver's own. `smmuv3` is later than 6.12. */
export type NestingKind = 'vtd-s1' | 'smmuv3' | 'selftest';

/** What an IOMMU can do for a device. */
export interface Capabilities {
  /** IOMMU_CAP_DIRTY_TRACKING. Default: true; with `linux-6.12` for the formats only that Linux tracks. */
  readonly dirtyTracking?: boolean;
  /** Nested HWPTs. Default: none. */
  readonly nesting?: NestingKind;
  /** I/O page faults, for HWPTs with a fault queue. Default: whether the device has PRI. */
  readonly faults?: boolean;
  /** Whether the driver makes HWPTs with flags. Default true. */
  readonly flaggedAllocation?: boolean;
  /** Bits of a PASID, 0 (none) to 20. Default 0. */
  readonly pasidBits?: number;
  /** Whether requests with a PASID may ask for execution, and for privileged mode. Default false. */
  readonly pasidExec?: boolean;
  readonly pasidPriv?: boolean;
}

/** A device, and the IOMMU behind which it sits. */
export interface BindOptions {
  readonly iommu: Iommu;
  /** PCI requester id. */
  readonly requesterId: number;
  /** What domains for it are made with; its page sizes are `leafSizes`, its aperture `aperture`. */
  readonly domain: Omit<DomainOptions, 'dirtyTracking' | 'quirks'>;
  /** What kind of device it is: PCIe, with a cache of its own (ATS), asking for pages (PRI). Default: PCIe without. */
  readonly device?: AttachOptions;
  /** IOVAs that it cannot use: interrupt windows and such. Both ends inclusive. */
  readonly reservedRegions?: readonly { readonly first: Address; readonly last: Address }[];
  readonly capabilities?: Capabilities;
  /** Whether its DMA is coherent with the CPU's caches. Default true. */
  readonly cacheCoherent?: boolean;
  /** Whether its interrupts are isolated from those of other devices, or that is not insisted on. Default true. */
  readonly isolatedMsi?: boolean;
  /** What GET_HW_INFO gives. Default: nothing (IOMMU_HW_INFO_TYPE_NONE). */
  readonly hwInfo?: { readonly type: number; readonly data: Uint8Array };
  /** Devices that the IOMMU cannot tell apart. Default: a group of its own. */
  readonly group?: IommuGroup;
  /** Order of a read-and-clear in its HWPTs. Default `safe`; see ReadOrder. */
  readonly readOrder?: ReadOrder;
  /** Reads of the dirty state split what they find dirty down to leaves of this many bytes. Default: leaves stay. */
  readonly splitTo?: number;
}

/** BindOptions, checked and complete. */
export interface Endpoint {
  readonly iommu: Iommu;
  readonly requesterId: number;
  readonly format: FormatInfo;
  readonly domain: DomainOptions;
  readonly device: AttachOptions;
  /** Bytes, ascending. */
  readonly leafSizes: readonly number[];
  readonly reserved: readonly Interval[];
  readonly capabilities: Required<Omit<Capabilities, 'nesting'>> & { readonly nesting: NestingKind | undefined };
  readonly hwInfo: { readonly type: number; readonly data: Uint8Array };
  readonly readOrder: ReadOrder;
  readonly splitTo: number | undefined;
}

/** Formats that drivers of Linux 6.12 track; those of 2 KiB pages are iommufd's own selftest's. */
const TRACKED_BY_LINUX = ['amdv1', 'vtdss', 'armv8-s1', 'mock2k'];

/** The most bits of a PASID (PCI Express, PASID TLP prefix). */
const MAX_PASID_BITS = 20;

/** Checks options. EINVAL. */
export function endpointOf(op: string, context: Context, options: BindOptions): Endpoint {
  const { domain, capabilities = {} } = options;
  const format = findFormat(op, domain.format, domain.granule);
  const { pasidBits = 0 } = capabilities;
  if (!Number.isInteger(pasidBits) || pasidBits < 0 || pasidBits > MAX_PASID_BITS) {
    throw new IommuError('EINVAL', op, `pasidBits is ${pasidBits}; it must be an integer from 0 to ${MAX_PASID_BITS}`);
  }
  // Of the formats' profiles, that of Linux leaves the selftest's out.
  const quirks = format.name === 'mock2k' ? 'strict' : context.quirks;
  return {
    iommu: options.iommu,
    requesterId: options.requesterId,
    format,
    domain: { ...domain, quirks },
    device: options.device ?? {},
    leafSizes: [...(domain.leafSizes ?? format.leafSizes)].sort((a, b) => a - b),
    reserved: (options.reservedRegions ?? []).map((region) => intervalOf(op, region)),
    capabilities: {
      dirtyTracking: capabilities.dirtyTracking ?? (context.strict || TRACKED_BY_LINUX.includes(format.name)),
      nesting: capabilities.nesting,
      faults: capabilities.faults ?? options.device?.pri ?? false,
      flaggedAllocation: capabilities.flaggedAllocation ?? true,
      pasidBits,
      pasidExec: capabilities.pasidExec ?? false,
      pasidPriv: capabilities.pasidPriv ?? false,
    },
    hwInfo: options.hwInfo ?? { type: 0, data: new Uint8Array(0) },
    readOrder: options.readOrder ?? 'safe',
    splitTo: splitTo(op, format, options.splitTo),
  };
}

function splitTo(op: string, format: FormatInfo, bytes: number | undefined): number | undefined {
  if (bytes === undefined || format.leafSizes.includes(bytes)) return bytes;
  const has = format.leafSizes.join(', ');
  throw new IommuError('EINVAL', op, `splitTo is ${bytes}; ${format.name} has leaves of ${has} bytes`);
}

function intervalOf(op: string, region: { readonly first: Address; readonly last: Address }): Interval {
  const first = BigInt(checkAddress(op, 'reservedRegions.first', region.first));
  const last = BigInt(checkAddress(op, 'reservedRegions.last', region.last));
  if (first <= last) return { first, last };
  throw new IommuError('EINVAL', op, `reserved region ${hex(first)} .. ${hex(last)} ends before it begins`);
}
