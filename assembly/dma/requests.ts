// Requests of one domain, run by the code of its format.

import {
  ACCESS_READ,
  ACCESS_WRITE,
  CORE_TRANSFER,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_KIND,
  DEVICE_LOG,
  DOMAIN_LOOKUP_SHIFT,
  DONE,
  FAULT_ADDRESS_SIZE,
  FAULT_HIGHEST,
  IOMMU_MISSES,
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
import { isPlain, runInShape } from './quick';
import { resolve } from './translate';

/** Requests that are walked ahead where many miss, */
const AHEAD: u32 = 256;
/** and those run without, before it is looked again how many do. */
const FAR: u32 = 512;

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

/** Any look-up at all: FAULT_*, or where its IOTLB entry lies. */
function lookUp<F extends Format>(
  f: F,
  core: usize,
  iommu: usize,
  domain: usize,
  device: usize,
  at: u64,
  access: u32,
): usize {
  if (!inRange(domain, at, at)) return FAULT_ADDRESS_SIZE;
  return load<u32>(device, DEVICE_KIND) & DEVICE_ATS
    ? resolveByDevice<F>(f, core, iommu, domain, device, at, access)
    : resolve<F>(f, core, iommu, domain, at, access, access);
}

/**
 * One look-up of the request at the ring's head, of the device at `device` in the domain at `domain`: faults are answered, writes logged,
 * and the head moves on where that ends the request.
 */
function step<F extends Format>(f: F, core: usize, domain: usize, iommu: usize, device: usize, request: usize): void {
  const length = load<u32>(request, REQUEST_LENGTH);
  const done = load<u32>(iommu, IOMMU_RING_DONE);
  store<u32>(iommu, 0, IOMMU_RING_DONE);
  let ended: bool = !length;
  if (length) {
    const access = accessOf(request);
    const first = load<u64>(request, REQUEST_IOVA);
    const last = first + (length - 1);
    const at = first + done;
    const stretch = ((<u64>1) << load<u32>(domain, DOMAIN_LOOKUP_SHIFT)) - 1;
    const end = min(at | stretch, last);
    const fault = last < first ? <usize>FAULT_ADDRESS_SIZE : lookUp<F>(f, core, iommu, domain, device, at, access);
    if (fault <= <usize>FAULT_HIGHEST) {
      respond(core, iommu, domain, device, streamOf(request), <u32>fault, at, last, access);
      ended = true;
    } else {
      const log = access & ACCESS_WRITE ? logOf(core, device) : 0;
      if (log) logWrite(core, log, at, end);
      ended = end == last;
      if (!ended) store<u32>(iommu, <u32>(end - first) + 1, IOMMU_RING_DONE);
    }
  }
  if (ended) store<u32>(iommu, load<u32>(iommu, IOMMU_RING_HEAD) + 1, IOMMU_RING_HEAD);
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
  const plain = isPlain(iommu, domain);
  const leaves = core + load<u32>(core, CORE_TRANSFER);
  let missing: bool = false;
  while (true) {
    const head = load<u32>(iommu, IOMMU_RING_HEAD);
    if (head >= count) break;
    const request = ring + head * REQUEST_BYTES;
    if (plain) {
      const until: u32 = min<u32>(head + (missing ? AHEAD : FAR), count);
      const missed = load<u64>(iommu, IOMMU_MISSES);
      budget = runInShape<F>(f, core, domain, iommu, handle, until, missing ? leaves : 0, budget);
      missing = (load<u64>(iommu, IOMMU_MISSES) - missed) * 4 >= until - head;
      if (load<u32>(iommu, IOMMU_RING_HEAD) != head) continue;
    }
    const device = slotOfStream(core, streamOf(request), KIND_DEVICE);
    if (!device || load<u32>(device, DEVICE_DOMAIN) != handle) break;
    if (!budget) return MORE;
    --budget;
    step<F>(f, core, domain, iommu, device, request);
  }
  post(core, MAIL0, budget);
  return DONE;
}
