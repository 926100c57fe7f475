// The receiving side. A record is checked as a whole before its page is touched.

import {
  CORE_TRANSFER,
  DONE,
  EBADF,
  EINVAL,
  ERANGE,
  KIND_STATE,
  MAIL0,
  MAIL1,
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
  STATE_TRIAL,
  TRANSFER_BYTES,
  ZERO_PAGE_CRC32C,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { crc32c, extend } from './crc32c';
import { applyDelta, checkDelta } from './delta';
import { pageAt, tablesOf } from './state-buffer';

/** Whether a record of this kind has a payload of that length. */
function isLength(kind: u32, length: u32): bool {
  if (kind == RECORD_WHOLE) return length == STATE_PAGE_BYTES;
  if (kind == RECORD_DELTA) return length > 0 && length < <u32>STATE_PAGE_BYTES;
  return kind <= <u32>RECORD_UNCHANGED && length == 0;
}

/** CRC32C of what `page` is after a record of `kind` with the payload from address `at` to `end`, which fits. */
function contentsAfter(tables: usize, kind: u32, page: usize, at: usize, end: usize): u32 {
  if (kind == RECORD_ZERO) return ZERO_PAGE_CRC32C;
  if (kind == RECORD_WHOLE) return crc32c(tables, at, end);
  if (kind == RECORD_DELTA) {
    const trial = tables + STATE_TRIAL;
    memory.copy(trial, page, STATE_PAGE_BYTES);
    applyDelta(trial, at, end);
    page = trial;
  }
  return crc32c(tables, page, page + STATE_PAGE_BYTES);
}

/** Applies the record at address `at`, which must end at `end` or before. DONE, -EINVAL, -ERANGE. */
function applyRecord(core: usize, target: usize, at: usize, end: usize): i32 {
  if (end - at < <usize>RECORD_BYTES) return fail(EINVAL);
  const kind = <u32>load<u16>(at, RECORD_KIND);
  const length = <u32>load<u16>(at, RECORD_LENGTH);
  const payload = at + RECORD_BYTES;
  if (!isLength(kind, length) || end - payload < length) return fail(EINVAL);
  const payloadEnd = payload + length;
  const tables = tablesOf(core, target);
  let check = extend(tables, u32.MAX_VALUE, at, at + RECORD_CHECK);
  if (kind == RECORD_DELTA) check = extend(tables, check, payload, payloadEnd);
  if (~check != load<u32>(at, RECORD_CHECK)) return fail(EINVAL);
  const number = load<u32>(at, RECORD_PAGE);
  if (number >= load<u32>(target, STATE_PAGES)) return fail(ERANGE);
  if (kind == RECORD_DELTA && checkDelta(payload, payloadEnd) != DONE) return fail(EINVAL);
  const page = pageAt(core, target, number);
  if (contentsAfter(tables, kind, page, payload, payloadEnd) != load<u32>(at, RECORD_CONTENTS)) return fail(EINVAL);
  if (kind == RECORD_ZERO) memory.fill(page, 0, STATE_PAGE_BYTES);
  else if (kind == RECORD_WHOLE) memory.copy(page, payload, STATE_PAGE_BYTES);
  else if (kind == RECORD_DELTA) applyDelta(page, payload, payloadEnd);
  return DONE;
}

/**
 * Applies the records that lie in the transfer buffer from byte MAIL0 to MAIL1 to the pages of `target`, at most
 * `budget` of them a call. Posts to MAIL0 where the next record starts; after an error, the one at fault, whose page is
 * unchanged. MORE: there are records left. EBADF; EINVAL: MAIL0 .. MAIL1 is not in the transfer buffer, or a record is
 * cut short, damaged, or builds on another page than there is; ERANGE: a page that `target` does not have.
 */
export function stateApply(core: usize, target: u32, budget: u32): i32 {
  const slot = slotOf(core, target, KIND_STATE);
  if (!slot) return fail(EBADF);
  if (mail(core, MAIL0) > mail(core, MAIL1) || mail(core, MAIL1) > <u64>TRANSFER_BYTES) return fail(EINVAL);
  const transfer = core + load<u32>(core, CORE_TRANSFER);
  const end = transfer + <usize>mail(core, MAIL1);
  let at = transfer + <usize>mail(core, MAIL0);
  let status = DONE;
  for (let left = max<u32>(budget, 1); at < end && left; --left) {
    status = applyRecord(core, slot, at, end);
    if (status != DONE) break;
    at += RECORD_BYTES + <u32>load<u16>(at, RECORD_LENGTH);
  }
  post(core, MAIL0, at - transfer);
  return status == DONE && at < end ? MORE : status;
}
