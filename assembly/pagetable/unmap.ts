import { DOMAIN_MAPPED, DOMAIN_TOP, DONE, EINVAL, MORE } from '../layout';
import { addLive, liveEntries } from '../memory/blocks';
import { fail } from '../memory/mailbox';
import { shrinkTop } from './domain';
import { Format } from './format';
import { prune } from './prune';
import { covers, entriesOf, entryOfWalk, entryShift, indexAt, levelOfWalk, replicasOf, walk } from './walk';

/**
 * How many of the `most` entries from `at` on can go at once, without a look at each: all, where the table is full and its
 * leaves fill one entry each.
 */
function wholeRun<F extends Format>(
  f: F,
  core: usize,
  table: u32,
  entries: u32,
  level: u32,
  at: usize,
  most: u32,
): u32 {
  if (level || liveEntries(core, table) != entries) return 0;
  const end = at + (most << 3);
  for (let p = at; p < end; p += 8) {
    if (f.leafShift(load<u64>(p), 0) != f.granuleShift()) return 0;
  }
  return most;
}

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
    if (!covers<F>(f, domain, cursor)) return DONE;
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    const first = cursor;
    let at = entryOfWalk(found);
    let index = indexAt<F>(f, domain, level, cursor);
    const entries = entriesOf<F>(f, domain, level);
    const table = <u32>(at - core - (index << 3));
    let cleared: u32 = 0;

    const span = entryShift<F>(f, level);
    const whole = <u32>min<u64>(min<u32>(entries - index, budget), (last - cursor + 1) >> span);
    if (whole > 1 && !(cursor & (((<u64>1) << span) - 1))) {
      cleared = wholeRun<F>(f, core, table, entries, level, at, whole);
      memory.fill(at, 0, cleared << 3);
      at += cleared << 3;
      index += cleared;
      cursor += (<u64>cleared) << span;
      budget -= cleared;
      if (cleared && cursor - 1 >= last) status = DONE;
    }
    while (status == MORE && budget != 0 && index < entries) {
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
      store<u64>(domain, load<u64>(domain, DOMAIN_MAPPED) - ((<u64>cleared) << span), DOMAIN_MAPPED);
      if (liveEntries(core, table) == 0) prune<F>(f, core, domain, first);
      else if (level == load<u32>(domain, DOMAIN_TOP)) shrinkTop<F>(f, core, domain);
    }
    store<u64>(cursorAt, cursor);
  } while (status == MORE && budget != 0);
  return status;
}
