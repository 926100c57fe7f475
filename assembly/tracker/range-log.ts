// A device's own dirty log: ranges of IOVA, one bit per log page. What the device writes outside the ranges is not logged.

import {
  CORE_TRANSFER,
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  KIND_BITMAP,
  KIND_LOG,
  LOG_MARKED,
  LOG_MAX_RANGES,
  LOG_RANGES,
  LOG_RANGE_BYTES,
  LOG_RANGE_DATA,
  LOG_RANGE_LAST,
  LOG_RANGE_PAGES,
  LOG_RANGE_START,
  LOG_SHIFT,
  LOG_TABLE,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  MORE,
  SLOT_USERS,
  UNIT_SHIFT,
} from '../layout';
import { checkTarget, drainBits } from '../bitmap/drain';
import { setBits } from '../bitmap/mark';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';

/** Bytes that `count` ranges at `list` need for their bits, or 0 where a range is not whole pages, empty, or out of order. */
function bytesOfRanges(list: usize, count: u32, shift: u32): u64 {
  const mask = ((<u64>1) << shift) - 1;
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < count; ++i, list += 16) {
    const start = load<u64>(list);
    const last = load<u64>(list, 8);
    const pages = ((last - start) >> shift) + 1;
    if (start > last || (start | (last + 1)) & mask || pages > u32.MAX_VALUE) return 0;
    if (i && start <= load<u64>(list - 8)) return 0;
    bytes += ((pages + 63) >> 6) << 3;
  }
  return bytes;
}

/**
 * A log over the `count` ranges that lie in the transfer buffer as pairs (start u64, last u64), ascending and disjoint, with
 * pages of 2^shift bytes, 11 .. 63; its handle. EINVAL, ENOMEM.
 */
export function logCreate(core: usize, shift: u32, count: u32): i32 {
  if (shift < <u32>UNIT_SHIFT || shift > 63 || !count || count > <u32>LOG_MAX_RANGES) return fail(EINVAL);
  const list = core + load<u32>(core, CORE_TRANSFER);
  const bits = bytesOfRanges(list, count, shift);
  if (!bits) return fail(EINVAL);
  const bytes = bits + count * LOG_RANGE_BYTES;
  const handle = bytes < 0xfff0_0000 ? openSlot(core, KIND_LOG) : 0;
  const table = handle ? take(core, <u32>bytes) : 0;
  if (!table) {
    if (handle) closeSlot(core, handle);
    return noMemory(core, bytes);
  }
  const slot = slotOf(core, handle, KIND_LOG);
  store<u32>(slot, count, LOG_RANGES);
  store<u32>(slot, shift, LOG_SHIFT);
  store<u32>(slot, table, LOG_TABLE);
  let data = table + count * LOG_RANGE_BYTES;
  for (let i: u32 = 0; i < count; ++i) {
    const start = load<u64>(list + (i << 4));
    const last = load<u64>(list + (i << 4), 8);
    const range = core + table + i * LOG_RANGE_BYTES;
    const pages = <u32>(((last - start) >> shift) + 1);
    store<u64>(range, start, LOG_RANGE_START);
    store<u64>(range, last, LOG_RANGE_LAST);
    store<u32>(range, data, LOG_RANGE_DATA);
    store<u32>(range, pages, LOG_RANGE_PAGES);
    data += <u32>(((<u64>pages + 63) >> 6) << 3);
  }
  return handle;
}

/** Frees a log. EBADF; EBUSY: a device logs in it. */
export function logDestroy(core: usize, log: u32): i32 {
  const slot = slotOf(core, log, KIND_LOG);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  give(core, load<u32>(slot, LOG_TABLE));
  closeSlot(core, log);
  return DONE;
}

/** Number of the first range of the log at `log` that does not end before `iova`, or the number of ranges. */
function firstRange(core: usize, log: usize, iova: u64): u32 {
  const table = core + load<u32>(log, LOG_TABLE);
  let low: u32 = 0;
  let high = load<u32>(log, LOG_RANGES);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u64>(table + middle * LOG_RANGE_BYTES, LOG_RANGE_LAST) < iova) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The device has written [first, last]: every log page that it touches is marked. */
export function logWrite(core: usize, log: usize, first: u64, last: u64): void {
  const shift = <u64>load<u32>(log, LOG_SHIFT);
  const count = load<u32>(log, LOG_RANGES);
  for (let i = firstRange(core, log, first); i < count; ++i) {
    const range = core + load<u32>(log, LOG_TABLE) + i * LOG_RANGE_BYTES;
    const start = load<u64>(range, LOG_RANGE_START);
    if (start > last) return;
    const from = <u32>((max(first, start) - start) >> shift);
    const to = <u32>((min(last, load<u64>(range, LOG_RANGE_LAST)) - start) >> shift);
    setBits(core + load<u32>(range, LOG_RANGE_DATA), from, to);
    store<u64>(log, load<u64>(log, LOG_MARKED) + (to - from + 1), LOG_MARKED);
  }
}

/** Range number `index` of the log at `log` into the bitmap at `into`, as far as it lies in [first, last]. */
function reportRange(core: usize, log: usize, index: u32, into: usize, first: u64, last: u64, flags: u32): u64 {
  const shift = <u64>load<u32>(log, LOG_SHIFT);
  const range = core + load<u32>(log, LOG_TABLE) + index * LOG_RANGE_BYTES;
  return drainBits(
    core,
    into,
    core + load<u32>(range, LOG_RANGE_DATA),
    load<u64>(range, LOG_RANGE_START) >> shift,
    load<u32>(range, LOG_RANGE_PAGES),
    shift,
    first,
    last,
    flags,
  );
}

/**
 * REPORT: reads and clears MAIL0 .. MAIL1 into `bitmap`, at most `budget` ranges at a time. A log page that lies only partly
 * inside is reported clipped and stays marked. MAIL2 is the next range, 0 at first; MAIL3 counts the marked log pages met.
 * DONE, MORE; EBADF; EINVAL: not whole pages of the bitmap; ERANGE: beyond the bitmap.
 */
export function logReport(core: usize, log: u32, bitmap: u32, flags: u32, budget: u32): i32 {
  const slot = slotOf(core, log, KIND_LOG);
  const into = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot || !into) return fail(EBADF);
  const first = mail(core, MAIL0);
  const last = mail(core, MAIL1);
  const status = checkTarget(into, first, last);
  if (status != DONE) return status;
  const count = load<u32>(slot, LOG_RANGES);
  let index = <u32>max(mail(core, MAIL2), <u64>firstRange(core, slot, first));
  let met = mail(core, MAIL3);
  let left = max<u32>(budget, 1);
  for (; index < count && left; ++index, --left) {
    const range = core + load<u32>(slot, LOG_TABLE) + index * LOG_RANGE_BYTES;
    if (load<u64>(range, LOG_RANGE_START) > last) index = count - 1;
    else met += reportRange(core, slot, index, into, first, last, flags);
  }
  post(core, MAIL2, index);
  post(core, MAIL3, met);
  return index < count ? MORE : DONE;
}
