// Requests of one domain, run by the code of its format.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_KIND,
  DEVICE_LOG,
  DOMAIN_LOOKUP_SHIFT,
  DONE,
  FAULT_ADDRESS_SIZE,
  FAULT_HIGHEST,
  IOMMU_RING,
  IOMMU_RING_DONE,
  IOMMU_RING_HEAD,
  IOMMU_RING_POSTED,
  KIND_DEVICE,
  KIND_LOG,
  MAIL0,
  MORE,
  REQUEST_BYTES,
  REQUEST_FLAGS_SHIFT,
  REQUEST_IOVA,
  REQUEST_LENGTH,
  REQUEST_STREAM,
} from '../layout';
import { slotOf, slotOfStream } from '../memory/handles';
import { post } from '../memory/mailbox';
import { inRange } from '../pagetable/domain';
import { Format } from '../pagetable/format';
import { logWrite } from '../tracker/range-log';
import { resolveByDevice } from './atc';
import { respond } from './faults';
import { resolve } from './translate';

/** The stream that a request names. */
export function streamOf(request: usize): u32 {
  return load<u32>(request, REQUEST_STREAM) & ((1 << REQUEST_FLAGS_SHIFT) - 1);
}

/** ACCESS_READ | ACCESS_WRITE of a request. */
export function accessOf(request: usize): u32 {
  return (load<u32>(request, REQUEST_STREAM) >> REQUEST_FLAGS_SHIFT) & (ACCESS_READ | ACCESS_WRITE);
}

/** The log of a device, or 0. */
export function logOf(core: usize, device: usize): usize {
  const log = load<u32>(device, DEVICE_LOG);
  return log ? slotOf(core, log, KIND_LOG) : 0;
}

/**
 * Runs requests from the ring's head on as long as they come from devices in the domain at `domain`, at most `budget`
 * look-ups. MORE where the budget ended it; else what is left of it is posted to MAIL0.
 */
export function runRequests<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  iommu: usize,
  handle: u32,
  budget: u32,
): i32 {
  const count = load<u32>(iommu, IOMMU_RING_POSTED);
  const ring = core + load<u32>(iommu, IOMMU_RING);
  const stretch = ((<u64>1) << load<u32>(domain, DOMAIN_LOOKUP_SHIFT)) - 1;
  let head = load<u32>(iommu, IOMMU_RING_HEAD);
  for (; head < count; ++head) {
    const request = ring + head * REQUEST_BYTES;
    const stream = streamOf(request);
    const device = slotOfStream(core, stream, KIND_DEVICE);
    if (!device || load<u32>(device, DEVICE_DOMAIN) != handle) break;
    const length = load<u32>(request, REQUEST_LENGTH);
    if (!length) continue;
    const access = accessOf(request);
    const log = access & ACCESS_WRITE ? logOf(core, device) : 0;
    const cached = (load<u32>(device, DEVICE_KIND) & DEVICE_ATS) != 0;
    const first = load<u64>(request, REQUEST_IOVA);
    const last = first + (length - 1);
    let at = first + load<u32>(iommu, IOMMU_RING_DONE);
    while (true) {
      if (budget-- == 0) {
        store<u32>(iommu, head, IOMMU_RING_HEAD);
        store<u32>(iommu, <u32>(at - first), IOMMU_RING_DONE);
        return MORE;
      }
      const fault =
        !inRange(domain, at, at) || last < first
          ? <usize>FAULT_ADDRESS_SIZE
          : cached
            ? resolveByDevice<F>(f, core, iommu, domain, device, at, access)
            : resolve<F>(f, core, iommu, domain, at, access, access);
      if (fault <= <usize>FAULT_HIGHEST) {
        respond(core, iommu, domain, device, stream, <u32>fault, at, last, access);
        break;
      }
      const end = min(at | stretch, last);
      if (log) logWrite(core, log, at, end);
      if (end == last) break;
      at = end + 1;
    }
    store<u32>(iommu, 0, IOMMU_RING_DONE);
  }
  store<u32>(iommu, head, IOMMU_RING_HEAD);
  post(core, MAIL0, budget);
  return DONE;
}
