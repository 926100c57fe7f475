import {
  ACCESS_GLOBAL,
  ACCESS_READ,
  ACCESS_WRITE,
  CORE_WANTED_UNITS,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_MAPPED,
  DOMAIN_OUTPUT_LAST,
  DOMAIN_ROOT,
  DOMAIN_SIZES,
  DOMAIN_SIZES_USED,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DONE,
  EADDRINUSE,
  EINVAL,
  ENOMEM,
  ERANGE,
  MORE,
  UNIT_SHIFT,
} from '../layout';
import { addLive, liveEntries, take, takeUncleared } from '../memory/blocks';
import { fail } from '../memory/mailbox';
import { countTable, growTop, inRange } from './domain';
import { Format } from './format';
import { prune } from './prune';
import { stageOf } from './stage';
import { covers, entriesOf, entryOfWalk, entryShift, indexAt, levelOf, levelOfWalk, replicasOf, walk } from './walk';

/**
 * Whether [iova, last] -> pa can be mapped as far as addresses go: DONE, -EINVAL (no rights, or not aligned to the
 * smallest leaf size of `sizes`), -ERANGE (beyond the domain's input or output range).
 */
export function checkMap(domain: usize, iova: u64, last: u64, pa: u64, access: u32, sizes: u64): i32 {
  const allowed = load<u64>(domain, DOMAIN_SIZES);
  const rights = stageOf(load<u32>(domain, DOMAIN_FORMAT)) == 1 ? access & ~ACCESS_GLOBAL : access;
  if (!sizes || sizes & ~allowed || !rights || rights & ~(ACCESS_READ | ACCESS_WRITE)) return fail(EINVAL);
  const mask = ((<u64>1) << ctz(sizes)) - 1;
  if (last < iova || (iova | pa | (last + 1)) & mask) return fail(EINVAL);
  const lastPa = pa + (last - iova);
  const reachable = lastPa >= pa && lastPa <= load<u64>(domain, DOMAIN_OUTPUT_LAST);
  return reachable && inRange(domain, iova, last) ? DONE : fail(ERANGE);
}

/** log2 of the largest leaf of `sizes` that may start at iova -> pa and end by `last`. */
function bestShift(sizes: u64, iova: u64, pa: u64, last: u64): u32 {
  const address = iova | pa;
  const aligned: u64 = address ? ctz(address) : 63;
  const length = last - iova + 1;
  const fits: u64 = length ? 63 - clz(length) : 63;
  return 63 - <u32>clz(sizes & (((<u64>2) << min(aligned, fits)) - 1));
}

/**
 * Looks for anything mapped within [cursor, last], at most `budget` entries at a time. DONE: nothing there; MORE with
 * the next address posted at `cursorAt`; -EADDRINUSE.
 */
export function checkFree<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  budget: u32,
): i32 {
  let cursor = load<u64>(cursorAt);
  while (covers<F>(f, domain, cursor)) {
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    const size = (<u64>1) << entryShift<F>(f, level);
    let at = entryOfWalk(found);
    // Neighbours in the same table need no walk of their own.
    for (let rest = entriesOf<F>(f, domain, level) - indexAt<F>(f, domain, level, cursor); rest; --rest, at += 8) {
      const entry = load<u64>(at);
      // What is broken is there all the same.
      if (entry) {
        if (level && f.isPresent(entry) && f.isTable(entry)) break;
        return fail(EADDRINUSE);
      }
      cursor = (cursor & ~(size - 1)) + size;
      if (cursor - 1 >= last) return DONE;
      if (--budget == 0) {
        store<u64>(cursorAt, cursor);
        return MORE;
      }
    }
  }
  return DONE;
}

/** What `descend` returns for a leaf in the way; no table lies at this offset. */
const BLOCKED: u32 = 1;
/** Set in what `descend` returns for a table that it has made and not cleared. */
const UNCLEARED: u32 = 2;

/**
 * The table of `level` on the way to `iova`, made with all above it where missing: its core offset, perhaps with UNCLEARED; 0: out
 * of memory; BLOCKED: a larger leaf is mapped there.
 */
function descend<F extends Format>(f: F, core: usize, domain: usize, iova: u64, level: u32): u32 {
  let table = load<u32>(domain, DOMAIN_ROOT);
  let made: u32 = 0;
  for (let at = load<u32>(domain, DOMAIN_TOP); at > level; --at) {
    const slot = core + table + (indexAt<F>(f, domain, at, iova) << 3);
    const entry = load<u64>(slot);
    if (entry) {
      if (!f.isPresent(entry) || !f.isTable(entry)) return BLOCKED;
      table = f.tableOffset(entry);
      continue;
    }
    const bytes: u32 = 8 << f.tableBits();
    made = at == level + 1 ? UNCLEARED : 0;
    const child = made ? takeUncleared(core, bytes) : take(core, bytes);
    if (!child) return 0;
    store<u64>(slot, f.makeTable(child, at));
    addLive(core, table, 1);
    countTable(domain, bytes, 1);
    table = child;
  }
  return table | made;
}

/** Clears all but `count` entries from `index` on of the table at `table`, which has `bytes`. */
function clearAround(table: usize, bytes: u32, index: u32, count: u32): void {
  const end = (index + count) << 3;
  if (index) memory.fill(table, 0, index << 3);
  if (end < bytes) memory.fill(table + end, 0, bytes - end);
}

/** Whether any of `count` entries from `at` on is there, broken ones included. */
function anyUsed(at: usize, count: u32): bool {
  const end = at + (count << 3);
  let any = i64x2.splat(0);
  let more = any;
  for (const eights = at + ((count & ~7) << 3); at < eights; at += 64) {
    any = v128.or(any, v128.or(v128.load(at), v128.load(at, 16)));
    more = v128.or(more, v128.or(v128.load(at, 32), v128.load(at, 48)));
  }
  let rest: u64 = 0;
  for (; at < end; at += 8) rest |= load<u64>(at);
  return rest != 0 || v128.any_true(v128.or(any, more));
}

/** Posts an upper bound of the units that the tables for [iova, last] need, so that ENOMEM can say what would do. */
function wantTables<F extends Format>(f: F, core: usize, domain: usize, iova: u64, last: u64, level: u32): void {
  const top = load<u32>(domain, DOMAIN_TOP);
  // Smaller leaves at the end of the range may need a way of their own.
  let units = (<u64>top) << (f.tableBits() + 3 - UNIT_SHIFT);
  for (; level < top; ++level) {
    const span = entryShift<F>(f, level + 1);
    units += ((last >> span) - (iova >> span) + 1) << (f.tableBits() + 3 - UNIT_SHIFT);
  }
  store<u32>(core, <u32>min<u64>(units, u32.MAX_VALUE), CORE_WANTED_UNITS);
}

/**
 * Writes the leaves of 2^shift bytes for `count` entries from `at` on, `copies` entries each, the first one to `pa`. Where
 * the entries of neighbours differ by a constant, which holds but across a split address field, eight are written at a time.
 */
export function fillLeaves<F extends Format>(
  f: F,
  at: usize,
  count: u32,
  copies: u32,
  pa: u64,
  shift: u32,
  level: u32,
  access: u32,
  tracked: bool,
): void {
  const size = (<u64>1) << shift;
  const first = f.makeLeaf(pa, shift, level, access, tracked);
  const end = at + (count << 3);
  if (copies == 1 && count > 1) {
    const step = f.makeLeaf(pa + size, shift, level, access, tracked) - first;
    if (first + step * (count - 1) == f.makeLeaf(pa + size * (count - 1), shift, level, access, tracked)) {
      let pair = i64x2.replace_lane(i64x2.splat(first), 1, first + step);
      const two = i64x2.splat(step << 1);
      const four = i64x2.splat(step << 2);
      const six = i64x2.add(two, four);
      const eight = i64x2.splat(step << 3);
      for (const eights = at + ((count & ~7) << 3); at < eights; at += 64) {
        v128.store(at, pair);
        v128.store(at, i64x2.add(pair, two), 16);
        v128.store(at, i64x2.add(pair, four), 32);
        v128.store(at, i64x2.add(pair, six), 48);
        pair = i64x2.add(pair, eight);
      }
      let entry = <u64>i64x2.extract_lane(pair, 0);
      for (; at < end; at += 8, entry += step) store<u64>(at, entry);
      return;
    }
  }
  const stride = f.runStride(level);
  for (; at < end; pa += size) {
    let entry = f.makeLeaf(pa, shift, level, access, tracked);
    for (let i: u32 = 0; i < copies; ++i, at += 8, entry += stride) store<u64>(at, entry);
  }
}

/** How many leaves of 2^shift bytes follow each other from `cursor` -> `pa` until another size fits better, or `last`. */
function sameSize(sizes: u64, shift: u32, cursor: u64, pa: u64, last: u64): u64 {
  const left = (last - cursor) >> shift;
  const rest = ((last - cursor) & (((<u64>1) << shift) - 1)) == ((<u64>1) << shift) - 1;
  let count = rest ? left + 1 : left;
  const larger = shift < 63 ? sizes >> (shift + 1) : 0;
  if (larger) {
    // The next larger leaf begins where both addresses are aligned to it, if they ever are.
    const next = <u64>shift + 1 + ctz(larger);
    const mask = ((<u64>1) << next) - 1;
    const until = (((<u64>1) << next) - (cursor & mask)) & mask;
    if ((cursor & mask) == (pa & mask) && until && last - cursor >= until) {
      if (last - cursor - until >= mask) count = min(count, until >> shift);
    }
  }
  return count;
}

/** Something is mapped at `iova`: the root may have grown for nothing. */
function inTheWay<F extends Format>(f: F, core: usize, domain: usize, iova: u64): i32 {
  prune<F>(f, core, domain, iova, false);
  return fail(EADDRINUSE);
}

/**
 * Maps [cursor, last] to `pa` on, with the largest leaves of `sizes` that fit, at most `budget` leaves at a time. The range
 * must be free (checkFree) and has passed checkMap. DONE; MORE; -ENOMEM or -EADDRINUSE with everything before the cursor
 * mapped. The next address is posted at `cursorAt` in each case.
 */
export function mapLeaves<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  cursorAt: usize,
  last: u64,
  pa: u64,
  access: u32,
  sizes: u64,
  budget: u32,
): i32 {
  const tracked = (load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE) != 0;
  let cursor = load<u64>(cursorAt);
  const offset = pa - cursor;
  // The first leaf may be as large as all that the root covers, and then lies one level up.
  if (!growTop<F>(f, core, domain, last, levelOf<F>(f, bestShift(sizes, cursor, pa, last)))) {
    wantTables<F>(f, core, domain, cursor, last, 0);
    prune<F>(f, core, domain, cursor, false);
    return fail(ENOMEM);
  }
  while (true) {
    const shift = bestShift(sizes, cursor, cursor + offset, last);
    const level = levelOf<F>(f, shift);
    const found = descend<F>(f, core, domain, cursor, level);
    if (!found) {
      wantTables<F>(f, core, domain, cursor, last, level);
      prune<F>(f, core, domain, cursor, false);
      return fail(ENOMEM);
    }
    if (found == BLOCKED) return inTheWay<F>(f, core, domain, cursor);
    const table = found & ~UNCLEARED;
    const copies = replicasOf<F>(f, shift, level);
    const index = indexAt<F>(f, domain, level, cursor);
    const room = (entriesOf<F>(f, domain, level) - index) / copies;
    const leaves = <u32>min<u64>(min<u32>(room, budget), sameSize(sizes, shift, cursor, cursor + offset, last));
    const at = core + table + (index << 3);
    if (found & UNCLEARED) clearAround(core + table, 8 << f.tableBits(), index, leaves * copies);
    else if (liveEntries(core, table) && anyUsed(at, leaves * copies)) return inTheWay<F>(f, core, domain, cursor);
    fillLeaves<F>(f, at, leaves * copies, copies, cursor + offset, shift, level, access, tracked);
    addLive(core, table, leaves * copies);
    store<u64>(domain, load<u64>(domain, DOMAIN_SIZES_USED) | ((<u64>1) << shift), DOMAIN_SIZES_USED);
    store<u64>(domain, load<u64>(domain, DOMAIN_MAPPED) + ((<u64>leaves) << shift), DOMAIN_MAPPED);
    cursor += (<u64>leaves) << shift;
    store<u64>(cursorAt, cursor);
    if (cursor - 1 == last) return DONE;
    budget -= leaves;
    if (!budget) return MORE;
  }
}
