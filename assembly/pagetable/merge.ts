// Merge: what maps a block becomes one leaf that is dirty if any part of it was. How the entry changes is up to the domain's update
// rule: at once, by way of an entry that is not present, or of a leaf that is not cached (MERGE_*).
//
// Where a leaf takes the place of a table at once, a walk that is cached may still lead to that table, and hardware may make
// entries in it dirty. So it stays as it is until the invalidation has completed, and is then looked at for the last time.

import {
  ACCESS_WRITE,
  DOMAIN_FUSED,
  DOMAIN_MERGED,
  DOMAIN_MERGED_COUNT,
  DOMAIN_ROOT,
  DOMAIN_TOP,
  DONE,
  EINVAL,
  ENOMEM,
  MAIL2,
  MAIL3,
  MERGED_BYTES,
  MERGED_CAPACITY,
  MERGED_IOVA,
  MERGED_LEVEL,
  MERGED_TABLE,
  MERGE_BREAK,
  MERGE_CHECK,
  MERGE_MAKE,
  MERGE_MARK,
  MORE,
} from '../layout';
import { noMemory, take } from '../memory/blocks';
import { fail, mail, post } from '../memory/mailbox';
import { freeTable, growTop, shrinkTop } from './domain';
import { Format } from './format';
import { breakLeaf, hasSize, makeLeaves, markUncached } from './split';
import { entryOfWalk, entryShift, indexAt, levelOf, levelOfWalk, replicasOf, walk } from './walk';

// What a block of leaves is, as one leaf:
const UNLIKE: u32 = 0; // not one: a hole, other rights, or addresses that do not follow each other
const CLEAN: u32 = 1;
const DIRTY: u32 = 2;

/** The entry as it was, where it is broken. */
function mended<F extends Format>(f: F, entry: u64): u64 {
  return entry && !f.isPresent(entry) ? f.mendEntry(entry) : entry;
}

/** What the `count` entries of `level` from `at` on are together, broken or not, if they lead to `pa` on with `access`. */
function kindOf<F extends Format>(f: F, core: usize, at: usize, count: u32, level: u32, pa: u64, access: u32): u32 {
  let kind = CLEAN;
  const span = (<u64>1) << entryShift<F>(f, level);
  for (let i: u32 = 0; i < count; ++i, at += 8, pa += span) {
    const entry = mended<F>(f, load<u64>(at));
    if (!entry) return UNLIKE;
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

/** Cleans all leaves below the table of `level` at core offset `table`. */
function cleanBelow<F extends Format>(f: F, core: usize, table: u32, level: u32): void {
  const end = core + table + (8 << f.tableBits());
  for (let at: usize = core + table; at < end; at += 8) {
    const entry = load<u64>(at);
    if (level && f.isTable(entry)) cleanBelow<F>(f, core, f.tableOffset(entry), level - 1);
    else if (f.isDirty(entry)) store<u64>(at, f.makeClean(entry));
  }
}

/** Whether hardware has made any leaf below the table of `level` at core offset `table` dirty. */
function dirtyBelow<F extends Format>(f: F, core: usize, table: u32, level: u32): bool {
  const end = core + table + (8 << f.tableBits());
  for (let at: usize = core + table; at < end; at += 8) {
    const entry = load<u64>(at);
    if (level && f.isTable(entry) ? dirtyBelow<F>(f, core, f.tableOffset(entry), level - 1) : f.isDirty(entry))
      return true;
  }
  return false;
}

function mendEntries<F extends Format>(f: F, at: usize, count: u32): void {
  for (const end = at + (count << 3); at < end; at += 8) store<u64>(at, mended<F>(f, load<u64>(at)));
}

/** Puts the table in the `level` entry at `at`, which a leaf at `iova` replaces, on the list of those to look at once more. */
function keepMerged<F extends Format>(f: F, core: usize, domain: usize, entry: u64, level: u32, iova: u64): void {
  const count = load<u32>(domain, DOMAIN_MERGED_COUNT);
  const record = core + load<u32>(domain, DOMAIN_MERGED) + count * MERGED_BYTES;
  const table = f.tableOffset(entry);
  store<u64>(record, iova, MERGED_IOVA);
  store<u32>(record, table, MERGED_TABLE);
  store<u32>(record, level - 1, MERGED_LEVEL);
  store<u32>(domain, count + 1, DOMAIN_MERGED_COUNT);
  // What it says now goes into the new leaf; what is found there later came later.
  cleanBelow<F>(f, core, table, level - 1);
}

/** Puts a leaf of 2^shift bytes into the `count` entries from `at` on, in the place of what they lead to. */
function replaceBlock<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  iova: u64,
  at: usize,
  shift: u32,
  pa: u64,
  access: u32,
  dirty: bool,
  how: u32,
): void {
  const level = levelOf<F>(f, shift);
  const count = replicasOf<F>(f, shift, level);
  let tables = false;
  for (let i: u32 = 0; level && i < count; ++i) {
    const old = load<u64>(at + (i << 3));
    if (!f.isTable(old)) continue;
    tables = true;
    // A broken block has been invalidated: nothing can lead to its tables any more.
    if (how == MERGE_MAKE) freeTable<F>(f, core, domain, f.tableOffset(old), level - 1, 1 << f.tableBits());
    else keepMerged<F>(f, core, domain, old, level, iova);
  }
  makeLeaves<F>(f, domain, at, count, pa, shift, level, access, dirty);
  if (how == MERGE_MARK && tables) markUncached<F>(f, at, count);
  store<u32>(domain, load<u32>(domain, DOMAIN_FUSED) + 1, DOMAIN_FUSED);
}

/**
 * Does `how` (MERGE_*) to what maps the 2^shift bytes from `iova` on. DONE, -EINVAL where that is not one leaf in all but size, or
 * MORE where the list of merged tables has no room. Leaves at least that large are left as they are.
 */
function mergeBlock<F extends Format>(f: F, core: usize, domain: usize, iova: u64, shift: u32, how: u32): i32 {
  const level = levelOf<F>(f, shift);
  const count = replicasOf<F>(f, shift, level);
  if (how == MERGE_MAKE) {
    const ended = walk<F>(f, core, domain, iova);
    const at = entryOfWalk(ended);
    if (levelOfWalk(ended) != level || f.isPresent(load<u64>(at)) || !load<u64>(at)) return DONE;
    mendEntries<F>(f, at, count);
  }
  const found = walk<F>(f, core, domain, iova);
  const entry = load<u64>(entryOfWalk(found));
  if (!f.isPresent(entry)) return fail(EINVAL);
  const now = f.leafShift(entry, levelOfWalk(found));
  if (now >= shift) return DONE;
  const block = entryAt<F>(f, core, domain, iova, level);
  const pa = f.leafAddress(entry, now);
  const access = f.leafAccess(entry);
  if (pa & (((<u64>1) << shift) - 1)) return fail(EINVAL);
  const kind = kindOf<F>(f, core, block, count, level, pa, access);
  if (kind == UNLIKE) return fail(EINVAL);
  if (how == MERGE_CHECK) return DONE;
  if (how != MERGE_MAKE && how != MERGE_BREAK) {
    if (!load<u32>(domain, DOMAIN_MERGED)) return fail(EINVAL);
    if (load<u32>(domain, DOMAIN_MERGED_COUNT) + count > <u32>MERGED_CAPACITY) return MORE;
  }
  post(core, MAIL2, min(mail(core, MAIL2), iova));
  post(core, MAIL3, max(mail(core, MAIL3), iova + (((<u64>1) << shift) - 1)));
  if (how == MERGE_BREAK) breakLeaf<F>(f, domain, block, count);
  else replaceBlock<F>(f, core, domain, iova, block, shift, pa, access, kind == DIRTY, how);
  return DONE;
}

/**
 * Does `how` to the blocks of [cursor, last], whole ones of 2^shift bytes, at most `budget` at a time. DONE; MORE, and where the list
 * of merged tables is full only once it has been emptied; -EINVAL: the size is not the domain's, or a block is not one leaf;
 * -ENOMEM: no memory for a root that must grow. MAIL2 .. MAIL3 is widened to hold what has changed.
 */
export function mergeLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  shift: u32,
  how: u32,
  budget: u32,
): i32 {
  if (!hasSize(domain, shift) || how > <u32>MERGE_MARK) return fail(EINVAL);
  const mask = ((<u64>1) << shift) - 1;
  let cursor = load<u64>(cursorAt);
  if (cursor & mask || (last + 1) & mask) return fail(EINVAL);
  // A leaf as large as all that the root covers lies one level up.
  const grown = growTop<F>(f, core, domain, 0, levelOf<F>(f, shift));
  let status: i32 = grown ? MORE : fail(ENOMEM);
  while (status == MORE && budget-- != 0) {
    const found = mergeBlock<F>(f, core, domain, cursor, shift, how);
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

/** Gets ready to merge: memory for the list of merged tables. DONE or -ENOMEM. */
export function beginMerge(core: usize, domain: usize): i32 {
  if (load<u32>(domain, DOMAIN_MERGED)) return DONE;
  const bytes: u32 = MERGED_BYTES * MERGED_CAPACITY;
  const list = take(core, bytes);
  if (!list) return noMemory(core, bytes);
  store<u32>(domain, list, DOMAIN_MERGED);
  return DONE;
}

/**
 * Looks at the tables that merges have replaced for the last time, at most `budget` of them: what hardware made dirty there since makes
 * the leaf in their place dirty, which is cached from now on. They are freed. DONE or MORE. Their invalidation has completed.
 */
export function foldMerged<F extends Format>(f: F, core: usize, domain: usize, budget: u32): i32 {
  let count = load<u32>(domain, DOMAIN_MERGED_COUNT);
  for (; count && budget; --budget) {
    const record = core + load<u32>(domain, DOMAIN_MERGED) + --count * MERGED_BYTES;
    const table = load<u32>(record, MERGED_TABLE);
    const level = load<u32>(record, MERGED_LEVEL);
    const found = walk<F>(f, core, domain, load<u64>(record, MERGED_IOVA));
    const at = entryOfWalk(found);
    const entry = load<u64>(at);
    if (f.isPresent(entry) && f.leafAccess(entry) & ACCESS_WRITE && dirtyBelow<F>(f, core, table, level)) {
      store<u64>(at, f.makeDirty(entry));
    }
    if (f.isPresent(entry)) store<u64>(at, f.makeUncached(load<u64>(at), false));
    freeTable<F>(f, core, domain, table, level, 1 << f.tableBits());
    store<u32>(domain, count, DOMAIN_MERGED_COUNT);
  }
  return count ? MORE : DONE;
}
