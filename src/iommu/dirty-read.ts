import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import type { Steps } from '../schedule/step.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/**
 * In which order a read-and-clear does its parts. `safe`: clear in memory, invalidate, completion, return. Every other order
 * loses writes; they are there so that tests can show which, and that the oracle sees it.
 *
 * - `no-invalidate`: the IOTLB keeps saying "dirty", so later writes leave the cleared entry clean.
 * - `invalidate-before-clear`: an entry filled in between is cached as dirty, with the same end.
 * - `report-before-completion`: a write that was translated before the invalidation lands after the page was copied.
 */
export type ReadOrder = 'safe' | 'no-invalidate' | 'invalidate-before-clear' | 'report-before-completion';

/** What a read of the dirty state works on. */
export interface DirtyRead {
  readonly core: Instance;
  readonly domain: number;
  readonly inFlight: InFlight;
  /** First and last address, inclusive. */
  readonly first: Address;
  readonly last: Address;
  /** Takes the report; without it the dirty state is only cleared. */
  readonly into?: Bitmap;
  readonly clear: boolean;
  readonly order: ReadOrder;
}

const NOTHING = 2n ** 64n - 1n;

function* readEntries(read: DirtyRead): Steps<number> {
  const { core } = read;
  const flags = read.clear ? 0 : layout.READ_DIRTY_NO_CLEAR;
  let cursor: Address = read.first;
  let gatherFirst: Address = NOTHING;
  let gatherLast: Address = 0;
  let entries: Address = 0;
  for (let status: number = layout.MORE; status === layout.MORE;) {
    yield { what: read.clear ? 'clear' : 'read' };
    core.store64(layout.MAIL0, cursor);
    core.store64(layout.MAIL1, gatherFirst);
    core.store64(layout.MAIL2, gatherLast);
    core.store64(layout.MAIL3, entries);
    core.store64(layout.MAIL4, read.first);
    core.store64(layout.MAIL5, read.last);
    status = core.raw.domainReadDirty(
      core.base,
      read.domain,
      read.into?.handleIn(core, 'domain.readAndClearDirty') ?? 0,
      flags,
      core.budget,
    );
    core.check(status, 'domain.readAndClearDirty', (errno) =>
      errno === layout.EOPNOTSUPP
        ? 'the domain was made without dirtyTracking'
        : read.into?.explainTarget(errno, read.first, read.last),
    );
    cursor = core.loadAddress(layout.MAIL0);
    gatherFirst = core.loadAddress(layout.MAIL1);
    gatherLast = core.loadAddress(layout.MAIL2);
    entries = core.load64(layout.MAIL3);
  }
  core.store64(layout.MAIL0, gatherFirst);
  core.store64(layout.MAIL1, gatherLast);
  return entries;
}

function* invalidate(read: DirtyRead, first: Address, last: Address): Steps<void> {
  yield { what: 'invalidate' };
  read.core.store64(layout.MAIL0, first);
  read.core.store64(layout.MAIL1, last);
  read.core.check(read.core.raw.domainInvalidate(read.core.base, read.domain), 'domain.invalidate');
}

/**
 * Reads (and clears) the dirty state of [first, last]; returns how many entries it looked at. One invalidation command for
 * everything that was cleared, none where nothing was, as iommufd gathers it (drivers/iommu/iommufd/io_pagetable.c).
 */
export function* dirtyReadSteps(read: DirtyRead): Steps<number> {
  if (read.order === 'invalidate-before-clear') yield* invalidate(read, read.first, read.last);
  const entries: number = yield* readEntries(read);
  const first = read.core.loadAddress(layout.MAIL0);
  const last = read.core.loadAddress(layout.MAIL1);
  if (first > last) return entries;
  // The wrong orders differ from the safe one in one thing each, so that it alone is to blame for what they lose.
  const invalidates = read.order === 'safe' || read.order === 'report-before-completion';
  if (invalidates) yield* invalidate(read, first, last);
  if (read.order === 'report-before-completion') return entries;
  const mark = read.inFlight.now();
  yield { what: 'complete', ready: () => read.inFlight.landedBefore(mark) };
  return entries;
}
