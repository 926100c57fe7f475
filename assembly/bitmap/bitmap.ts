import {
  BITMAP_DATA,
  BITMAP_PAGES,
  BITMAP_SHIFT,
  BITMAP_START,
  BITMAP_WORDS,
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  EOVERFLOW,
  KIND_BITMAP,
  MAIL0,
  SLOT_USERS,
  UNIT_SHIFT,
} from '../layout';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';

/**
 * An all-clean bitmap over `pages` pages of 2^`shift` bytes from the address in MAIL0 on. Returns its handle.
 * EINVAL: shift beyond 11..63, no page, or a start that is no multiple of the page. EOVERFLOW: past 2^64. ENOMEM.
 */
export function bitmapCreate(core: usize, pages: u32, shift: u32): i32 {
  const start = mail(core, MAIL0);
  if (shift < <u32>UNIT_SHIFT || shift > 63 || pages == 0 || start & (((<u64>1) << shift) - 1)) return fail(EINVAL);
  // The last page's number must stay below 2^(64 - shift).
  if ((start >> shift) + (pages - 1) > u64.MAX_VALUE >> shift) return fail(EOVERFLOW);
  const words = (<u64>pages + 63) >> 6;
  const handle = openSlot(core, KIND_BITMAP);
  const data = handle ? take(core, <u32>(words << 3)) : 0;
  if (!data) {
    if (handle) closeSlot(core, handle);
    return noMemory(core, words << 3);
  }
  const slot = slotOf(core, handle, KIND_BITMAP);
  store<u32>(slot, pages, BITMAP_PAGES);
  store<u32>(slot, shift, BITMAP_SHIFT);
  store<u64>(slot, start, BITMAP_START);
  store<u32>(slot, data, BITMAP_DATA);
  store<u32>(slot, <u32>words, BITMAP_WORDS);
  return handle;
}

/** Frees a bitmap. EBADF, EBUSY. */
export function bitmapDestroy(core: usize, bitmap: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  give(core, load<u32>(slot, BITMAP_DATA));
  closeSlot(core, bitmap);
  return DONE;
}
