import {
  CORE_TRANSFER,
  DONE,
  EBADF,
  EINVAL,
  KIND_STATE,
  MAIL0,
  STATE_DATA,
  STATE_MAX_PAGES,
  STATE_PAGES,
  STATE_PAGE_SHIFT,
  STATE_ROOM_BYTES,
  STATE_TABLES,
  TRANSFER_BYTES,
} from '../layout';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail, post } from '../memory/mailbox';
import { crc32c, writeTables } from './crc32c';

/** A buffer of `pages` pages of 4 KiB, all 0; its handle. EINVAL: none, or more than STATE_MAX_PAGES. ENOMEM. */
export function stateCreate(core: usize, pages: u32): i32 {
  if (!pages || pages > <u32>STATE_MAX_PAGES) return fail(EINVAL);
  const bytes = pages << STATE_PAGE_SHIFT;
  const handle = bytes < 0xfff0_0000 ? openSlot(core, KIND_STATE) : 0;
  const tables = handle ? take(core, STATE_ROOM_BYTES) : 0;
  const data = tables ? take(core, bytes) : 0;
  if (!data) {
    if (tables) give(core, tables);
    if (handle) closeSlot(core, handle);
    return noMemory(core, <u64>bytes + STATE_ROOM_BYTES);
  }
  writeTables(core + tables);
  const slot = slotOf(core, handle, KIND_STATE);
  store<u32>(slot, pages, STATE_PAGES);
  store<u32>(slot, data, STATE_DATA);
  store<u32>(slot, tables, STATE_TABLES);
  return handle;
}

/** Frees a buffer. EBADF. */
export function stateDestroy(core: usize, state: u32): i32 {
  const slot = slotOf(core, state, KIND_STATE);
  if (!slot) return fail(EBADF);
  give(core, load<u32>(slot, STATE_DATA));
  give(core, load<u32>(slot, STATE_TABLES));
  closeSlot(core, state);
  return DONE;
}

/** Address of page number `page` of the buffer at `slot`. */
export function pageAt(core: usize, slot: usize, page: u32): usize {
  return core + load<u32>(slot, STATE_DATA) + (page << STATE_PAGE_SHIFT);
}

/** Address of the tables of CRC32C of the buffer at `slot`. */
export function tablesOf(core: usize, slot: usize): usize {
  return core + load<u32>(slot, STATE_TABLES);
}

/** Posts to MAIL0 the CRC32C of the first `length` bytes of the transfer buffer. EBADF; EINVAL: it has fewer. */
export function stateChecksum(core: usize, state: u32, length: u32): i32 {
  const slot = slotOf(core, state, KIND_STATE);
  if (!slot) return fail(EBADF);
  if (length > <u32>TRANSFER_BYTES) return fail(EINVAL);
  const at = core + load<u32>(core, CORE_TRANSFER);
  post(core, MAIL0, crc32c(tablesOf(core, slot), at, at + length));
  return DONE;
}
