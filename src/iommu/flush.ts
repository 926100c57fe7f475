import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import type { Steps } from '../schedule/step.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import type { QuirkName } from './quirks.ts';

/** A domain's page tables, and who else is at work on them. */
export interface Tables {
  readonly core: Instance;
  /** Handle of the domain. */
  readonly domain: number;
  readonly inFlight: InFlight;
  readonly quirks: ReadonlySet<QuirkName>;
  /** Unmaps whose invalidation has not completed: their tables lie in the same list as everybody's. */
  readonly unmaps: { pending: number };
}

/** Tables taken together, where nobody knows how many it will be. */
const RESERVED_AT_ONCE = 16;

/** What a step may widen: first > last as long as it holds nothing. */
export const NOTHING = 2n ** 64n - 1n;

/** Beyond that many commands a driver that sends one per smallest leaf sends one for the whole range. */
const MOST_COMMANDS = 512n;

function send({ core, domain }: Tables, first: Address, last: Address, flags: number): void {
  core.store64(layout.MAIL0, first);
  core.store64(layout.MAIL1, last);
  core.check(core.raw.domainInvalidateAs(core.base, domain, flags), 'domain.invalidate');
}

/** What the IOTLB and the walk cache have of [first, last], both inclusive; as the quirks have it. */
function invalidateIotlb(tables: Tables, first: Address, last: Address): void {
  const { core, domain, quirks } = tables;
  let flags = layout.INVALIDATE_NO_ATC;
  if (quirks.has('flush-leaf-only')) flags |= layout.INVALIDATE_LEAF_ONLY;
  if (quirks.has('flush-other-domain')) flags |= layout.INVALIDATE_OTHER_TAG;
  const granule = BigInt(core.load32(core.slot(domain, 'domain.invalidate') + layout.DOMAIN_GRANULE));
  const begin = BigInt(first) >> granule;
  const end = BigInt(last) >> granule;
  if (!quirks.has('flush-smaller-than-leaf') || end - begin >= MOST_COMMANDS) {
    send(tables, first, last, flags);
    return;
  }
  for (let at = begin; at <= end; at++) send(tables, at << granule, ((at + 1n) << granule) - 1n, flags);
}

/** Whether a device behind the IOMMU has a cache of its own. */
function hasDeviceCaches({ core, domain }: Tables): boolean {
  const op = 'domain.invalidate';
  const iommu = core.slot(core.load32(core.slot(domain, op) + layout.DOMAIN_IOMMU), op);
  return core.load32(iommu + layout.IOMMU_ATS) !== 0;
}

function* invalidateDevices(tables: Tables, first: Address, last: Address): Steps<void> {
  yield { what: 'invalidate devices' };
  send(tables, first, last, layout.INVALIDATE_ATC_ONLY);
}

/**
 * An invalidation of [first, last], both inclusive: of IOTLB and walk cache, and where devices have caches of their own, behind that
 * of those: else they could fetch again what the IOTLB still had.
 */
export function* invalidateSteps(tables: Tables, first: Address, last: Address): Steps<void> {
  const { quirks } = tables;
  const early = quirks.has('flush-devices-first') && hasDeviceCaches(tables);
  if (early) yield* invalidateDevices(tables, first, last);
  yield { what: 'invalidate' };
  invalidateIotlb(tables, first, last);
  if (early || quirks.has('skip-device-flush') || !hasDeviceCaches(tables)) return;
  yield* invalidateDevices(tables, first, last);
}

/** Waits for the DMA that was translated before. */
export function* completionSteps({ inFlight }: Tables): Steps<void> {
  const mark = inFlight.now();
  yield { what: 'complete', ready: () => inFlight.landedBefore(mark) };
}

/** An invalidation of [first, last], and its completion. */
export function* flushSteps(tables: Tables, first: Address, last: Address): Steps<void> {
  yield* invalidateSteps(tables, first, last);
  yield* completionSteps(tables);
}

/** Holds `tables` more ready for a split. ENOMEM: fewer are to be had. */
export function reserve({ core, domain }: Tables, tables: number, op: string): void {
  core.store64(layout.MAIL0, tables);
  while (core.check(core.raw.domainReserve(core.base, domain, core.budget), op) === layout.MORE);
}

/** Holds more tables ready where a split on the way wants `tables`; false where there are none to be had. */
export function reserveSome(on: Tables, tables: number): boolean {
  try {
    reserve(on, Math.max(tables, RESERVED_AT_ONCE), 'domain.split');
  } catch (error) {
    if (!(error instanceof IommuError) || error.code !== 'ENOMEM') throw error;
    const slot = on.core.slot(on.domain, 'domain.split');
    return on.core.load32(slot + layout.DOMAIN_RESERVED) >= tables;
  }
  return true;
}

/**
 * Frees the tables that nothing can lead to any more, and those held ready that nobody needed. While an unmap has not completed, what
 * it took out might still be led to: the last one to complete frees for all.
 */
export function reclaim({ core, domain, unmaps }: Tables): void {
  if (unmaps.pending > 0) return;
  while (core.check(core.raw.domainReclaim(core.base, domain, core.budget), 'domain.reclaim') === layout.MORE);
}
