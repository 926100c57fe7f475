import { IommuError } from '../errno/error.ts';
import { DIRTY_BITMAP_SIZE_MAX, type VfioBitmap } from '../uapi/type1.ts';
import type { StructOf } from '../uapi/struct.ts';
import { hex } from '../wasm/address.ts';

/** Where a user wants dirty bits, and at which page size. */
export type BitmapRequest = StructOf<typeof VfioBitmap>;

const TOP = 1n << 64n;

/**
 * The checks of a user's bitmap for `size` bytes of IOVA that need no container: pointer, page size, bitmap size (verify_bitmap_size). EINVAL.
 * The bitmap has whole words of 64 bits.
 */
export function checkBitmapRequest(op: string, size: bigint, bitmap: BitmapRequest): void {
  const { pgsize, data } = bitmap;
  if (typeof data === 'bigint' && data + bitmap.size > TOP) {
    throw new IommuError('EINVAL', op, `bitmap.data ${hex(data)} + ${bitmap.size} bytes ends beyond 2^64`);
  }
  if (pgsize === 0n) throw new IommuError('EINVAL', op, 'bitmap.pgsize is 0; it must be the smallest page size');
  const lowest = pgsize & -pgsize;
  const pages = size / lowest;
  const need = ((pages + 63n) / 64n) * 8n;
  if (pages > 0n && bitmap.size > 0n && bitmap.size <= DIRTY_BITMAP_SIZE_MAX && bitmap.size >= need) return;
  const right = pages === 0n ? 'size must be at least one page' : `it must be from ${need} to ${DIRTY_BITMAP_SIZE_MAX}`;
  throw new IommuError('EINVAL', op, `bitmap.size is ${bitmap.size} for ${pages} pages; ${right}`);
}

/** Only the smallest page size is served. EINVAL. */
export function checkBitmapPageSize(op: string, { pgsize }: BitmapRequest, smallest: bigint): void {
  if (pgsize === smallest) return;
  throw new IommuError('EINVAL', op, `bitmap.pgsize is ${pgsize}; it must be the smallest page size, ${smallest}`);
}
