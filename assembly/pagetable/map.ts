import {
  ACCESS_READ,
  ACCESS_WRITE,
  CORE_WANTED_UNITS,
  DOMAIN_FLAGS,
  DOMAIN_LAST,
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
import { addLive, take } from '../memory/blocks';
import { fail } from '../memory/mailbox';
import { countTable } from './domain';
import { Format } from './format';
import { prune } from './prune';
import { entryOfWalk, entryShift, indexAt, levelOf, levelOfWalk, replicasOf, walk } from './walk';

/**
 * Whether [iova, last] -> pa can be mapped as far as addresses go: DONE, -EINVAL (no rights, or not aligned to the
 * smallest leaf size of `sizes`), -ERANGE (beyond the domain's input or output range).
 */
export function checkMap(domain: usize, iova: u64, last: u64, pa: u64, access: u32, sizes: u64): i32 {
  const allowed = load<u64>(domain, DOMAIN_SIZES);
  if (!sizes || sizes & ~allowed || !access || access & ~(ACCESS_READ | ACCESS_WRITE)) return fail(EINVAL);
  const mask = ((<u64>1) << ctz(sizes)) - 1;
  if (last < iova || (iova | pa | (last + 1)) & mask) return fail(EINVAL);
  const lastPa = pa + (last - iova);
  if (last > load<u64>(domain, DOMAIN_LAST) || lastPa < pa || lastPa > load<u64>(domain, DOMAIN_OUTPUT_LAST)) {
    return fail(ERANGE);
  }
  return DONE;
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
  while (true) {
    const found = walk<F>(f, core, domain, cursor);
    const level = levelOfWalk(found);
    const size = (<u64>1) << entryShift<F>(f, level);
    let at = entryOfWalk(found);
    // Neighbours in the same table need no walk of their own.
    for (let rest = (1 << f.tableBits()) - indexAt<F>(f, level, cursor); rest; --rest, at += 8) {
      const entry = load<u64>(at);
      if (f.isPresent(entry)) {
        if (level && f.isTable(entry)) break;
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
}

/** What `descend` returns for a leaf in the way; no table lies at this offset. */
const BLOCKED: u32 = 1;

/**
 * The table of `level` on the way to `iova`, made with all above it where missing: its core offset; 0: out of memory;
 * BLOCKED: a larger leaf is mapped there.
 */
function descend<F extends Format>(f: F, core: usize, domain: usize, iova: u64, level: u32): u32 {
  let table = load<u32>(domain, DOMAIN_ROOT);
  for (let at = load<u32>(domain, DOMAIN_TOP); at > level; --at) {
    const slot = core + table + (indexAt<F>(f, at, iova) << 3);
    const entry = load<u64>(slot);
    if (f.isPresent(entry)) {
      if (!f.isTable(entry)) return BLOCKED;
      table = f.tableOffset(entry);
      continue;
    }
    const bytes: u32 = 8 << f.tableBits();
    const child = take(core, bytes);
    if (!child) return 0;
    store<u64>(slot, f.makeTable(child, at));
    addLive(core, table, 1);
    countTable(domain, bytes, 1);
    table = child;
  }
  return table;
}

function anyPresent<F extends Format>(f: F, at: usize, copies: u32): bool {
  for (const end = at + (copies << 3); at < end; at += 8) {
    if (f.isPresent(load<u64>(at))) return true;
  }
  return false;
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
  while (true) {
    const shift = bestShift(sizes, cursor, cursor + offset, last);
    const level = levelOf<F>(f, shift);
    const table = descend<F>(f, core, domain, cursor, level);
    if (!table) {
      wantTables<F>(f, core, domain, cursor, last, level);
      prune<F>(f, core, domain, cursor);
      return fail(ENOMEM);
    }
    if (table == BLOCKED) return fail(EADDRINUSE);
    const copies = replicasOf<F>(f, shift, level);
    let index = indexAt<F>(f, level, cursor);
    let filled: u32 = 0;
    let status: i32;
    do {
      const entry = f.makeLeaf(cursor + offset, shift, level, access, tracked);
      const at = core + table + (index << 3);
      if (anyPresent<F>(f, at, copies)) {
        status = fail(EADDRINUSE);
        break;
      }
      for (let i: u32 = 0; i < copies; ++i) store<u64>(at + (i << 3), entry);
      filled += copies;
      index += copies;
      cursor += (<u64>1) << shift;
      status = cursor - 1 == last ? DONE : MORE;
    } while (
      --budget != 0 &&
      status == MORE &&
      index >> f.tableBits() == 0 &&
      bestShift(sizes, cursor, cursor + offset, last) == shift
    );
    addLive(core, table, filled);
    store<u64>(domain, load<u64>(domain, DOMAIN_SIZES_USED) | ((<u64>1) << shift), DOMAIN_SIZES_USED);
    store<u64>(domain, load<u64>(domain, DOMAIN_MAPPED) + ((<u64>(filled / copies)) << shift), DOMAIN_MAPPED);
    store<u64>(cursorAt, cursor);
    if (status != MORE || budget == 0) return status;
  }
}
