import {
  BITMAP_DATA,
  BITMAP_PAGES,
  CORE_TRANSFER,
  DONE,
  EBADF,
  KIND_BITMAP,
  MAIL0,
  MAIL1,
  MORE,
  TRANSFER_BYTES,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';

/** The first page from `page` on whose bit equals `set`, or `pages`. */
export function seek(data: usize, page: u32, pages: u32, set: bool): u32 {
  const flip: u64 = set ? 0 : u64.MAX_VALUE;
  const end = data + (((<u64>pages + 63) >> 6) << 3);
  let at = data + ((page >> 6) << 3);
  if (at >= <usize>end) return pages;
  let word = (load<u64>(at) ^ flip) & (u64.MAX_VALUE << page);
  while (!word) {
    at += 8;
    // Long stretches without an edge are the rule in a dirty bitmap: 64 bytes at a time.
    if (set) {
      while (at + 64 <= <usize>end) {
        const a = v128.or(v128.load(at), v128.load(at, 16));
        const b = v128.or(v128.load(at, 32), v128.load(at, 48));
        if (v128.any_true(v128.or(a, b))) break;
        at += 64;
      }
    }
    if (at >= <usize>end) return pages;
    word = load<u64>(at) ^ flip;
  }
  return min<u32>(<u32>((at - data) << 3) + <u32>ctz(word), pages);
}

/**
 * Finds runs of marked pages from page MAIL0 on and writes them to the transfer buffer as pairs (first page, pages), u32
 * each, ascending, at most `most` of them. Posts the next page to MAIL0 and the number of runs to MAIL1; MORE where the
 * bitmap is not at its end. EBADF.
 */
export function bitmapRuns(core: usize, bitmap: u32, most: u32): i32 {
  const slot = slotOf(core, bitmap, KIND_BITMAP);
  if (!slot) return fail(EBADF);
  const pages = load<u32>(slot, BITMAP_PAGES);
  const data = core + load<u32>(slot, BITMAP_DATA);
  const limit = min<u32>(max<u32>(most, 1), TRANSFER_BYTES >> 3);
  const out = core + load<u32>(core, CORE_TRANSFER);
  let page = <u32>min(mail(core, MAIL0), <u64>pages);
  let found: u32 = 0;
  while (page < pages && found < limit) {
    const first = seek(data, page, pages, true);
    if (first == pages) {
      page = pages;
      break;
    }
    page = seek(data, first, pages, false);
    store<u32>(out + (found << 3), first);
    store<u32>(out + (found << 3), page - first, 4);
    ++found;
  }
  post(core, MAIL0, page);
  post(core, MAIL1, found);
  return page < pages ? MORE : DONE;
}
