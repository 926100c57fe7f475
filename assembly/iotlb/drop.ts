import {
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  FORM_ASID,
  FORM_DOMAIN,
  FORM_IPA,
  FORM_RANGE,
  IOTLB_ENTRY_BYTES,
  IOTLB_IPA,
  IOTLB_KEY,
  NESTED_LEAF,
  IOTLB_TAG,
} from '../layout';
import { GLOBAL, OWNER, VMID, serves } from './tag';
import { Ways } from './ways';

/** What an entry can cover: no format has a leaf below 2 KiB. */
const CACHED_SIZES: u64 = u64.MAX_VALUE << 11;

/** Whether an invalidation of `form` for `owner` means an entry with `tag`. */
function means(form: u32, owner: u64, tag: u64): bool {
  switch (form) {
    case FORM_RANGE:
      return serves(tag, owner);
    case FORM_ASID:
      return !((tag ^ owner) & (OWNER | GLOBAL));
    case FORM_DOMAIN:
      return !((tag ^ owner) & VMID);
    default:
      return true;
  }
}

/** Whether [first, last] of stage 2, in the VMID of `owner`, has part in the nested leaf of 2^shift bytes at `at`. */
function nestedIn(at: usize, shift: u64, owner: u64, first: u64, last: u64): bool {
  const ipa = load<u64>(at, IOTLB_IPA);
  if (!(ipa & NESTED_LEAF) || (load<u64>(at, IOTLB_TAG) ^ owner) & VMID) return false;
  const start = ipa & ~NESTED_LEAF;
  return start <= last && start + (((<u64>1) << shift) - 1) >= first;
}

/** Drops from the set [set, end), which has `headers` bytes before its entries, what `dropEntries` drops. */
function dropFromSet(
  set: usize,
  end: usize,
  headers: u32,
  form: u32,
  owner: u64,
  sizes: u64,
  first: u64,
  last: u64,
): void {
  for (let at = set + headers; at < end; at += IOTLB_ENTRY_BYTES) {
    const key = load<u64>(at, IOTLB_KEY);
    if (!key) continue;
    const shift = key & 63;
    if (form == <u32>FORM_IPA) {
      if (nestedIn(at, shift, owner, first, last)) Ways.rename(set, headers, at, 0);
    } else if ((sizes >> shift) & 1 && means(form, owner, load<u64>(at, IOTLB_TAG))) {
      const start = key & (u64.MAX_VALUE << shift);
      if (start <= last && start + (((<u64>1) << shift) - 1) >= first) Ways.rename(set, headers, at, 0);
    }
  }
}

/** Whether the entries of `sizes` that overlap [first, last] lie in fewer visits to sets than there are sets. */
function inFewSets(sizes: u64, first: u64, last: u64, sets: u32): bool {
  let visits: u64 = 0;
  for (; sizes; sizes &= sizes - 1) {
    const shift = ctz(sizes);
    const more = (last >> shift) - (first >> shift);
    if (more >= sets) return false;
    visits += more + 1;
    if (visits >= sets) return false;
  }
  return true;
}

/**
 * Drops every entry of the cache that overlaps [first, last], has a size of `sizes` (bit n: 2^n bytes), and is meant by `form`
 * (FORM_*) for `owner`: a range goes for its ASID, global leaves included; an ASID without them; a domain by its VMID; FORM_IPA for
 * nested leaves of the VMID whose place in stage 2 overlaps [first, last]. Visits only the sets in which such entries can lie,
 * size by size, where those are fewer.
 */
export function dropEntries(core: usize, cache: usize, form: u32, owner: u64, sizes: u64, first: u64, last: u64): void {
  const ways = load<u32>(cache, CACHE_WAYS);
  const headers = Ways.headerBytes(ways);
  const setBytes = Ways.setBytes(ways);
  const base = core + load<u32>(cache, CACHE_BASE);
  const sets = load<u32>(cache, CACHE_SETS);
  let rest = sizes & CACHED_SIZES;
  if (form != <u32>FORM_IPA && inFewSets(rest, first, last, sets)) {
    for (; rest; rest &= rest - 1) {
      const shift = ctz(rest);
      const end = last >> shift;
      for (let number = first >> shift; number <= end; ++number) {
        const set = base + ((<u32>number) & (sets - 1)) * setBytes;
        dropFromSet(set, set + setBytes, headers, form, owner, sizes, first, last);
      }
    }
    return;
  }
  const end = base + sets * setBytes;
  for (let set = base; set < end; set += setBytes)
    dropFromSet(set, set + setBytes, headers, form, owner, sizes, first, last);
}
