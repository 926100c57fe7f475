import * as layout from '../../assembly/layout.ts';
import type { Steps } from '../schedule/step.ts';
import { isWord, type Address } from '../wasm/address.ts';
import type { MapOptions } from './domain.ts';
import { flushSteps, reclaim, type Tables } from './flush.ts';

/** What the core says where an unmap goes on. */
const UNFINISHED = -2;

/** A mapping to make, checked: addresses inclusive. */
export interface Mapping extends Tables {
  readonly first: Address;
  readonly last: Address;
  readonly pa: Address;
  readonly access: number;
  /** Bit n = leaves of 2^n bytes. */
  readonly sizes: bigint;
  readonly explain: (errno: number) => string | undefined;
}

/** Input addresses to unmap, inclusive. */
export interface Unmapping extends Tables {
  readonly first: Address;
  readonly last: Address;
  readonly explain: (errno: number) => string | undefined;
}

/**
 * Maps in one call, where nobody else is at work on the tables and all is plain; false: nothing is changed, and the steps are to be
 * taken, which say what is wrong if anything is.
 */
export function mapAtOnce({ core, domain }: Tables, options: MapOptions): boolean {
  const { iova, pa, length, access, leafSizes, global } = options;
  if (typeof iova !== 'number' || typeof pa !== 'number' || typeof length !== 'number') return false;
  if (!isWord(access) || leafSizes !== undefined || global) return false;
  return core.raw.domainMapAtOnce(core.base, domain, iova, pa, length, access, core.budget) === layout.DONE;
}

/** The same for an unmap, with its invalidation; the bytes unmapped, or -1. */
export function unmapAtOnce({ core, domain, inFlight, quirks }: Tables, iova: Address, length: Address): number {
  if (typeof iova !== 'number' || typeof length !== 'number' || !inFlight.idle || quirks.size > 0) return -1;
  let bytes = core.raw.domainUnmapAtOnce(core.base, domain, iova, length, core.budget);
  while (bytes === UNFINISHED) bytes = core.raw.domainUnmapRest(core.base, domain, core.budget);
  return bytes;
}

/** Whether the mapping could be made; nothing is changed. */
function checkMap({ core, domain, first, last, pa, sizes, access, explain }: Mapping): void {
  core.store64(layout.MAIL0, first);
  core.store64(layout.MAIL1, last);
  core.store64(layout.MAIL2, pa);
  core.store64(layout.MAIL3, sizes);
  core.store64(layout.MAIL4, first);
  let status: number;
  do status = core.check(core.raw.domainCheckMap(core.base, domain, access, core.budget), 'domain.map', explain);
  while (status === layout.MORE);
}

/** Maps with the largest leaves that fit, step by step. What it has made is undone where it throws. */
export function* mapSteps(mapping: Mapping): Steps<void> {
  const { core, domain, first, last, sizes, access, explain } = mapping;
  yield { what: 'map' };
  checkMap(mapping);
  let at = first;
  let { pa } = mapping;
  for (let begun = false; ; begun = true) {
    if (begun) yield { what: 'map' };
    core.store64(layout.MAIL0, at);
    core.store64(layout.MAIL1, last);
    core.store64(layout.MAIL2, pa);
    core.store64(layout.MAIL3, sizes);
    const status = core.raw.domainMap(core.base, domain, access, core.budget);
    at = core.loadAddress(layout.MAIL0);
    pa = core.loadAddress(layout.MAIL2);
    if (status === layout.MORE) continue;
    if (status >= 0) return;
    try {
      core.check(status, 'domain.map', explain);
    } finally {
      // Last: what the message says is needed counts what is mapped so far.
      if (BigInt(at) > BigInt(first)) yield* unmapSteps({ ...mapping, last: BigInt(at) - 1n });
      reclaim(mapping);
    }
  }
}

/** Takes out what [at, last] maps up to a hole, as far as the budget goes; where it stopped, and whether that is the end. */
function unmapSome({ core, domain, last, explain }: Unmapping, at: Address): { next: Address; done: boolean } {
  core.store64(layout.MAIL0, at);
  core.store64(layout.MAIL1, last);
  const status = core.raw.domainUnmap(core.base, domain, core.budget);
  core.check(status, 'domain.unmap', explain);
  return { next: core.loadAddress(layout.MAIL0), done: status === layout.DONE };
}

/**
 * Unmaps up to the first hole, invalidates, and frees the tables once that has completed. Returns the address behind what was unmapped,
 * modulo 2^64.
 */
export function* unmapSteps(unmapping: Unmapping): Steps<Address> {
  yield { what: 'unmap' };
  unmapping.unmaps.pending++;
  let at = unmapping.first;
  try {
    for (let done = false; ;) {
      ({ next: at, done } = unmapSome(unmapping, at));
      if (done) break;
      yield { what: 'unmap' };
    }
    if (at !== unmapping.first) {
      yield* flushSteps(unmapping, unmapping.first, BigInt.asUintN(64, BigInt(at) - 1n));
    }
  } finally {
    unmapping.unmaps.pending--;
  }
  reclaim(unmapping);
  return at;
}
