import {
  DOMAIN_QUIRKS,
  DOMAIN_RESERVED,
  DOMAIN_SIZES_USED,
  DONE,
  MAIL1,
  MAIL2,
  MAIL3,
  MAIL6,
  MORE,
  QUIRK_CLEAR_ONE_REPLICA,
  QUIRK_CLEAR_WHOLE_LEAF,
  QUIRK_UNALIGNED_START,
  READ_DIRTY_BREAK,
  READ_DIRTY_MARK,
  READ_DIRTY_NO_CLEAR,
  READ_DIRTY_SHIFT,
  READ_DIRTY_SWAP,
} from '../layout';
import { markAddresses, markWord } from '../bitmap/mark';
import { mail, post } from '../memory/mailbox';
import { dirtyGroup, GROUP } from './dirty-group';
import { Format } from './format';
import { breakLeaf, markUncached, splitOnce } from './split';
import { leafIsDirty } from './translate';
import { covers, entriesOf, entryOfWalk, entryShift, indexAt, levelOfWalk, replicasOf, walk } from './walk';

/** Cleans every replica of the leaf whose first entry lies at `at`. */
function cleanLeaf<F extends Format>(f: F, at: usize, copies: u32): void {
  for (let i: u32 = 0; i < copies; ++i, at += 8) {
    const entry = load<u64>(at);
    if (f.isDirty(entry)) store<u64>(at, f.makeClean(entry));
  }
}

/**
 * Cleans the dirty leaf of 2^shift bytes whose entry lies at `at`; where it is larger than asked for in `flags` it is also split, into
 * clean leaves, or broken or marked for that. Without memory for it, it stays as it is.
 */
function cleanOrSplit<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  at: usize,
  shift: u32,
  level: u32,
  flags: u32,
): void {
  const copies = replicasOf<F>(f, shift, level);
  const one = (load<u32>(domain, DOMAIN_QUIRKS) & QUIRK_CLEAR_ONE_REPLICA) != 0;
  cleanLeaf<F>(f, at, one ? 1 : copies);
  const to = flags >> READ_DIRTY_SHIFT;
  if (!(flags & (READ_DIRTY_SWAP | READ_DIRTY_BREAK | READ_DIRTY_MARK)) || shift <= to) return;
  if (flags & READ_DIRTY_BREAK) breakLeaf<F>(f, domain, at, copies);
  else if (flags & READ_DIRTY_MARK && level) markUncached<F>(f, at, copies);
  else splitOnce<F>(f, core, domain, at, load<u64>(at), level, to, false);
}

/** How many tables it takes to split a dirty leaf of 2^shift bytes on the way as `flags` says, where the reserve has fewer; else 0. */
function lacksTables<F extends Format>(f: F, domain: usize, shift: u32, level: u32, flags: u32): u32 {
  const here = flags & READ_DIRTY_SWAP || (flags & READ_DIRTY_MARK && !level);
  if (!here || shift <= flags >> READ_DIRTY_SHIFT) return 0;
  const copies = replicasOf<F>(f, shift, level);
  return load<u32>(domain, DOMAIN_RESERVED) < copies ? copies : 0;
}

/** Whether the tables of the smallest leaves hold no leaf that fills several entries, so that each entry speaks for itself. */
function onlySmallest<F extends Format>(f: F, domain: usize): bool {
  const above = (load<u64>(domain, DOMAIN_SIZES_USED) >> f.granuleShift()) >> 1;
  return (above & (((<u64>1) << (f.tableBits() - 1)) - 1)) == 0;
}

/**
 * Reports to the bitmap at `into` (0: to none) the dirty leaves of [cursor, last], clipped to [first, last], and cleans those
 * that lie wholly inside, at most `budget` entries at a time. The next address is posted at `cursorAt`; MAIL1 .. MAIL2 is
 * widened to hold what was cleaned (first > last: nothing yet), MAIL3 counts the entries looked at, MAIL6 says how many tables
 * a leaf wants that is to be split and for which the reserve has too few. DONE or MORE.
 *
 * The caller invalidates MAIL1 .. MAIL2 before it lets the bitmap be used: see src/iommu/domain.ts.
 */
export function readDirty<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  first: u64,
  last: u64,
  into: usize,
  flags: u32,
  budget: u32,
): i32 {
  let cursor = load<u64>(cursorAt);
  let gatherFirst = mail(core, MAIL1);
  let gatherLast = mail(core, MAIL2);
  let entries = mail(core, MAIL3);
  let status: i32 = MORE;
  const clear = !(flags & READ_DIRTY_NO_CLEAR);
  const quirks = load<u32>(domain, DOMAIN_QUIRKS);
  const smallest = onlySmallest<F>(f, domain);
  post(core, MAIL6, 0);
  const groupLast = ((<u64>GROUP) << f.granuleShift()) - 1;
  while (status == MORE && budget != 0) {
    if (!covers<F>(f, domain, cursor)) {
      cursor = last + 1;
      status = DONE;
      break;
    }
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    const span = (<u64>1) << entryShift<F>(f, level);
    const count = entriesOf<F>(f, domain, level);
    let index = indexAt<F>(f, domain, level, cursor);
    let at = entryOfWalk(found);
    while (budget != 0 && index < count) {
      // 64 at a time, where no other step may come in between and the query has them whole.
      if (smallest && level == 0 && budget >= GROUP && !(cursor & groupLast) && last - cursor >= groupLast) {
        const word = dirtyGroup<F>(f, at, clear);
        if (word) {
          if (into) markWord(core, into, cursor, word, f.granuleShift());
          if (clear) {
            gatherFirst = min(gatherFirst, cursor + (ctz(word) << f.granuleShift()));
            gatherLast = max(gatherLast, cursor + ((64 - clz(word)) << f.granuleShift()) - 1);
          }
        }
        entries += GROUP;
        index += GROUP;
        at += GROUP << 3;
        budget -= GROUP;
        cursor += groupLast + 1;
        if (cursor - 1 >= last) {
          status = DONE;
          break;
        }
        continue;
      }
      const entry = load<u64>(at);
      let copies: u32 = 1;
      let start = cursor & ~(span - 1);
      let end = start + (span - 1);
      if (f.isPresent(entry)) {
        if (level && f.isTable(entry)) break;
        const shift = f.leafShift(entry, level);
        copies = replicasOf<F>(f, shift, level);
        start = cursor & (u64.MAX_VALUE << shift);
        end = start + (((<u64>1) << shift) - 1);
        index &= -copies;
        at = at & -((<usize>copies) << 3);
        const dirty = leafIsDirty<F>(f, at, shift, level);
        // A driver that does not align the start takes the leaf to begin there, and goes on as far behind its end.
        const shifted = quirks & QUIRK_UNALIGNED_START ? cursor - start : 0;
        if (dirty) {
          if (into) markAddresses(core, into, max(start + shifted, first), min(end + shifted, last));
          if (clear && ((start >= first && end <= last) || quirks & QUIRK_CLEAR_WHOLE_LEAF)) {
            const lacking = lacksTables<F>(f, domain, shift, level, flags);
            if (lacking) {
              post(core, MAIL6, lacking);
              budget = 0;
              break;
            }
            cleanOrSplit<F>(f, core, domain, at, shift, level, flags);
            gatherFirst = min(gatherFirst, start);
            gatherLast = max(gatherLast, end);
          }
        }
        if (shifted) {
          entries += copies;
          cursor = end + shifted + 1;
          if (end + shifted >= last) status = DONE;
          budget = budget - 1;
          break;
        }
      }
      entries += copies;
      index += copies;
      at += copies << 3;
      cursor = end + 1;
      --budget;
      if (end >= last) {
        status = DONE;
        break;
      }
    }
  }
  store<u64>(cursorAt, cursor);
  post(core, MAIL1, gatherFirst);
  post(core, MAIL2, gatherLast);
  post(core, MAIL3, entries);
  return status;
}
