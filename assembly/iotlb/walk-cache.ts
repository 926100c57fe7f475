import {
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_SETS,
  CORE_ABSENT,
  DOMAIN_ROOT,
  DOMAIN_TAG,
  DOMAIN_TOP,
  IOMMU_WALKS,
  IOMMU_WALK_HITS,
  IOMMU_WALK_MISSES,
  IOMMU_WALK_READS,
  IOTLB_OUTPUT,
} from '../layout';
import { holdsTable } from '../memory/blocks';
import { bump } from '../memory/counter';
import { Format } from '../pagetable/format';
import { covers, entryShift, indexAt, levelOfWalk, packWalk, walk } from '../pagetable/walk';
import { insert, lookup } from './lookup';
import { describe, rightsOf } from './tag';

/** The entry of the lowest cached table on the way to `iova`, with its level above bit 32; 0 where none is cached. */
function lowestTable<F extends Format>(f: F, core: usize, iommu: usize, domain: usize, iova: u64): u64 {
  const owner = load<u64>(domain, DOMAIN_TAG);
  const top = load<u32>(domain, DOMAIN_TOP);
  for (let level: u32 = 0; level < top; ++level) {
    const size = (<u64>1) << entryShift<F>(f, level + 1);
    const at = lookup(core, iommu + IOMMU_WALKS, owner, size, iova);
    if (at && holdsTable(core, <u32>load<u64>(at, IOTLB_OUTPUT), 8 << f.tableBits())) {
      return ((<u64>level) << 32) | (<u64>at);
    }
  }
  return 0;
}

/**
 * `walk` from the lowest cached table on; the tables that it passes are cached. A stale pointer to memory that holds no table any
 * more is not followed: what a forgotten invalidation harms is translations, never the core itself.
 */
function walkFromCache<F extends Format>(f: F, core: usize, iommu: usize, domain: usize, iova: u64): u64 {
  const owner = load<u64>(domain, DOMAIN_TAG);
  const cached = lowestTable<F>(f, core, iommu, domain, iova);
  let level = load<u32>(domain, DOMAIN_TOP);
  let access: u32 = ACCESS_READ | ACCESS_WRITE;
  let at: usize;
  if (cached) {
    bump(iommu, IOMMU_WALK_HITS, 1);
    level = <u32>(cached >> 32);
    access = rightsOf(<usize>cached);
    const index = (<u32>(iova >> entryShift<F>(f, level))) & ((1 << f.tableBits()) - 1);
    at = core + <usize>load<u64>(<usize>cached, IOTLB_OUTPUT) + (index << 3);
  } else {
    bump(iommu, IOMMU_WALK_MISSES, 1);
    at = core + load<u32>(domain, DOMAIN_ROOT) + (indexAt<F>(f, domain, level, iova) << 3);
    if (!covers<F>(f, domain, iova)) at = core + CORE_ABSENT;
  }
  while (true) {
    bump(iommu, IOMMU_WALK_READS, 1);
    const entry = load<u64>(at);
    if (level == 0 || !f.isPresent(entry) || !f.isTable(entry)) return packWalk(access, level, at);
    access &= f.tableAccess(entry);
    const table = f.tableOffset(entry);
    if (!holdsTable(core, table, 8 << f.tableBits())) return packWalk(access, level, core + CORE_ABSENT);
    const slot = insert(core, iommu + IOMMU_WALKS, iova, entryShift<F>(f, level)) & ~1;
    describe(slot, owner, access, table, 0);
    --level;
    const index = (<u32>(iova >> entryShift<F>(f, level))) & ((1 << f.tableBits()) - 1);
    at = core + table + (index << 3);
  }
}

/** The hardware's walk to `iova`, counted: see `walk` for what it returns. */
export function hardwareWalk<F extends Format>(f: F, core: usize, iommu: usize, domain: usize, iova: u64): u64 {
  if (load<u32>(iommu, IOMMU_WALKS + CACHE_SETS)) return walkFromCache<F>(f, core, iommu, domain, iova);
  const found = walk<F>(f, core, domain, iova);
  bump(iommu, IOMMU_WALK_READS, load<u32>(domain, DOMAIN_TOP) - levelOfWalk(found) + 1);
  return found;
}
