// Split: a leaf becomes smaller ones that map the same and inherit its dirty state. How the entry changes is up to the domain's
// update rule: at once, by way of an entry that is not present, or of one that is not cached (SPLIT_*).

import {
  ACCESS_WRITE,
  CORE_WANTED_UNITS,
  DOMAIN_BROKEN,
  DOMAIN_FLAGS,
  DOMAIN_QUIRKS,
  DOMAIN_RESERVED,
  DOMAIN_SIZES,
  DOMAIN_SIZES_USED,
  DOMAIN_SPLIT,
  DOMAIN_TRACKABLE,
  DONE,
  EINVAL,
  ENOENT,
  ENOMEM,
  MAIL1,
  MAIL2,
  MAIL3,
  MAIL6,
  MORE,
  QUIRK_SPLIT_FORGETS_DIRTY,
  SPLIT_BREAK,
  SPLIT_MAKE,
  SPLIT_MARK,
  SPLIT_SWAP,
} from '../layout';
import { addLive, orderFor, spareBlocks } from '../memory/blocks';
import { fail, mail, post } from '../memory/mailbox';
import { countTable, shrinkTop } from './domain';
import { Format } from './format';
import { takeReserved } from './limbo';
import { fillLeaves } from './map';
import { leafIsDirty } from './translate';
import { covers, entryOfWalk, entryShift, levelOf, levelOfWalk, replicasOf, walk } from './walk';

/** Gives `count` entries from `at` on, just made, the dirty state that the leaf before had. */
function inheritDirty<F extends Format>(f: F, domain: usize, at: usize, count: u32, dirty: bool): void {
  // Only leaves made for tracking have a state that means something: cleaning another Arm leaf would make it read-only.
  if (!(load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE)) return;
  for (const end = at + (count << 3); at < end; at += 8) {
    const entry = load<u64>(at);
    if (dirty != f.isDirty(entry)) store<u64>(at, dirty ? f.makeDirty(entry) : f.makeClean(entry));
  }
}

/** Leaves of 2^shift bytes in `count` entries from `at` on, dirty or clean as said. */
export function makeLeaves<F extends Format>(
  f: F,
  domain: usize,
  at: usize,
  count: u32,
  pa: u64,
  shift: u32,
  level: u32,
  access: u32,
  dirty: bool,
): void {
  const tracked = (load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE) != 0;
  fillLeaves<F>(f, at, count, replicasOf<F>(f, shift, level), pa, shift, level, access, tracked);
  if (access & ACCESS_WRITE) inheritDirty<F>(f, domain, at, count, dirty);
  store<u64>(domain, load<u64>(domain, DOMAIN_SIZES_USED) | ((<u64>1) << shift), DOMAIN_SIZES_USED);
}

/**
 * The size that leaves in `level` have on the way to 2^to: the natural one, unless the domain leaves that out and has another in
 * the level. Where it has none there, the natural one serves in passing.
 */
function sizeInPassing<F extends Format>(f: F, domain: usize, level: u32, to: u32): u32 {
  if (levelOf<F>(f, to) == level) return to;
  const natural = entryShift<F>(f, level);
  const above = (load<u64>(domain, DOMAIN_SIZES) >> natural) & (((<u64>1) << f.tableBits()) - 1);
  return above ? natural + <u32>ctz(above) : natural;
}

/** Tables that it takes to split a leaf of 2^from bytes into leaves of 2^to. */
function tablesToSplit<F extends Format>(f: F, from: u32, to: u32): u64 {
  let tables: u64 = 0;
  for (let level = levelOf<F>(f, from); level > levelOf<F>(f, to); --level) {
    tables += (<u64>1) << (from - entryShift<F>(f, level));
  }
  return tables;
}

/**
 * Puts tables in the place of the leaf of 2^shift bytes in the `count` entries from `at` on of `level`, all or none of them: what
 * would still be a replica means nothing without the others. False: the reserve has too few.
 */
function splitToTables<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  at: usize,
  count: u32,
  level: u32,
  pa: u64,
  shift: u32,
  access: u32,
  dirty: bool,
): bool {
  const bytes: u32 = 8 << f.tableBits();
  if (load<u32>(domain, DOMAIN_RESERVED) < count) return false;
  for (let i: u32 = 0; i < count; ++i, at += 8, pa += (<u64>1) << entryShift<F>(f, level)) {
    const child = takeReserved(core, domain);
    makeLeaves<F>(f, domain, core + child, bytes >> 3, pa, shift, level - 1, access, dirty);
    addLive(core, child, bytes >> 3);
    countTable(domain, bytes, 1);
    // The table is whole before anybody can see it.
    store<u64>(at, f.makeTable(child, level));
  }
  return true;
}

/**
 * Splits the leaf `entry` that lies at `at` once: within its level where that has a size on the way, else into tables; the parts are
 * dirty as said. False: the reserve has too few tables, and nothing is changed.
 */
export function splitOnce<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  at: usize,
  entry: u64,
  level: u32,
  to: u32,
  dirty: bool,
): bool {
  const shift = f.leafShift(entry, level);
  const copies = replicasOf<F>(f, shift, level);
  const first = at & -((<usize>copies) << 3);
  const pa = f.leafAddress(entry, shift);
  const access = f.leafAccess(entry);
  const within = sizeInPassing<F>(f, domain, level, to);
  if (within < shift) {
    makeLeaves<F>(f, domain, first, copies, pa, within, level, access, dirty);
  } else {
    const next = sizeInPassing<F>(f, domain, level - 1, to);
    if (!splitToTables<F>(f, core, domain, first, copies, level, pa, next, access, dirty)) return false;
  }
  store<u32>(domain, load<u32>(domain, DOMAIN_SPLIT) + 1, DOMAIN_SPLIT);
  return true;
}

/** Breaks all entries of the leaf of 2^shift bytes whose first entry lies at `at`. */
export function breakLeaf<F extends Format>(f: F, domain: usize, at: usize, copies: u32): void {
  store<u32>(domain, load<u32>(domain, DOMAIN_BROKEN) + 1, DOMAIN_BROKEN);
  for (const end = at + (copies << 3); at < end; at += 8) store<u64>(at, f.breakEntry(load<u64>(at)));
}

/** Keeps what all entries of a leaf translate out of the IOTLB from now on. */
export function markUncached<F extends Format>(f: F, at: usize, copies: u32): void {
  for (const end = at + (copies << 3); at < end; at += 8) store<u64>(at, f.makeUncached(load<u64>(at), true));
}

/**
 * Whether every leaf of [cursor, last] that is larger than 2^to bytes could be split, at most `budget` leaves at a time: DONE,
 * MORE, -EINVAL (the domain lacks the size), -ENOENT (a hole), -ENOMEM (not enough blocks for the tables), with nothing changed.
 * MAIL2 counts the tables needed so far, 0 at first; MAIL3 .. MAIL1, [first, last] at first, is widened to whole leaves.
 */
export function checkSplit<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  first: u64,
  last: u64,
  to: u32,
  budget: u32,
): i32 {
  if (!hasSize(domain, to)) return fail(EINVAL);
  let cursor = load<u64>(cursorAt);
  let tables = mail(core, MAIL2);
  let status: i32 = MORE;
  while (status == MORE && budget-- != 0) {
    const found = walk<F>(f, core, domain, cursor);
    const entry = load<u64>(entryOfWalk(found));
    if (!f.isPresent(entry)) return fail(ENOENT);
    const shift = f.leafShift(entry, levelOfWalk(found));
    const end = cursor | (((<u64>1) << shift) - 1);
    if (shift > to) {
      tables += tablesToSplit<F>(f, shift, to);
      if (cursor == first) post(core, MAIL3, end + 1 - ((<u64>1) << shift));
      if (end > last) post(core, MAIL1, end);
    }
    if (end >= last) status = DONE;
    cursor = end + 1;
  }
  store<u64>(cursorAt, cursor);
  post(core, MAIL2, tables);
  if (status == MORE || tables <= spareBlocks(core, orderFor(8 << f.tableBits()))) return status;
  store<u32>(core, <u32>min<u64>(tables << orderFor(8 << f.tableBits()), u32.MAX_VALUE), CORE_WANTED_UNITS);
  return fail(ENOMEM);
}

/** Whether `map` may make leaves of 2^shift bytes in the domain. */
export function hasSize(domain: usize, shift: u32): bool {
  return shift < 64 && ((load<u64>(domain, DOMAIN_SIZES) >> shift) & 1) != 0;
}

/** Whether the parts of the leaf whose entry lies at `at` begin dirty. */
function inherits<F extends Format>(f: F, domain: usize, at: usize, shift: u32, level: u32): bool {
  return !(load<u32>(domain, DOMAIN_QUIRKS) & QUIRK_SPLIT_FORGETS_DIRTY) && leafIsDirty<F>(f, at, shift, level);
}

/** How many leaves that need nothing one call goes past. */
const SCAN: u32 = 1 << 16;

// What became of a leaf:
const LEFT: u32 = 0;
const CHANGED: u32 = 1;
const LACKING: u32 = 2; // left, as the reserve has too few tables

/** Does `how` (SPLIT_*) to the leaf with the entry `entry`, broken or not, at `at`; without tables for it, it stays or goes on as it was. */
function splitLeaf<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  at: usize,
  entry: u64,
  level: u32,
  to: u32,
  how: u32,
  none: bool,
): u32 {
  const broken = !f.isPresent(load<u64>(at));
  const shift = f.leafShift(entry, level);
  const copies = replicasOf<F>(f, shift, level);
  const head = at & -((<usize>copies) << 3);
  switch (how) {
    case SPLIT_BREAK:
      if (shift > to) breakLeaf<F>(f, domain, head, copies);
      return shift > to ? CHANGED : LEFT;
    case SPLIT_MARK:
      if (shift <= to) return LEFT;
      if (level) markUncached<F>(f, head, copies);
      // A run of pages has no nT, and may change at once.
      else splitOnce<F>(f, core, domain, at, entry, level, to, inherits<F>(f, domain, at, shift, level));
      return CHANGED;
    default:
      if (how == SPLIT_MAKE ? !broken && !f.isUncached(entry) : shift <= to) return LEFT;
      if (splitOnce<F>(f, core, domain, at, entry, level, to, inherits<F>(f, domain, at, shift, level))) {
        // A leaf in the root may have been all that the root was for.
        shrinkTop<F>(f, core, domain);
        return CHANGED;
      }
      post(core, MAIL6, copies);
      if (!none) return LACKING;
      for (let i: u32 = 0; i < copies; ++i) {
        const own = load<u64>(head + (i << 3));
        store<u64>(head + (i << 3), f.makeUncached(broken ? f.mendEntry(own) : own, false));
      }
      return LEFT;
  }
}

/**
 * Does `how` (SPLIT_*) to the leaves of [cursor, last] that are larger than 2^to bytes, at most `budget` leaves at a time; where
 * it is SPLIT_MAKE, to those that are broken or marked, and holes do not matter. For the others the range is whole leaves, and
 * checkSplit has passed. SPLIT_SWAP goes all the way to 2^to; the others go once over the range, and a leaf may need several rounds.
 * DONE; MORE; the next address is posted at `cursorAt`, and MAIL2 .. MAIL3 is widened to hold what has changed. MAIL6 says how many
 * tables a leaf wants that the reserve lacks, 0 for none; where it was not 0 before, there are none to be had, and such a leaf goes
 * on as it was.
 */
export function splitLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  to: u32,
  how: u32,
  budget: u32,
): i32 {
  if (!hasSize(domain, to) || how > <u32>SPLIT_MARK) return fail(EINVAL);
  const none = mail(core, MAIL6) != 0;
  post(core, MAIL6, 0);
  let cursor = load<u64>(cursorAt);
  for (let scan = SCAN; scan && budget; --scan) {
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    let entry = load<u64>(entryOfWalk(found));
    const broken = !f.isPresent(entry);
    if (broken && how != SPLIT_MAKE) return fail(ENOENT);
    if (broken && entry) entry = f.mendEntry(entry);
    const shift = entry && !(level && f.isTable(entry)) ? f.leafShift(entry, level) : 0;
    const first = cursor & (u64.MAX_VALUE << (shift ? shift : entryShift<F>(f, level)));
    const end = first + (((<u64>1) << (shift ? shift : entryShift<F>(f, level))) - 1);
    const came = shift ? splitLeaf<F>(f, core, domain, entryOfWalk(found), entry, level, to, how, none) : LEFT;
    if (came == LACKING) return MORE;
    if (came == CHANGED) {
      --budget;
      post(core, MAIL2, min(mail(core, MAIL2), first));
      post(core, MAIL3, max(mail(core, MAIL3), end));
      if (how == SPLIT_SWAP) continue;
    }
    cursor = end + 1;
    store<u64>(cursorAt, cursor);
    if (end >= last || !covers<F>(f, domain, cursor)) return DONE;
  }
  return MORE;
}
