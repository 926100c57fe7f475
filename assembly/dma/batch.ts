// The batch: requests lie in the IOMMU's ring, one call runs them all. A request ends at its first fault.

import {
  ACCESS_WRITE,
  DEVICE_DOMAIN,
  DEVICE_IOMMU,
  DOMAIN_FORMAT,
  DONE,
  EBADF,
  EINVAL,
  FAULT_ADDRESS_SIZE,
  FAULT_BAD_STREAM,
  IOMMU_RING,
  IOMMU_RING_CAPACITY,
  IOMMU_RING_HEAD,
  IOMMU_RING_POSTED,
  KIND_DEVICE,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MORE,
  REQUEST_BYTES,
  REQUEST_IOVA,
  REQUEST_LENGTH,
} from '../layout';
import { slotOf, slotOfStream } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';
import { dispatch } from '../pagetable/dispatch';
import { Op } from '../pagetable/operate';
import { logWrite } from '../tracker/range-log';
import { abortUntranslated } from './faults';
import { accessOf, logOf, streamOf } from './requests';

/** The request at the ring's head comes from no device in a domain: it is logged as it is, or its stream is at fault. */
function runUntranslated(core: usize, iommu: usize, request: usize, device: usize): void {
  const first = load<u64>(request, REQUEST_IOVA);
  const length = load<u32>(request, REQUEST_LENGTH);
  const access = accessOf(request);
  const last = first + (length - 1);
  store<u32>(iommu, load<u32>(iommu, IOMMU_RING_HEAD) + 1, IOMMU_RING_HEAD);
  if (!length) return;
  if (!device) {
    abortUntranslated(core, iommu, 0, streamOf(request), FAULT_BAD_STREAM, first, access);
  } else if (last < first) {
    abortUntranslated(core, iommu, device, streamOf(request), FAULT_ADDRESS_SIZE, first, access);
  } else if (access & ACCESS_WRITE) {
    const log = logOf(core, device);
    if (log) logWrite(core, log, first, last);
  }
}

/** The device that the request names, if it is one behind `iommu`; else 0. */
function deviceOf(core: usize, iommu: u32, request: usize): usize {
  const device = slotOfStream(core, streamOf(request), KIND_DEVICE);
  return device && load<u32>(device, DEVICE_IOMMU) == iommu ? device : 0;
}

/**
 * Runs the requests of the ring, at most `budget` look-ups (and untranslated requests) at a time; faults go to the event
 * queue. MORE: call again. DONE: the ring is empty. EBADF; EINVAL: more are posted than the ring holds.
 */
export function iommuRun(core: usize, iommu: u32, budget: u32): i32 {
  const slot = slotOf(core, iommu, KIND_IOMMU);
  if (!slot) return fail(EBADF);
  const posted = load<u32>(slot, IOMMU_RING_POSTED);
  if (posted > load<u32>(slot, IOMMU_RING_CAPACITY)) return fail(EINVAL);
  const ring = core + load<u32>(slot, IOMMU_RING);
  let left = max<u32>(budget, 1);
  while (true) {
    const head = load<u32>(slot, IOMMU_RING_HEAD);
    if (head >= posted) break;
    if (!left) return MORE;
    const request = ring + head * REQUEST_BYTES;
    const device = deviceOf(core, iommu, request);
    const domain = device ? load<u32>(device, DEVICE_DOMAIN) : 0;
    if (!domain) {
      runUntranslated(core, slot, request, device);
      --left;
      continue;
    }
    const target = slotOf(core, domain, KIND_DOMAIN);
    const status = dispatch(load<u32>(target, DOMAIN_FORMAT), Op.RunRequests, core, target, <u32>slot, domain, left);
    if (status != DONE) return status;
    left = <u32>mail(core, MAIL0);
  }
  store<u32>(slot, 0, IOMMU_RING_HEAD);
  store<u32>(slot, 0, IOMMU_RING_POSTED);
  return DONE;
}
