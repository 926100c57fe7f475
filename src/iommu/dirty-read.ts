import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Steps } from '../schedule/step.ts';
import type { Address } from '../wasm/address.ts';
import { completionSteps, invalidateSteps, NOTHING, reclaim, reserveSome, type Tables } from './flush.ts';
import { finishSplit } from './split.ts';
import type { UpdatePolicy } from './update-policy.ts';

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
export interface DirtyRead extends Tables {
  /** First and last address, inclusive. */
  readonly first: Address;
  readonly last: Address;
  /** Takes the report; without it the dirty state is only cleared. */
  readonly into?: Bitmap;
  readonly clear: boolean;
  readonly order: ReadOrder;
  /** Dirty leaves that are larger are split on the way, a level at a time: log2 of the size wanted, and the domain's way to do it. */
  readonly split?: { readonly shift: number; readonly update: UpdatePolicy };
}

const SPLIT_FLAGS: Record<UpdatePolicy, number> = {
  direct: layout.READ_DIRTY_SWAP,
  direct2: layout.READ_DIRTY_SWAP,
  wrong: layout.READ_DIRTY_SWAP,
  bbm: layout.READ_DIRTY_BREAK,
  nt: layout.READ_DIRTY_MARK,
};

function flagsOf({ clear, split }: DirtyRead): number {
  if (!clear) return layout.READ_DIRTY_NO_CLEAR;
  return split ? SPLIT_FLAGS[split.update] | (split.shift << layout.READ_DIRTY_SHIFT) : 0;
}

/** Where a read is: its next address, what it has cleaned so far, the entries that it has looked at. */
interface Progress {
  readonly cursor: Address;
  readonly first: Address;
  readonly last: Address;
  readonly entries: number;
  readonly done: boolean;
}

function readSome(read: DirtyRead, from: Progress, flags: number): Progress {
  const { core } = read;
  const op = 'domain.readAndClearDirty';
  core.store64(layout.MAIL0, from.cursor);
  core.store64(layout.MAIL1, from.first);
  core.store64(layout.MAIL2, from.last);
  core.store64(layout.MAIL3, from.entries);
  core.store64(layout.MAIL4, read.first);
  core.store64(layout.MAIL5, read.last);
  const into = read.into?.handleIn(core, op) ?? 0;
  const status = core.raw.domainReadDirty(core.base, read.domain, into, flags, core.budget);
  core.check(status, op, (errno) =>
    errno === layout.EOPNOTSUPP
      ? 'the domain was made without dirtyTracking'
      : read.into?.explainTarget(errno, read.first, read.last),
  );
  return {
    cursor: core.loadAddress(layout.MAIL0),
    first: core.loadAddress(layout.MAIL1),
    last: core.loadAddress(layout.MAIL2),
    entries: core.load64(layout.MAIL3),
    done: status === layout.DONE,
  };
}

function* readEntries(read: DirtyRead): Steps<Progress> {
  let flags = flagsOf(read);
  let at: Progress = { cursor: read.first, first: NOTHING, last: 0, entries: 0, done: false };
  while (!at.done) {
    yield { what: read.clear ? 'clear' : 'read' };
    at = readSome(read, at, flags);
    for (let wanted = read.core.load64(layout.MAIL6); wanted > 0; wanted = read.core.load64(layout.MAIL6)) {
      // Without memory for their parts, leaves are only cleared.
      if (!reserveSome(read, wanted)) flags = 0;
      at = readSome(read, at, flags);
    }
  }
  return at;
}

/**
 * Reads (and clears) the dirty state of [first, last]; returns how many entries it looked at. One invalidation command for
 * everything that was cleared, none where nothing was, as iommufd gathers it (drivers/iommu/iommufd/io_pagetable.c).
 */
export function* dirtyReadSteps(read: DirtyRead): Steps<number> {
  if (read.order === 'invalidate-before-clear') yield* invalidateSteps(read, read.first, read.last);
  const { first, last, entries } = yield* readEntries(read);
  if (first > last) return entries;
  // The wrong orders differ from the safe one in one thing each, so that it alone is to blame for what they lose.
  const invalidates = read.order === 'safe' || read.order === 'report-before-completion';
  if (invalidates) yield* invalidateSteps(read, first, last);
  if (read.order !== 'report-before-completion') yield* completionSteps(read);
  if (read.split) {
    if (read.split.update === 'bbm' || read.split.update === 'nt') {
      yield* finishSplit({ ...read, ...read.split }, { first, last });
    }
    reclaim(read);
  }
  return entries;
}
