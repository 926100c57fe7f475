import { ACCESS_GLOBAL, DONE, ENOENT, ERANGE, IOTLB_DIRTY, MAIL0, MAIL1, MAIL2 } from '../layout';
import { fail, post } from '../memory/mailbox';
import { inRange } from './domain';
import { Format } from './format';
import { replicasOf, entryOfWalk, accessOfWalk, levelOfWalk, walk } from './walk';

/** Whether any replica of the leaf whose entry lies at `at` is dirty: hardware may have marked one of them only. */
export function leafIsDirty<F extends Format>(f: F, at: usize, shift: u32, level: u32): bool {
  const bytes: usize = replicasOf<F>(f, shift, level) << 3;
  let p = at & -bytes;
  for (const end = p + bytes; p < end; p += 8) {
    if (f.isDirty(load<u64>(p))) return true;
  }
  return false;
}

/**
 * Looks `iova` up in the tables, without IOTLB and without any effect. Posts the output address to MAIL0, log2 of the leaf
 * size to MAIL1, and ACCESS_* | IOTLB_DIRTY to MAIL2. -ENOENT: not mapped; -ERANGE: beyond the input range.
 */
export function translateIova<F extends Format>(f: F, core: usize, domain: usize, iova: u64): i32 {
  if (!inRange(domain, iova, iova)) return fail(ERANGE);
  const found = walk<F>(f, core, domain, iova);
  const at = entryOfWalk(found);
  const entry = load<u64>(at);
  if (!f.isPresent(entry)) return fail(ENOENT);
  const level = levelOfWalk(found);
  const shift = f.leafShift(entry, level);
  const dirty = leafIsDirty<F>(f, at, shift, level) ? IOTLB_DIRTY : 0;
  post(core, MAIL0, f.leafAddress(entry, shift) | (iova & (((<u64>1) << shift) - 1)));
  post(core, MAIL1, shift);
  const access = f.leafAccess(entry);
  post(core, MAIL2, (access & accessOfWalk(found)) | (access & ACCESS_GLOBAL) | dirty);
  return DONE;
}
