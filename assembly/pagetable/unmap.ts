import { DOMAIN_BROKEN, DOMAIN_MAPPED, DOMAIN_TOP, DONE, EINVAL, MORE } from '../layout';
import { addLive, liveEntries } from '../memory/blocks';
import { check } from '../memory/check';
import { fail } from '../memory/mailbox';
import { shrinkTop } from './domain';
import { Format } from './format';
import { prune } from './prune';
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

/** A lane is not 0 where its entry is present. */
function presentBits<F extends Format>(f: F, at: usize, offset: usize): v128 {
  return v128.and(v128.load(at + offset), i64x2.splat(f.presentBits()));
}

/**
 * Clears the first of `most` entries from `at` on that are present, eight at a time, and stops before the eight that are not; how
 * many. They must be leaves of one entry each.
 */
function clearPresent<F extends Format>(f: F, at: usize, most: u32): u32 {
  const none = i64x2.splat(0);
  const first = at;
  for (const end = at + ((most & ~7) << 3); at < end; at += 64) {
    const low = v128.or(i64x2.eq(presentBits<F>(f, at, 0), none), i64x2.eq(presentBits<F>(f, at, 16), none));
    const high = v128.or(i64x2.eq(presentBits<F>(f, at, 32), none), i64x2.eq(presentBits<F>(f, at, 48), none));
    if (v128.any_true(v128.or(low, high))) break;
    v128.store(at, none);
    v128.store(at, none, 16);
    v128.store(at, none, 32);
    v128.store(at, none, 48);
  }
  return <u32>((at - first) >> 3);
}

/**
 * Clears as many leaves of the smallest size as can go without a look at each, of the `most` entries from `at` on; how many. With
 * `frees`, a table that becomes empty may keep its bytes.
 */
function clearRun<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  table: u32,
  entries: u32,
  at: usize,
  most: u32,
  frees: bool,
): u32 {
  // Where all entries are taken and none was ever broken, all are leaves, and nobody needs to look.
  if (most == entries && liveEntries(core, table) == entries && !load<u32>(domain, DOMAIN_BROKEN)) {
    check(f.isPresent(load<u64>(at)) && f.isPresent(load<u64>(at + ((entries - 1) << 3))));
    if (!frees) memory.fill(at, 0, entries << 3);
    return entries;
  }
  return clearPresent<F>(f, at, most);
}

/**
 * Removes the leaves of [cursor, last], at most `budget` at a time, and the tables that become empty. A leaf that reaches
 * beyond `last` goes whole; a hole ends the work. DONE; MORE; -EINVAL: the range starts inside a leaf, and nothing is
 * changed. The end of what was removed is posted at `cursorAt`. With `frees` the tables are freed at once: nothing happens until
 * the invalidation.
 */
export function unmapLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  frees: bool,
  budget: u32,
): i32 {
  let cursor = load<u64>(cursorAt);
  let status: i32 = MORE;
  const smallest = onlySmallest<F>(f, domain);
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
    if (smallest && !level && whole >= 8 && !(cursor & (((<u64>1) << span) - 1))) {
      const keeps = !frees || level == load<u32>(domain, DOMAIN_TOP);
      cleared = clearRun<F>(f, core, domain, table, entries, at, whole, !keeps);
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
      if (liveEntries(core, table) == 0) prune<F>(f, core, domain, first, frees);
      else if (level == load<u32>(domain, DOMAIN_TOP)) shrinkTop<F>(f, core, domain);
    }
    store<u64>(cursorAt, cursor);
  } while (status == MORE && budget != 0);
  return status;
}
