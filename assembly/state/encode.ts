// The sending side: each marked page becomes the smallest record that says what it holds.

import {
  BITMAP_DATA,
  BITMAP_PAGES,
  BITMAP_SHIFT,
  BITMAP_START,
  CORE_TRANSFER,
  DONE,
  EBADF,
  EINVAL,
  KIND_BITMAP,
  KIND_STATE,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  MORE,
  RECORD_BYTES,
  RECORD_CHECK,
  RECORD_CONTENTS,
  RECORD_DELTA,
  RECORD_KIND,
  RECORD_LENGTH,
  RECORD_PAGE,
  RECORD_UNCHANGED,
  RECORD_WHOLE,
  RECORD_ZERO,
  STATE_PAGES,
  STATE_PAGE_BYTES,
  STATE_PAGE_SHIFT,
  STATE_RUNS,
  STATE_SENT,
  TRANSFER_BYTES,
  ZERO_PAGE_CRC32C,
} from '../layout';
import { seek } from '../bitmap/runs';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { crc32c, extend } from './crc32c';
import { changedRuns, deltaBytes, writeDelta } from './delta';
import { isEqual, isZero } from './page';
import { pageAt, tablesOf } from './state-buffer';

/** The record for the page at `page`, of which `last` (0: none) was sent last: kind << 16 | bytes of payload. */
function choose(tables: usize, page: usize, last: usize): u32 {
  if (isZero(page)) return RECORD_ZERO << 16;
  if (!last) return (RECORD_WHOLE << 16) | STATE_PAGE_BYTES;
  if (isEqual(page, last)) return RECORD_UNCHANGED << 16;
  const runs = tables + STATE_RUNS;
  const bytes = deltaBytes(runs, changedRuns(runs, page, last));
  return bytes < <u32>STATE_PAGE_BYTES ? (RECORD_DELTA << 16) | bytes : (RECORD_WHOLE << 16) | STATE_PAGE_BYTES;
}

/** Writes the record that was chosen for page `number` to address `out`, and brings `last` (0: none) up to it. */
function write(out: usize, tables: usize, number: u32, choice: u32, page: usize, last: usize): void {
  const kind = choice >> 16;
  const length = choice & 0xffff;
  const payload = out + RECORD_BYTES;
  const contents = kind == RECORD_ZERO ? <u32>ZERO_PAGE_CRC32C : crc32c(tables, page, page + STATE_PAGE_BYTES);
  store<u32>(out, number, RECORD_PAGE);
  store<u16>(out, kind, RECORD_KIND);
  store<u16>(out, length, RECORD_LENGTH);
  store<u32>(out, contents, RECORD_CONTENTS);
  let check = extend(tables, u32.MAX_VALUE, out, out + RECORD_CHECK);
  if (kind == RECORD_DELTA) {
    writeDelta(payload, payload + length, page, last, tables + STATE_RUNS);
    check = extend(tables, check, payload, payload + length);
  } else if (kind == RECORD_WHOLE) {
    memory.copy(payload, page, STATE_PAGE_BYTES);
    if (last) memory.copy(last, page, STATE_PAGE_BYTES);
  } else if (kind == RECORD_ZERO && last) {
    memory.fill(last, 0, STATE_PAGE_BYTES);
  }
  store<u32>(out, ~check, RECORD_CHECK);
}

function coversPages(bitmap: usize, pages: u32): bool {
  return (
    load<u32>(bitmap, BITMAP_PAGES) == pages &&
    load<u32>(bitmap, BITMAP_SHIFT) == STATE_PAGE_SHIFT &&
    !load<u64>(bitmap, BITMAP_START)
  );
}

/**
 * Writes a record for each page of `source` that `bitmap` marks, from page MAIL0 on, to the transfer buffer from byte
 * MAIL1 to MAIL2; clears its mark, and brings the buffer `last` (0: none) up to what was written. At most `budget`
 * pages a call. Posts the next page to MAIL0, the end of what was written to MAIL1, and to MAIL3 how many bytes the
 * next record needs where there were not enough left, else 0. MORE: there are marked pages from MAIL0 on. EBADF;
 * EINVAL: the buffers differ in size or are one, the bitmap does not stand for the pages of the buffer from 0 on, or
 * MAIL1 .. MAIL2 is not in the transfer buffer.
 */
export function stateEncode(core: usize, source: u32, last: u32, bitmap: u32, budget: u32): i32 {
  const from = slotOf(core, source, KIND_STATE);
  const sent = last ? slotOf(core, last, KIND_STATE) : 0;
  const dirty = slotOf(core, bitmap, KIND_BITMAP);
  if (!from || (last && !sent) || !dirty) return fail(EBADF);
  const pages = load<u32>(from, STATE_PAGES);
  if (from == sent || (sent && load<u32>(sent, STATE_PAGES) != pages) || !coversPages(dirty, pages))
    return fail(EINVAL);
  if (mail(core, MAIL1) > mail(core, MAIL2) || mail(core, MAIL2) > <u64>TRANSFER_BYTES) return fail(EINVAL);

  const tables = tablesOf(core, from);
  const bits = core + load<u32>(dirty, BITMAP_DATA);
  const transfer = core + load<u32>(core, CORE_TRANSFER);
  const end = transfer + <usize>mail(core, MAIL2);
  let out = transfer + <usize>mail(core, MAIL1);
  let wanted: u32 = 0;
  let left = max<u32>(budget, 1);
  let number = seek(bits, <u32>min(mail(core, MAIL0), <u64>pages), pages, true);
  for (; number < pages && left; --left) {
    const page = pageAt(core, from, number);
    const copy = sent ? pageAt(core, sent, number) : 0;
    const choice = choose(tables, page, copy);
    const bytes: u32 = RECORD_BYTES + (choice & 0xffff);
    if (end - out < bytes) {
      wanted = bytes;
      break;
    }
    write(out, tables, number, choice, page, copy);
    out += bytes;
    const word = bits + ((number >> 6) << 3);
    store<u64>(word, load<u64>(word) & ~((<u64>1) << number));
    const count = from + STATE_SENT + ((choice >> 16) << 3);
    store<u64>(count, load<u64>(count) + 1);
    number = seek(bits, number + 1, pages, true);
  }
  post(core, MAIL0, number);
  post(core, MAIL1, out - transfer);
  post(core, MAIL3, wanted);
  return number < pages ? MORE : DONE;
}
