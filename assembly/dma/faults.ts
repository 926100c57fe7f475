import {
  DEVICE_ATS,
  DEVICE_KIND,
  DEVICE_NOT_PCIE,
  DEVICE_PRI,
  DOMAIN_FAULTS,
  DOMAIN_PARENT,
  FAULTS_SILENT,
  FAULTS_STAGE_SHIFT,
  FAULT_ADDRESS_SIZE,
  IOMMU_FAULT_IPA,
  IOMMU_FAULT_STAGE,
  KIND_DOMAIN,
  OUTCOME_ABORTS,
  OUTCOME_IGNORED,
  OUTCOME_PAGE_REQUESTS,
  OUTCOME_SILENT_ABORTS,
  OUTCOME_STALLS,
  QUEUE_PAGES,
  QUEUE_STALLS,
  RESPONSE_ABORT,
  RESPONSE_BITS,
  RESPONSE_IGNORED,
  RESPONSE_PAGE_REQUEST,
  RESPONSE_STALLED,
  WAIT_STAGE,
  WAIT_UNRECORDED,
} from '../layout';
import { bump } from '../memory/counter';
import { slotOf } from '../memory/handles';
import { loseEvent, writeEvent } from './events';
import { keep, outcomesOf, waitAt } from './waiting';

/** The stage that refused a request in the domain at `domain`, after the look-up that found so. */
export function faultStage(iommu: usize, domain: usize, reason: u32): u32 {
  if (!load<u32>(domain, DOMAIN_PARENT)) return load<u32>(domain, DOMAIN_FAULTS) >> FAULTS_STAGE_SHIFT;
  // An address beyond stage 1's range is not looked up at all.
  return reason == <u32>FAULT_ADDRESS_SIZE ? 1 : load<u32>(iommu, IOMMU_FAULT_STAGE);
}

/** The domain whose policy counts: that of stage 2 for what stage 2 refuses. */
function policyDomain(core: usize, domain: usize, stage: u32): usize {
  const parent = load<u32>(domain, DOMAIN_PARENT);
  return parent && stage == 2 ? slotOf(core, parent, KIND_DOMAIN) : domain;
}

/** A translation request that finds nothing: never recorded; the device asks for the page, or gives the request up. */
function refuseTranslation(
  core: usize,
  iommu: usize,
  kind: u32,
  stage: u32,
  stream: u32,
  reason: u32,
  iova: u64,
  last: u64,
  access: u32,
): u32 {
  const index = kind & DEVICE_PRI ? keep(core, iommu, QUEUE_PAGES, stream, reason, iova, last, access, stage) : -1;
  bump(outcomesOf(core, iommu), index < 0 ? OUTCOME_SILENT_ABORTS : OUTCOME_PAGE_REQUESTS, 1);
  return index < 0 ? RESPONSE_ABORT : RESPONSE_PAGE_REQUEST | (index << 8);
}

/** A request that stalls is recorded always: where the event queue is full, as soon as there is room. -1: no place to stall. */
function stall(
  core: usize,
  iommu: usize,
  device: usize,
  stage: u32,
  stream: u32,
  reason: u32,
  iova: u64,
  last: u64,
  access: u32,
): i32 {
  const tag = keep(core, iommu, QUEUE_STALLS, stream, reason, iova, last, access, stage);
  if (tag < 0) return -1;
  bump(outcomesOf(core, iommu), OUTCOME_STALLS, 1);
  if (!writeEvent(core, iommu, device, stream, reason, iova, access, stage, RESPONSE_STALLED, tag)) {
    store<u32>(waitAt(core, iommu, QUEUE_STALLS, tag), stage | WAIT_UNRECORDED, WAIT_STAGE);
  }
  return RESPONSE_STALLED | (tag << 8);
}

/**
 * What the device at `device` gets for a request of which [iova, last] is left, since `reason`, as the domain at `domain` has
 * it: RESPONSE_*, and above bit 8 the index under which the request waits. Counts and records it.
 */
export function respond(
  core: usize,
  iommu: usize,
  domain: usize,
  device: usize,
  stream: u32,
  reason: u32,
  iova: u64,
  last: u64,
  access: u32,
): u32 {
  const kind = load<u32>(device, DEVICE_KIND);
  const stage = faultStage(iommu, domain, reason);
  if (stage != 2 || !load<u32>(domain, DOMAIN_PARENT)) store<u64>(iommu, u64.MAX_VALUE, IOMMU_FAULT_IPA);
  const faults = load<u32>(policyDomain(core, domain, stage), DOMAIN_FAULTS);
  if (kind & DEVICE_ATS) return refuseTranslation(core, iommu, kind, stage, stream, reason, iova, last, access);
  let response = faults & RESPONSE_BITS;
  let silent = faults & FAULTS_SILENT;
  if (response == <u32>RESPONSE_STALLED) {
    if (kind & DEVICE_NOT_PCIE && reason <= <u32>FAULT_ADDRESS_SIZE) {
      const stalled = stall(core, iommu, device, stage, stream, reason, iova, last, access);
      if (stalled >= 0) return stalled;
      silent = 0;
    }
    response = RESPONSE_ABORT;
  }
  const outcome = response == <u32>RESPONSE_IGNORED ? OUTCOME_IGNORED : silent ? OUTCOME_SILENT_ABORTS : OUTCOME_ABORTS;
  bump(outcomesOf(core, iommu), outcome, 1);
  if (!silent && !writeEvent(core, iommu, device, stream, reason, iova, access, stage, response, 0)) {
    loseEvent(core, iommu);
  }
  return response;
}

/** A request that reaches no domain: it is aborted and recorded. */
export function abortUntranslated(
  core: usize,
  iommu: usize,
  device: usize,
  stream: u32,
  reason: u32,
  iova: u64,
  access: u32,
): void {
  bump(outcomesOf(core, iommu), OUTCOME_ABORTS, 1);
  store<u64>(iommu, u64.MAX_VALUE, IOMMU_FAULT_IPA);
  if (!writeEvent(core, iommu, device, stream, reason, iova, access, 0, RESPONSE_ABORT, 0)) loseEvent(core, iommu);
}
