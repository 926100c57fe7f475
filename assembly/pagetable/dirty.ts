import { DOMAIN_SIZES_USED, DONE, MAIL1, MAIL2, MAIL3, MORE, READ_DIRTY_NO_CLEAR } from '../layout';
import { markAddresses, markWord } from '../bitmap/mark';
import { mail, post } from '../memory/mailbox';
import { dirtyGroup, GROUP } from './dirty-group';
import { Format } from './format';
import { leafIsDirty } from './translate';
import { covers, entriesOf, entryOfWalk, entryShift, indexAt, levelOfWalk, replicasOf, walk } from './walk';

/** Cleans every replica of the leaf whose first entry lies at `at`. */
function cleanLeaf<F extends Format>(f: F, at: usize, copies: u32): void {
  for (let i: u32 = 0; i < copies; ++i, at += 8) {
    const entry = load<u64>(at);
    if (f.isDirty(entry)) store<u64>(at, f.makeClean(entry));
  }
}

/** Whether the tables of the smallest leaves hold no leaf that fills several entries, so that each entry speaks for itself. */
function onlySmallest<F extends Format>(f: F, domain: usize): bool {
  const above = (load<u64>(domain, DOMAIN_SIZES_USED) >> f.granuleShift()) >> 1;
  return (above & (((<u64>1) << (f.tableBits() - 1)) - 1)) == 0;
}

/**
 * Reports to the bitmap at `into` (0: to none) the dirty leaves of [cursor, last], clipped to [first, last], and cleans those
 * that lie wholly inside, at most `budget` entries at a time. The next address is posted at `cursorAt`; MAIL1 .. MAIL2 is
 * widened to hold what was cleaned (first > last: nothing yet), MAIL3 counts the entries looked at. DONE or MORE.
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
  const smallest = onlySmallest<F>(f, domain);
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
        if (leafIsDirty<F>(f, at, shift, level)) {
          if (into) markAddresses(core, into, max(start, first), min(end, last));
          if (clear && start >= first && end <= last) {
            cleanLeaf<F>(f, at, copies);
            gatherFirst = min(gatherFirst, start);
            gatherLast = max(gatherLast, end);
          }
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
