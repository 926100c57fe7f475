import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import type { Steps } from '../schedule/step.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** A domain's page tables, and who else is at work on them. */
export interface Tables {
  readonly core: Instance;
  /** Handle of the domain. */
  readonly domain: number;
  readonly inFlight: InFlight;
}

/** Tables taken together, where nobody knows how many it will be. */
const RESERVED_AT_ONCE = 16;

/** What a step may widen: first > last as long as it holds nothing. */
export const NOTHING = 2n ** 64n - 1n;

/** One invalidation command of [first, last], both inclusive. */
export function invalidateSpan({ core, domain }: Tables, first: Address, last: Address): void {
  core.store64(layout.MAIL0, first);
  core.store64(layout.MAIL1, last);
  core.check(core.raw.domainInvalidate(core.base, domain), 'domain.invalidate');
}

/** Waits for the DMA that was translated before. */
export function* completionSteps({ inFlight }: Tables): Steps<void> {
  const mark = inFlight.now();
  yield { what: 'complete', ready: () => inFlight.landedBefore(mark) };
}

/** An invalidation of [first, last], and its completion. */
export function* flushSteps(tables: Tables, first: Address, last: Address): Steps<void> {
  yield { what: 'invalidate' };
  invalidateSpan(tables, first, last);
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

/** Frees the tables that nothing can lead to any more, and those held ready that nobody needed. No other agent sees it. */
export function reclaim({ core, domain }: Tables): void {
  while (core.check(core.raw.domainReclaim(core.base, domain, core.budget), 'domain.reclaim') === layout.MORE);
}
