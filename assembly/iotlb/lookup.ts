import { IOMMU_IOTLB, IOMMU_SETS, IOMMU_WAYS, IOTLB_DOMAIN, IOTLB_ENTRY_BYTES, IOTLB_KEY } from '../layout';

/** Moves the entry at `at` to the front of its set at `set`: the ways are kept in order of use. */
function toFront(set: usize, at: usize): void {
  const low = v128.load(at);
  const high = v128.load(at, 16);
  for (; at > set; at -= IOTLB_ENTRY_BYTES) {
    v128.store(at, v128.load(at - IOTLB_ENTRY_BYTES));
    v128.store(at, v128.load(at - IOTLB_ENTRY_BYTES, 16), 16);
  }
  v128.store(set, low);
  v128.store(set, high, 16);
}

function setOf(core: usize, iommu: usize, iova: u64, shift: u64): usize {
  const set = (<u32>(iova >> shift)) & (load<u32>(iommu, IOMMU_SETS) - 1);
  return core + load<u32>(iommu, IOMMU_IOTLB) + set * load<u32>(iommu, IOMMU_WAYS) * IOTLB_ENTRY_BYTES;
}

/**
 * The IOTLB entry of the domain with handle `domain` that covers `iova`, made the most recently used of its set; 0 where
 * there is none. A leaf of 2^n bytes lies in set (iova >> n) mod sets; each size in `sizes` is probed, small ones first.
 */
export function lookup(core: usize, iommu: usize, domain: u32, sizes: u64, iova: u64): usize {
  const setBytes = load<u32>(iommu, IOMMU_WAYS) * IOTLB_ENTRY_BYTES;
  for (; sizes; sizes &= sizes - 1) {
    const shift = ctz(sizes);
    const key = (iova & (u64.MAX_VALUE << shift)) | shift;
    const set = setOf(core, iommu, iova, shift);
    const end = set + setBytes;
    for (let at = set; at < end; at += IOTLB_ENTRY_BYTES) {
      const owner = load<u32>(at, IOTLB_DOMAIN);
      if (!owner) break;
      if (owner == domain && load<u64>(at, IOTLB_KEY) == key) {
        if (at != set) toFront(set, at);
        return set;
      }
    }
  }
  return 0;
}

/**
 * Makes room for a leaf of 2^shift bytes in its set, at the front, in the place of the least recently used entry where all
 * ways are taken. Returns its address with key and domain written; bit 0 is set where an entry was evicted.
 */
export function insert(core: usize, iommu: usize, domain: u32, iova: u64, shift: u64): usize {
  const set = setOf(core, iommu, iova, shift);
  const end = set + load<u32>(iommu, IOMMU_WAYS) * IOTLB_ENTRY_BYTES;
  let at = set;
  while (at < end - IOTLB_ENTRY_BYTES && load<u32>(at, IOTLB_DOMAIN)) at += IOTLB_ENTRY_BYTES;
  const evicted: usize = load<u32>(at, IOTLB_DOMAIN) ? 1 : 0;
  if (at != set) toFront(set, at);
  store<u64>(set, (iova & (u64.MAX_VALUE << shift)) | shift, IOTLB_KEY);
  store<u32>(set, domain, IOTLB_DOMAIN);
  return set | evicted;
}
