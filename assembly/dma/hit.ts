import {
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_BASE,
  CACHE_SETS,
  CACHE_WAYS,
  CORE_SLOTS,
  CORE_TRANSFER,
  DEVICE_ATS,
  DEVICE_DOMAIN,
  DEVICE_FAULT_REASON,
  DEVICE_IOMMU,
  DEVICE_KIND,
  DEVICE_LOG,
  DOMAIN_FLAGS,
  DOMAIN_LOOKUP_SHIFT,
  DOMAIN_SHARED,
  DOMAIN_SIZES_USED,
  DOMAIN_TAG,
  DONE,
  EXTENT_ADDRESS,
  EXTENT_LENGTH,
  FAULT_NONE,
  IOMMU_HITS,
  IOMMU_IOTLB,
  IOTLB_DIRTY,
  IOTLB_ENTRY_BYTES,
  IOTLB_KEY,
  IOTLB_OUTPUT,
  IOTLB_RIGHTS_SHIFT,
  IOTLB_TAG,
  KIND_DEVICE,
  MAIL1,
  SLOT_GENERATION,
  SLOT_KIND,
  WAYS_HEADER_BYTES,
} from '../layout';
import { OWNER } from '../iotlb/tag';
import { Ways } from '../iotlb/ways';
import { bump } from '../memory/counter';
import { Slots } from '../memory/handles';
import { post } from '../memory/mailbox';

/** The least number that may not be exact as an f64. */
const EXACT: f64 = 9007199254740992;

/**
 * `deviceAccess` of `length` bytes from `iova` on (an integer below 2^53), if the IOTLB has all that it needs: 1, with its extent in the
 * transfer buffer. 0, and nothing is changed but which entry was used last: it takes `deviceAccess`, which also says what is
 * wrong with the arguments.
 */
export function deviceHit(core: usize, device: u32, iova: f64, length: u32, access: u32): i32 {
  if ((device & 0xffff) >= load<u32>(core, CORE_SLOTS)) return DONE;
  const slot = Slots.at(core, device & 0xffff);
  if (load<u32>(slot, SLOT_KIND) != <u32>KIND_DEVICE || load<u32>(slot, SLOT_GENERATION) != device >> 16) return DONE;
  if (load<u32>(slot, DEVICE_KIND) & DEVICE_ATS || load<u32>(slot, DEVICE_LOG)) return DONE;
  const handle = load<u32>(slot, DEVICE_DOMAIN);
  if (!handle || !(iova >= 0 && iova < EXACT) || f64.trunc(iova) != iova) return DONE;
  if (!length || access - 1 > <u32>((ACCESS_READ | ACCESS_WRITE) - 1)) return DONE;
  // What a device is in, and behind, lives as long as it is.
  const domain = Slots.at(core, handle & 0xffff);
  const iommu = Slots.at(core, load<u32>(slot, DEVICE_IOMMU) & 0xffff);
  const at = <u64>iova;
  const stretch = ((<u64>1) << load<u32>(domain, DOMAIN_LOOKUP_SHIFT)) - 1;
  if (at + (length - 1) > (at | stretch)) return DONE;
  const sizes = load<u64>(domain, DOMAIN_SIZES_USED);
  if (sizes & (sizes - 1) || load<u32>(domain, DOMAIN_FLAGS) & DOMAIN_SHARED) return DONE;
  const shift = ctz(sizes);
  const key = ((at >> shift) << shift) | shift;
  const ways = load<u32>(iommu, IOMMU_IOTLB + CACHE_WAYS);
  const headers = Ways.headerBytes(ways);
  const number = (<u32>(at >> shift)) & (load<u32>(iommu, IOMMU_IOTLB + CACHE_SETS) - 1);
  const set = core + load<u32>(iommu, IOMMU_IOTLB + CACHE_BASE) + number * (headers + ways * IOTLB_ENTRY_BYTES);
  const owner = load<u64>(domain, DOMAIN_TAG);
  const needed = (<u64>(access & ACCESS_WRITE ? access | IOTLB_DIRTY : access)) << IOTLB_RIGHTS_SHIFT;
  const mask = OWNER | needed;
  const want = owner | needed;
  let found: usize;
  if (headers == WAYS_HEADER_BYTES) {
    found = Ways.hit(set, key, mask, want);
    if (!found) return DONE;
  } else {
    found = headers ? Ways.seek(set, headers, key, owner) : load<u64>(set, IOTLB_KEY) == key ? set : 0;
    if (!found || (load<u64>(found, IOTLB_TAG) & mask) != want) return DONE;
    if (headers) Ways.touch(set, headers, found);
  }
  bump(iommu, IOMMU_HITS, 1);
  const list = core + load<u32>(core, CORE_TRANSFER);
  store<u64>(list, load<u64>(found, IOTLB_OUTPUT) + (at & ~(u64.MAX_VALUE << shift)), EXTENT_ADDRESS);
  store<u32>(list, length, EXTENT_LENGTH);
  store<u32>(slot, FAULT_NONE, DEVICE_FAULT_REASON);
  post(core, MAIL1, 1);
  return 1;
}
