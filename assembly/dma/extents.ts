// One access of a device in a domain, run by the code of its format.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  CORE_TRANSFER,
  DEVICE_ATS,
  DEVICE_FAULT_IOVA,
  DEVICE_FAULT_IPA,
  DEVICE_FAULT_REASON,
  DEVICE_FAULT_RESPONSE,
  DEVICE_FAULT_STAGE,
  DEVICE_FAULT_TAG,
  DEVICE_IOMMU,
  DEVICE_KIND,
  DEVICE_STREAM,
  DOMAIN_LOOKUP_SHIFT,
  DONE,
  EFAULT,
  EXTENT_ADDRESS,
  EXTENT_BYTES,
  EXTENT_LENGTH,
  FAULT_ADDRESS_SIZE,
  FAULT_HIGHEST,
  IOMMU_FAULT_IPA,
  IOTLB_KEY,
  IOTLB_OUTPUT,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { inRange } from '../pagetable/domain';
import { Format } from '../pagetable/format';
import { logWrite } from '../tracker/range-log';
import { resolveByDevice } from './atc';
import { faultStage, respond } from './faults';
import { logOf } from './requests';
import { resolve } from './translate';

/** Appends an extent to the list that has `count` of them, or lengthens its last one; the new count. */
export function addExtent(list: usize, count: u32, address: u64, length: u32): u32 {
  const at = list + count * EXTENT_BYTES;
  if (count) {
    const before = load<u32>(at - EXTENT_BYTES, EXTENT_LENGTH);
    if (load<u64>(at - EXTENT_BYTES, EXTENT_ADDRESS) + before == address) {
      store<u32>(at - EXTENT_BYTES, before + length, EXTENT_LENGTH);
      return count;
    }
  }
  store<u64>(at, address, EXTENT_ADDRESS);
  store<u32>(at, length, EXTENT_LENGTH);
  return count + 1;
}

/** Notes how the last access of a device ended: `response` as `respond` gives it. */
export function setFault(device: usize, reason: u32, iova: u64, response: u32, stage: u32): void {
  store<u32>(device, reason, DEVICE_FAULT_REASON);
  store<u64>(device, iova, DEVICE_FAULT_IOVA);
  store<u32>(device, response & 0xff, DEVICE_FAULT_RESPONSE);
  store<u32>(device, response >> 8, DEVICE_FAULT_TAG);
  store<u32>(device, stage, DEVICE_FAULT_STAGE);
}

/**
 * Translates MAIL0 .. MAIL1 for the device at `device` and writes the extents of output addresses to the transfer buffer;
 * MAIL1 counts them. EFAULT: the device's fault fields say why and where, and the extents before that are there.
 */
export function accessExtents<F extends Format>(f: F, core: usize, domain: usize, device: usize, access: u32): i32 {
  const list = core + load<u32>(core, CORE_TRANSFER);
  const stretch = ((<u64>1) << load<u32>(domain, DOMAIN_LOOKUP_SHIFT)) - 1;
  const stream = load<u32>(device, DEVICE_STREAM);
  const iommu = slotOf(core, load<u32>(device, DEVICE_IOMMU), KIND_IOMMU);
  const cached = (load<u32>(device, DEVICE_KIND) & DEVICE_ATS) != 0;
  const rights = access & (ACCESS_READ | ACCESS_WRITE);
  const log = access & ACCESS_WRITE ? logOf(core, device) : 0;
  const last = mail(core, MAIL1);
  let at = mail(core, MAIL0);
  let count: u32 = 0;
  while (true) {
    const found = !inRange(domain, at, at)
      ? <usize>FAULT_ADDRESS_SIZE
      : cached
        ? resolveByDevice<F>(f, core, iommu, domain, device, at, rights)
        : resolve<F>(f, core, iommu, domain, at, rights, rights);
    if (found <= <usize>FAULT_HIGHEST) {
      const response = respond(core, iommu, domain, device, stream, <u32>found, at, last, access);
      setFault(device, <u32>found, at, response, faultStage(iommu, domain, <u32>found));
      store<u64>(device, load<u64>(iommu, IOMMU_FAULT_IPA), DEVICE_FAULT_IPA);
      post(core, MAIL1, count);
      return fail(EFAULT);
    }
    const end = min(at | stretch, last);
    const shift = load<u64>(found, IOTLB_KEY) & 63;
    const offset = at & ~(u64.MAX_VALUE << shift);
    count = addExtent(list, count, load<u64>(found, IOTLB_OUTPUT) + offset, <u32>(end - at) + 1);
    if (log) logWrite(core, log, at, end);
    if (end == last) break;
    at = end + 1;
  }
  post(core, MAIL1, count);
  return DONE;
}
