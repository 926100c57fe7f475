// Whose an entry is, and what it lets through.

import {
  ACCESS_GLOBAL,
  IOTLB_ASID_BITS,
  IOTLB_IPA,
  IOTLB_KEY,
  IOTLB_OUTPUT,
  IOTLB_RIGHTS_SHIFT,
  IOTLB_TAG,
  IOTLB_VMID_BITS,
} from '../layout';

/** The bits of a tag that hold an ASID. */
export const ASID: u64 = ((<u64>1) << IOTLB_ASID_BITS) - 1;
/** Those that hold a VMID. */
export const VMID: u64 = (((<u64>1) << IOTLB_VMID_BITS) - 1) << IOTLB_ASID_BITS;
/** All that say whose an entry is. */
export const OWNER: u64 = ASID | VMID;
/** Set in a leaf that every ASID of its VMID has. */
export const GLOBAL: u64 = (<u64>ACCESS_GLOBAL) << IOTLB_RIGHTS_SHIFT;

/** ACCESS_* | IOTLB_DIRTY of the entry at `at`. */
export function rightsOf(at: usize): u32 {
  return <u32>(load<u64>(at, IOTLB_TAG) >> IOTLB_RIGHTS_SHIFT);
}

/** log2 of the bytes that the entry at `at` covers. */
export function shiftOf(at: usize): u64 {
  return load<u64>(at, IOTLB_KEY) & 63;
}

/** Whether an entry with `tag` serves `owner`: it is its own, or a global one of its VMID. */
export function serves(tag: u64, owner: u64): bool {
  const other = tag ^ owner;
  return !(other & OWNER) || (!(other & VMID) && (tag & GLOBAL) != 0);
}

/** Writes all of an entry but its key. */
export function describe(at: usize, owner: u64, rights: u32, output: u64, ipa: u64): void {
  store<u64>(at, owner | ((<u64>rights) << IOTLB_RIGHTS_SHIFT), IOTLB_TAG);
  store<u64>(at, output, IOTLB_OUTPUT);
  store<u64>(at, ipa, IOTLB_IPA);
}
