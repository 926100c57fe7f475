import { STATE_PAGE_BYTES } from '../layout';

/** Whether all bytes of the page at `page` are 0. */
export function isZero(page: usize): bool {
  for (const end = page + STATE_PAGE_BYTES; page < end; page += 64) {
    const low = v128.or(v128.load(page), v128.load(page, 16));
    const high = v128.or(v128.load(page, 32), v128.load(page, 48));
    if (v128.any_true(v128.or(low, high))) return false;
  }
  return true;
}

/** Whether the pages at `a` and `b` are equal. */
export function isEqual(a: usize, b: usize): bool {
  for (const end = a + STATE_PAGE_BYTES; a < end; a += 64, b += 64) {
    const low = v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16)));
    const high = v128.or(v128.xor(v128.load(a, 32), v128.load(b, 32)), v128.xor(v128.load(a, 48), v128.load(b, 48)));
    if (v128.any_true(v128.or(low, high))) return false;
  }
  return true;
}
