import { ACCESS_WRITE, DOMAIN_FLAGS, DOMAIN_TRACKABLE, DONE, EINVAL, ENOENT } from '../layout';
import { fail } from '../memory/mailbox';
import { Format } from './format';
import { entryOfWalk, walk } from './walk';

/** Marks the leaf of `iova` dirty, as a write would. -ENOENT: nothing mapped; -EINVAL: not made for tracking, or read-only. */
export function setDirty<F extends Format>(f: F, core: usize, domain: usize, iova: u64): i32 {
  const at = entryOfWalk(walk<F>(f, core, domain, iova));
  const entry = load<u64>(at);
  if (!f.isPresent(entry)) return fail(ENOENT);
  if (!(load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_TRACKABLE) || !(f.leafAccess(entry) & ACCESS_WRITE)) {
    return fail(EINVAL);
  }
  store<u64>(at, f.makeDirty(entry));
  return DONE;
}
