import {
  DOMAIN_QUIRKS,
  DOMAIN_RESERVED,
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
import { markAddresses, markWord, wordsOf } from '../bitmap/mark';
import { mail, post } from '../memory/mailbox';
import { dirtyGroup, dirtyGroups, GROUP, MOST_GROUPS } from './dirty-group';
import { Format } from './format';
import { breakLeaf, markUncached, splitOnce } from './split';
import { leafIsDirty } from './translate';
import {
  covers,
  entriesOf,
  entryOfWalk,
  entryShift,
  indexAt,
  levelOfWalk,
  onlySmallest,
  replicasOf,
  walk,
} from './walk';

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
  const shift: u64 = f.granuleShift();
  const groupLast = ((<u64>GROUP) << shift) - 1;
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
      // Groups of 64, where no other step may come in between and the query has them whole.
      if (smallest && level == 0 && budget >= GROUP && !(cursor & groupLast) && last - cursor >= groupLast) {
        const room = min(count - index, budget) / GROUP;
        const groups = <u32>min<u64>(min<u32>(room, MOST_GROUPS), (last - cursor - groupLast) / (groupLast + 1) + 1);
        const dirty = dirtyGroups<F>(f, at, groups);
        const words = into ? wordsOf(core, into, cursor, shift) : 0;
        let word: u64 = 0;
        for (let rest = dirty; rest; rest &= rest - 1) {
          const group = ctz(rest);
          word = dirtyGroup<F>(f, at + ((group * GROUP) << 3), clear);
          const start = cursor + ((<u64>(group * GROUP)) << shift);
          if (words) store<u64>(words + (group << 3), load<u64>(words + (group << 3)) | word);
          else if (into) markWord(core, into, start, word, shift);
          if (clear && rest == dirty) gatherFirst = min(gatherFirst, start + (ctz(word) << shift));
        }
        if (clear && dirty) {
          const end = <u64>((31 - clz(dirty)) * GROUP) + (64 - clz(word));
          gatherLast = max(gatherLast, cursor + (end << shift) - 1);
        }
        entries += groups * GROUP;
        index += groups * GROUP;
        at += (groups * GROUP) << 3;
        budget -= groups * GROUP;
        cursor += <u64>groups * (groupLast + 1);
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
        const size = f.leafShift(entry, level);
        copies = replicasOf<F>(f, size, level);
        start = cursor & (u64.MAX_VALUE << size);
        end = start + (((<u64>1) << size) - 1);
        index &= -copies;
        at = at & -((<usize>copies) << 3);
        const dirty = leafIsDirty<F>(f, at, size, level);
        // A driver that does not align the start takes the leaf to begin there, and goes on as far behind its end.
        const shifted = quirks & QUIRK_UNALIGNED_START ? cursor - start : 0;
        if (dirty) {
          if (into) markAddresses(core, into, max(start + shifted, first), min(end + shifted, last));
          if (clear && ((start >= first && end <= last) || quirks & QUIRK_CLEAR_WHOLE_LEAF)) {
            const lacking = lacksTables<F>(f, domain, size, level, flags);
            if (lacking) {
              post(core, MAIL6, lacking);
              budget = 0;
              break;
            }
            cleanOrSplit<F>(f, core, domain, at, size, level, flags);
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
