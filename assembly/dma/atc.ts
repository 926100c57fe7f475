// A device with a cache of its own (PCIe ATS): it asks the IOMMU for what it misses, and keeps the answer.

import { dropFromDevice } from '../iotlb/atc';
import { insert, lookup } from '../iotlb/lookup';
import { describe, rightsOf, shiftOf } from '../iotlb/tag';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  DEVICE_ATC,
  DEVICE_ATC_TAG,
  DEVICE_EAGER,
  DEVICE_KIND,
  DEVICE_OWNER,
  FAULT_HIGHEST,
  IOMMU_ATC_HITS,
  IOMMU_ATC_MISSES,
  IOTLB_DIRTY,
  IOTLB_IPA,
  IOTLB_OUTPUT,
  KIND_DEVICE,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { Format } from '../pagetable/format';
import { resolve, sizesOf } from './translate';

/**
 * `resolve` for a device with a cache. A translation request that asks for write (NW = 0) makes the leaf dirty, whether
 * something is written or not; one that does not is granted write only where the leaf is dirty already. What is cached as
 * writable is written without the IOMMU hearing of it ever again, until it is invalidated (SMMUv3, IHI 0070, 3.13.7).
 */
export function resolveByDevice<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  device: usize,
  iova: u64,
  access: u32,
): usize {
  const cache = slotOf(core, load<u32>(device, DEVICE_OWNER), KIND_DEVICE) + DEVICE_ATC;
  const tag = load<u64>(device, DEVICE_ATC_TAG);
  let at = lookup(core, cache, tag, sizesOf(iommu, domain), iova);
  if (at && (rightsOf(at) & access) == access) {
    bump(iommu, IOMMU_ATC_HITS, 1);
    return at;
  }
  bump(iommu, IOMMU_ATC_MISSES, 1);
  const wish = load<u32>(device, DEVICE_KIND) & DEVICE_EAGER ? ACCESS_WRITE : access & ACCESS_WRITE;
  const found = resolve<F>(f, core, iommu, domain, iova, access, wish);
  if (found <= <usize>FAULT_HIGHEST) return found;
  const shift = shiftOf(found);
  if (at && shiftOf(at) != shift) {
    dropFromDevice(core, device, iova, iova);
    at = 0;
  }
  if (!at) at = insert(core, cache, iova, shift) & ~1;
  const rights = rightsOf(found);
  const granted = (rights & ACCESS_READ) | (rights & IOTLB_DIRTY ? rights & ACCESS_WRITE : 0);
  describe(at, tag, granted, load<u64>(found, IOTLB_OUTPUT), load<u64>(found, IOTLB_IPA));
  return at;
}
