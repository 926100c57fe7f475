import type { DomainOptions } from '../iommu/domain-options.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Address } from '../wasm/address.ts';

/** Addresses that are not for DMA: both ends inclusive. */
export interface ReservedRegion {
  readonly first: Address;
  readonly last: Address;
}

/** A group of devices that an IOMMU isolates from all others. */
export interface BackedGroupOptions {
  /** Where its devices sit. Groups share a domain if they sit behind one IOMMU and ask for the same domain. */
  readonly iommu: Iommu;
  /** The requester ids of its devices, at least one. */
  readonly requesterIds: readonly number[];
  /** The domain that it needs: format, page sizes (`leafSizes`), aperture. `quirks` is the container's unless given. */
  readonly domain: DomainOptions;
  /** Regions of its devices that cannot be mapped, such as the MSI window. Default none. */
  readonly reservedRegions?: readonly ReservedRegion[];
  /** Whether its IOMMU can enforce cache coherency; groups that differ do not share a domain. Default true. */
  readonly cacheCoherent?: boolean;
}

/** A group without an IOMMU, of mediated devices: their driver pins what it accesses, or reads and writes through the container. */
export interface EmulatedGroupOptions {
  readonly emulated: true;
}

export type GroupOptions = BackedGroupOptions | EmulatedGroupOptions;
