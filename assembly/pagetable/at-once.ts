// Map and unmap as one call each, for callers beside whom nothing happens: what takes several calls otherwise, because devices and
// other software may act in between. Arguments are f64, so that JavaScript's numbers need no mailbox. Whatever is out of the
// ordinary (an error, a device's cache, more than the budget) leaves everything as it was and returns MORE: go step by step.

import { domainInvalidateAs } from '../iotlb/invalidate';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  DOMAIN_FORMAT,
  DOMAIN_IOMMU,
  DOMAIN_LIMBO,
  DOMAIN_PARENT,
  DOMAIN_RESERVE,
  DOMAIN_SIZES,
  DOMAIN_SIZES_USED,
  DONE,
  INVALIDATE_NO_ATC,
  IOMMU_ATS,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  MORE,
} from '../layout';
import { slotOf } from '../memory/handles';
import { mail, post } from '../memory/mailbox';
import { dispatch } from './dispatch';
import { inRange } from './domain';
import { reclaim } from './limbo';
import { checkMap } from './map';
import { Op } from './operate';

/** Beyond it neighbouring integers are no longer different numbers. */
const LIMIT: f64 = 9007199254740992;

/** `value` as an integer; u64.MAX_VALUE where it is none from 0 to 2^53 - 1. */
function integerOf(value: f64): u64 {
  const integer = u64(value);
  return <f64>integer == value && value < LIMIT ? integer : u64.MAX_VALUE;
}

/** The domain with this handle, if its tables are its own and none of them is in limbo or in reserve; else 0. */
function quietDomain(core: usize, domain: u32): usize {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot || load<u32>(slot, DOMAIN_PARENT) | load<u32>(slot, DOMAIN_LIMBO) | load<u32>(slot, DOMAIN_RESERVE))
    return 0;
  return slot;
}

function run(core: usize, slot: usize, op: Op, a: u32, budget: u32): i32 {
  return dispatch(load<u32>(slot, DOMAIN_FORMAT), op, core, slot, a, 0, budget);
}

/** Takes out again what a map has mapped from `first` on up to the cursor MAIL0, and frees all that it took. */
function undoMap(core: usize, slot: usize, first: u64): void {
  const end = mail(core, MAIL0);
  if (end > first) {
    post(core, MAIL0, first);
    post(core, MAIL1, end - 1);
    run(core, slot, Op.Unmap, 1, u32.MAX_VALUE);
  }
  reclaim(core, slot, u32.MAX_VALUE);
}

/**
 * Maps [iova, iova + length) to `pa` on with leaves of the domain's sizes. DONE; MORE: nothing is changed, take the steps.
 */
export function domainMapAtOnce(
  core: usize,
  domain: u32,
  iova: f64,
  pa: f64,
  length: f64,
  access: u32,
  budget: u32,
): i32 {
  const slot = quietDomain(core, domain);
  const first = integerOf(iova);
  const output = integerOf(pa);
  const bytes = integerOf(length);
  if (!slot || max(max(first, output), bytes) == u64.MAX_VALUE || !bytes) return MORE;
  const last = first + (bytes - 1);
  const sizes = load<u64>(slot, DOMAIN_SIZES);
  if (access & ~(ACCESS_READ | ACCESS_WRITE) || (bytes - 1) >> ctz(sizes) >= budget) return MORE;
  if (checkMap(slot, first, last, output, access, sizes) != DONE) return MORE;
  post(core, MAIL0, first);
  post(core, MAIL1, last);
  post(core, MAIL2, output);
  post(core, MAIL3, sizes);
  const used = load<u64>(slot, DOMAIN_SIZES_USED);
  if (run(core, slot, Op.Map, access, budget) == DONE) return DONE;
  undoMap(core, slot, first);
  store<u64>(slot, used, DOMAIN_SIZES_USED);
  return MORE;
}

/** Whether a device behind the IOMMU of the domain at `slot` has a cache of its own. */
function devicesCache(core: usize, slot: usize): bool {
  return load<u32>(slotOf(core, load<u32>(slot, DOMAIN_IOMMU), KIND_IOMMU), IOMMU_ATS) != 0;
}

/**
 * Unmaps [iova, iova + length) up to the first hole, invalidates that, and frees the tables that became empty: the bytes unmapped.
 * -1: nothing is changed, take the steps. -2: the budget is used up; call domainUnmapRest, and nothing else, until it says how many
 * bytes it is. No DMA may be under way.
 */
export function domainUnmapAtOnce(core: usize, domain: u32, iova: f64, length: f64, budget: u32): f64 {
  const slot = quietDomain(core, domain);
  const first = integerOf(iova);
  const bytes = integerOf(length);
  // The end of a leaf that reaches further must be a number, too.
  if (!slot || max(first, bytes) >= (<u64>LIMIT) >> 1 || !bytes) return -1;
  const last = first + (bytes - 1);
  if (!inRange(slot, first, last) || devicesCache(core, slot)) return -1;
  post(core, MAIL0, first);
  post(core, MAIL1, last);
  post(core, MAIL2, first);
  return domainUnmapRest(core, domain, budget);
}

/** Goes on with what domainUnmapAtOnce has begun; MAIL0 .. MAIL2 are as it left them. */
export function domainUnmapRest(core: usize, domain: u32, budget: u32): f64 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return -1;
  const status = run(core, slot, Op.Unmap, 1, max<u32>(budget, 1));
  if (status < 0) return -1;
  if (status == MORE) return -2;
  const first = mail(core, MAIL2);
  const end = mail(core, MAIL0);
  if (end != first) {
    post(core, MAIL0, first);
    post(core, MAIL1, end - 1);
    domainInvalidateAs(core, domain, INVALIDATE_NO_ATC);
  }
  return <f64>(end - first);
}
