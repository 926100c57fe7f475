// Requests of one domain, run by the code of its format.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_KIND,
  DEVICE_LOG,
  DOMAIN_LOOKUP_SHIFT,
  DOMAIN_TAG,
  DONE,
  FAULT_ADDRESS_SIZE,
  FAULT_HIGHEST,
  IOMMU_HITS,
  IOMMU_IOTLB,
  IOMMU_RING,
  IOMMU_RING_DONE,
  IOMMU_RING_HEAD,
  IOMMU_RING_POSTED,
  IOTLB_DIRTY,
  IOTLB_ENTRY_BYTES,
  IOTLB_KEY,
  IOTLB_RIGHTS_SHIFT,
  IOTLB_TAG,
  KIND_DEVICE,
  KIND_LOG,
  MAIL0,
  MORE,
  NO_STREAM,
  REQUEST_BYTES,
  REQUEST_FLAGS_SHIFT,
  REQUEST_IOVA,
  REQUEST_LENGTH,
  REQUEST_STREAM,
} from '../layout';
import { OWNER } from '../iotlb/tag';
import { bump } from '../memory/counter';
import { slotOf, slotOfStream } from '../memory/handles';
import { post } from '../memory/mailbox';
import { inRange } from '../pagetable/domain';
import { Format } from '../pagetable/format';
import { logWrite } from '../tracker/range-log';
import { resolveByDevice } from './atc';
import { respond } from './faults';
import { resolve, sizesOf } from './translate';

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
 *
 * Where the domain has leaves of one size, the most recent way is tried here, without a call: what is cached lies within the input
 * addresses, and most requests end there. Everything else is `resolve`'s.
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
  const owner = load<u64>(domain, DOMAIN_TAG);
  const iotlb = core + load<u32>(iommu, IOMMU_IOTLB + CACHE_BASE);
  const setMask = load<u32>(iommu, IOMMU_IOTLB + CACHE_SETS) - 1;
  const setBytes = load<u32>(iommu, IOMMU_IOTLB + CACHE_WAYS) * IOTLB_ENTRY_BYTES;
  const sizes = sizesOf(iommu, domain);
  const one = popcnt(sizes) == 1;
  const shift = ctz(sizes);
  const leaf = u64.MAX_VALUE << shift;
  let hits: u64 = 0;
  let stream: u32 = NO_STREAM;
  let device: usize = 0;
  let log: usize = 0;
  let cached = false;
  let head = load<u32>(iommu, IOMMU_RING_HEAD);
  let status: i32 = DONE;
  for (; status == DONE && head < count; ++head) {
    const request = ring + head * REQUEST_BYTES;
    const named = streamOf(request);
    if (named != stream) {
      const other = slotOfStream(core, named, KIND_DEVICE);
      if (!other || load<u32>(other, DEVICE_DOMAIN) != handle) break;
      stream = named;
      device = other;
      log = logOf(core, device);
      cached = (load<u32>(device, DEVICE_KIND) & DEVICE_ATS) != 0;
    }
    const length = load<u32>(request, REQUEST_LENGTH);
    if (!length) continue;
    const access = accessOf(request);
    const needed = (<u64>(access & ACCESS_WRITE ? access | IOTLB_DIRTY : access)) << IOTLB_RIGHTS_SHIFT;
    const first = load<u64>(request, REQUEST_IOVA);
    const last = first + (length - 1);
    const quick = one && !cached && last >= first;
    let at = first + load<u32>(iommu, IOMMU_RING_DONE);
    while (true) {
      if (budget-- == 0) {
        store<u32>(iommu, <u32>(at - first), IOMMU_RING_DONE);
        status = MORE;
        break;
      }
      const entry = iotlb + ((<u32>(at >> shift)) & setMask) * setBytes;
      const tag = load<u64>(entry, IOTLB_TAG);
      if (
        quick &&
        load<u64>(entry, IOTLB_KEY) == ((at & leaf) | shift) &&
        !((tag ^ owner) & OWNER) &&
        (tag & needed) == needed
      ) {
        ++hits;
      } else {
        const fault =
          !inRange(domain, at, at) || last < first
            ? <usize>FAULT_ADDRESS_SIZE
            : cached
              ? resolveByDevice<F>(f, core, iommu, domain, device, at, access)
              : resolve<F>(f, core, iommu, domain, at, access, access);
        if (fault <= <usize>FAULT_HIGHEST) {
          respond(core, iommu, domain, device, stream, <u32>fault, at, last, access);
          store<u32>(iommu, 0, IOMMU_RING_DONE);
          break;
        }
      }
      const end = min(at | stretch, last);
      if (log && access & ACCESS_WRITE) logWrite(core, log, at, end);
      if (end == last) {
        store<u32>(iommu, 0, IOMMU_RING_DONE);
        break;
      }
      at = end + 1;
    }
    if (status == MORE) break;
  }
  store<u32>(iommu, head, IOMMU_RING_HEAD);
  bump(iommu, IOMMU_HITS, hits);
  post(core, MAIL0, budget);
  return status;
}
