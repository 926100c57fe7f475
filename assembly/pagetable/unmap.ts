import { DOMAIN_MAPPED, DONE, EINVAL, MORE } from '../layout';
import { addLive, liveEntries } from '../memory/blocks';
import { fail } from '../memory/mailbox';
import { Format } from './format';
import { prune } from './prune';
import { entryOfWalk, entryShift, indexAt, levelOfWalk, replicasOf, walk } from './walk';

/**
 * Removes the leaves of [cursor, last], at most `budget` at a time, and the tables that become empty. A leaf that reaches
 * beyond `last` goes whole; a hole ends the work. DONE; MORE; -EINVAL: the range starts inside a leaf, and nothing is
 * changed. The end of what was removed is posted at `cursorAt`.
 */
export function unmapLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  budget: u32,
): i32 {
  let cursor = load<u64>(cursorAt);
  let status: i32 = MORE;
  do {
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    const first = cursor;
    let at = entryOfWalk(found);
    let index = indexAt<F>(f, level, cursor);
    const table = <u32>(at - core - (index << 3));
    let cleared: u32 = 0;
    while (status == MORE && budget != 0 && index >> f.tableBits() == 0) {
      const entry = load<u64>(at);
      if (!f.isPresent(entry)) {
        status = DONE;
        break;
      }
      if (level && f.isTable(entry)) break;
      const shift = f.leafShift(entry, level);
      if (cursor & (((<u64>1) << shift) - 1)) return fail(EINVAL);
      const copies = replicasOf<F>(f, shift, level);
      for (let i: u32 = 0; i < copies; ++i, at += 8) store<u64>(at, 0);
      cleared += copies;
      index += copies;
      cursor += (<u64>1) << shift;
      --budget;
      if (cursor - 1 >= last) status = DONE;
    }
    if (cleared) {
      addLive(core, table, -cleared);
      store<u64>(domain, load<u64>(domain, DOMAIN_MAPPED) - ((<u64>cleared) << entryShift<F>(f, level)), DOMAIN_MAPPED);
      if (liveEntries(core, table) == 0) prune<F>(f, core, domain, first);
    }
    store<u64>(cursorAt, cursor);
  } while (status == MORE && budget != 0);
  return status;
}
