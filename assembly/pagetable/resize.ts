// Split: a leaf becomes smaller ones that map the same and inherit its dirty state. Merge: smaller ones become a leaf that is
// dirty if any of them was. Both change entries in place, as hardware with the `direct` update rule allows.

import {
  ACCESS_WRITE,
  CORE_WANTED_UNITS,
  DOMAIN_FLAGS,
  DOMAIN_ROOT,
  DOMAIN_SIZES,
  DOMAIN_SIZES_USED,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DONE,
  EINVAL,
  ENOENT,
  ENOMEM,
  MAIL1,
  MAIL2,
  MAIL3,
  MORE,
} from '../layout';
import { addLive, orderFor, spareBlocks, take } from '../memory/blocks';
import { fail, mail, post } from '../memory/mailbox';
import { countTable, freeTable, growTop, shrinkTop } from './domain';
import { Format } from './format';
import { fillLeaves } from './map';
import { leafIsDirty } from './translate';
import { entryOfWalk, entryShift, indexAt, levelOf, levelOfWalk, replicasOf, walk } from './walk';

/** Gives `count` entries from `at` on, just made, the dirty state that the leaf before had. */
function inheritDirty<F extends Format>(f: F, domain: usize, at: usize, count: u32, dirty: bool): void {
  // Only leaves made for tracking have a state that means something: cleaning another Arm leaf would make it read-only.
  if (!(load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE)) return;
  for (const end = at + (count << 3); at < end; at += 8) {
    const entry = load<u64>(at);
    if (dirty != f.isDirty(entry)) store<u64>(at, dirty ? f.makeDirty(entry) : f.makeClean(entry));
  }
}

function makeLeaves<F extends Format>(
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
 * would still be a replica means nothing without the others. False: out of memory.
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
  if (count > 1 && spareBlocks(core, orderFor(bytes)) < count) return false;
  for (let i: u32 = 0; i < count; ++i, at += 8, pa += (<u64>1) << entryShift<F>(f, level)) {
    const child = take(core, bytes);
    if (!child) return false;
    makeLeaves<F>(f, domain, core + child, bytes >> 3, pa, shift, level - 1, access, dirty);
    addLive(core, child, bytes >> 3);
    countTable(domain, bytes, 1);
    // The table is whole before anybody can see it.
    store<u64>(at, f.makeTable(child, level));
  }
  return true;
}

/** Splits the leaf at `at` once: within its level where that has a size on the way, else into tables. False: out of memory. */
function splitOnce<F extends Format>(f: F, core: usize, domain: usize, at: usize, level: u32, to: u32): bool {
  const entry = load<u64>(at);
  const shift = f.leafShift(entry, level);
  const copies = replicasOf<F>(f, shift, level);
  const first = at & -((<usize>copies) << 3);
  const pa = f.leafAddress(entry, shift);
  const access = f.leafAccess(entry);
  const dirty = leafIsDirty<F>(f, first, shift, level);
  const within = sizeInPassing<F>(f, domain, level, to);
  if (within < shift) {
    makeLeaves<F>(f, domain, first, copies, pa, within, level, access, dirty);
    return true;
  }
  const next = sizeInPassing<F>(f, domain, level - 1, to);
  return splitToTables<F>(f, core, domain, first, copies, level, pa, next, access, dirty);
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
function hasSize(domain: usize, shift: u32): bool {
  return shift < 64 && ((load<u64>(domain, DOMAIN_SIZES) >> shift) & 1) != 0;
}

/**
 * Splits the leaves of [cursor, last] down to 2^to bytes, at most `budget` changes at a time. checkSplit has passed, and its range
 * is whole leaves. DONE; MORE; the next address is posted at `cursorAt`.
 */
export function splitLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  to: u32,
  budget: u32,
): i32 {
  if (!hasSize(domain, to)) return fail(EINVAL);
  let cursor = load<u64>(cursorAt);
  while (budget-- != 0) {
    const found = walk<F>(f, core, domain, cursor);
    const entry = load<u64>(entryOfWalk(found));
    if (!f.isPresent(entry)) return fail(ENOENT);
    const shift = f.leafShift(entry, levelOfWalk(found));
    if (shift > to) {
      if (!splitOnce<F>(f, core, domain, entryOfWalk(found), levelOfWalk(found), to)) return fail(ENOMEM);
      // A leaf in the root may have been all that the root was for.
      shrinkTop<F>(f, core, domain);
      continue;
    }
    const end = cursor | (((<u64>1) << shift) - 1);
    cursor = end + 1;
    store<u64>(cursorAt, cursor);
    if (end >= last) return DONE;
  }
  return MORE;
}

// What a block of leaves is, as one leaf:
const UNLIKE: u32 = 0; // not one: a hole, other rights, or addresses that do not follow each other
const CLEAN: u32 = 1;
const DIRTY: u32 = 2;

/** What the `count` entries of `level` from `at` on are together, if they lead to `pa` on with `access`. */
function kindOf<F extends Format>(f: F, core: usize, at: usize, count: u32, level: u32, pa: u64, access: u32): u32 {
  let kind = CLEAN;
  const span = (<u64>1) << entryShift<F>(f, level);
  for (let i: u32 = 0; i < count; ++i, at += 8, pa += span) {
    const entry = load<u64>(at);
    if (!f.isPresent(entry)) return UNLIKE;
    if (level && f.isTable(entry)) {
      const below = core + f.tableOffset(entry);
      const inside = kindOf<F>(f, core, below, 1 << f.tableBits(), level - 1, pa, access);
      if (inside == UNLIKE) return UNLIKE;
      kind = max(kind, inside);
      continue;
    }
    const shift = f.leafShift(entry, level);
    // In a run of equal replicas the entry's own part of the leaf counts.
    const own = f.leafAddress(entry, shift) | (pa & (((<u64>1) << shift) - 1));
    if (own != pa || f.leafAccess(entry) != access) return UNLIKE;
    if (f.isDirty(entry)) kind = DIRTY;
  }
  return kind;
}

/** Address of the entry of `level` on the way to `iova`; everything above it is a table. */
function entryAt<F extends Format>(f: F, core: usize, domain: usize, iova: u64, level: u32): usize {
  let at = core + load<u32>(domain, DOMAIN_ROOT);
  let above = load<u32>(domain, DOMAIN_TOP);
  for (; above > level; --above) {
    at = core + f.tableOffset(load<u64>(at + (indexAt<F>(f, domain, above, iova) << 3)));
  }
  return at + (indexAt<F>(f, domain, level, iova) << 3);
}

/**
 * One leaf of 2^shift bytes in the place of all that maps the 2^shift bytes from `iova` on: DONE, or -EINVAL where these are not
 * one. Only looks where not `apply`. Leaves at least that large are left as they are.
 */
function mergeBlock<F extends Format>(f: F, core: usize, domain: usize, iova: u64, shift: u32, apply: bool): i32 {
  const level = levelOf<F>(f, shift);
  const found = walk<F>(f, core, domain, iova);
  const entry = load<u64>(entryOfWalk(found));
  if (!f.isPresent(entry)) return fail(EINVAL);
  const now = f.leafShift(entry, levelOfWalk(found));
  if (now >= shift) return DONE;
  const at = entryAt<F>(f, core, domain, iova, level);
  const pa = f.leafAddress(entry, now);
  const access = f.leafAccess(entry);
  const count = replicasOf<F>(f, shift, level);
  if (pa & (((<u64>1) << shift) - 1)) return fail(EINVAL);
  const kind = kindOf<F>(f, core, at, count, level, pa, access);
  if (kind == UNLIKE) return fail(EINVAL);
  if (!apply) return DONE;
  for (let i: u32 = 0; level && i < count; ++i) {
    const old = load<u64>(at + (i << 3));
    if (f.isTable(old)) freeTable<F>(f, core, domain, f.tableOffset(old), level - 1, 1 << f.tableBits());
  }
  makeLeaves<F>(f, domain, at, count, pa, shift, level, access, kind == DIRTY);
  return DONE;
}

/**
 * Merges [cursor, last], whole blocks of 2^shift bytes, into leaves of that size, at most `budget` at a time; only looks whether
 * that can be where not `apply`. DONE; MORE; -EINVAL: the size is not the domain's, or a block is not one leaf; -ENOMEM: no
 * memory for a root that must grow.
 */
export function mergeLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  shift: u32,
  apply: bool,
  budget: u32,
): i32 {
  if (!hasSize(domain, shift)) return fail(EINVAL);
  const mask = ((<u64>1) << shift) - 1;
  let cursor = load<u64>(cursorAt);
  if (cursor & mask || (last + 1) & mask) return fail(EINVAL);
  // A leaf as large as all that the root covers lies one level up.
  const grown = growTop<F>(f, core, domain, 0, levelOf<F>(f, shift));
  let status: i32 = grown ? MORE : fail(ENOMEM);
  while (status == MORE && budget-- != 0) {
    const found = mergeBlock<F>(f, core, domain, cursor, shift, apply);
    if (found != DONE) {
      status = found;
      break;
    }
    cursor += mask + 1;
    store<u64>(cursorAt, cursor);
    if (cursor - 1 == last) status = DONE;
  }
  shrinkTop<F>(f, core, domain);
  return status;
}

/** Marks the leaf of `iova` dirty, as a write would. -ENOENT: nothing mapped; -EINVAL: not made for tracking, or read-only. */
export function setDirty<F extends Format>(f: F, core: usize, domain: usize, iova: u64): i32 {
  const at = entryOfWalk(walk<F>(f, core, domain, iova));
  const entry = load<u64>(at);
  if (!f.isPresent(entry)) return fail(ENOENT);
  if (!(load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE) || !(f.leafAccess(entry) & ACCESS_WRITE))
    return fail(EINVAL);
  store<u64>(at, f.makeDirty(entry));
  return DONE;
}
