// The caches that devices have themselves (PCIe ATS), as far as the IOMMU is concerned.

import {
  DEVICE_ATC,
  DEVICE_ATC_TAG,
  DEVICE_DOMAIN,
  DEVICE_NEXT,
  DEVICE_OWNER,
  DOMAIN_TAG,
  FORM_ALL,
  FORM_DOMAIN,
  FORM_RANGE,
  IOMMU_ATC_INVALIDATIONS,
  IOMMU_ATS,
  KIND_DEVICE,
  KIND_DOMAIN,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { dropEntries } from './drop';
import { VMID } from './tag';

/** Drops [first, last] from what the device at `device`, or the PASID of a device, has cached. */
export function dropFromDevice(core: usize, device: usize, first: u64, last: u64): void {
  const owner = slotOf(core, load<u32>(device, DEVICE_OWNER), KIND_DEVICE);
  dropEntries(core, owner + DEVICE_ATC, FORM_RANGE, load<u64>(device, DEVICE_ATC_TAG), u64.MAX_VALUE, first, last);
}

/**
 * Sends an invalidation request for [first, last] to each device with a cache that is in the domain with handle `domain`; for
 * FORM_DOMAIN to those in any domain of the VMID in `owner`, for FORM_ALL to all.
 */
export function invalidateDevices(
  core: usize,
  iommu: usize,
  form: u32,
  domain: u32,
  owner: u64,
  first: u64,
  last: u64,
): void {
  let next = load<u32>(iommu, IOMMU_ATS);
  while (next) {
    const device = slotOf(core, next, KIND_DEVICE);
    next = load<u32>(device, DEVICE_NEXT);
    const theirs = load<u32>(device, DEVICE_DOMAIN);
    if (!theirs) continue;
    if (form == FORM_DOMAIN) {
      const tag = load<u64>(slotOf(core, theirs, KIND_DOMAIN), DOMAIN_TAG);
      if ((tag ^ owner) & VMID) continue;
    } else if (form != FORM_ALL && theirs != domain) {
      continue;
    }
    dropFromDevice(core, device, first, last);
    bump(iommu, IOMMU_ATC_INVALIDATIONS, 1);
  }
}
