import {
  ACCESS_READ,
  ACCESS_WRITE,
  CORE_ABSENT,
  DOMAIN_MASK,
  DOMAIN_ROOT,
  DOMAIN_ROOT_ENTRIES,
  DOMAIN_SIZES_USED,
  DOMAIN_TOP,
} from '../layout';
import { Format } from './format';

/** log2 of the bytes that an entry of `level` covers. */
export function entryShift<F extends Format>(f: F, level: u32): u32 {
  return f.granuleShift() + level * f.tableBits();
}

/** The level whose tables hold leaves of 2^shift bytes. */
export function levelOf<F extends Format>(f: F, shift: u32): u32 {
  return (shift - f.granuleShift()) / f.tableBits();
}

/** How many entries side by side a leaf of 2^shift bytes fills. */
export function replicasOf<F extends Format>(f: F, shift: u32, level: u32): u32 {
  return 1 << (shift - entryShift<F>(f, level));
}

/** Whether the tables of the smallest leaves hold no leaf that fills several entries, so that each entry speaks for itself. */
export function onlySmallest<F extends Format>(f: F, domain: usize): bool {
  const above = (load<u64>(domain, DOMAIN_SIZES_USED) >> f.granuleShift()) >> 1;
  return (above & (((<u64>1) << (f.tableBits() - 1)) - 1)) == 0;
}

/** Position of the entry for `iova` in its table of `level`; in the root of a growing domain possibly beyond its end. */
export function indexAt<F extends Format>(f: F, domain: usize, level: u32, iova: u64): u32 {
  if (level == load<u32>(domain, DOMAIN_TOP)) {
    const index = (iova & load<u64>(domain, DOMAIN_MASK)) >> entryShift<F>(f, level);
    return <u32>min(index, <u64>u32.MAX_VALUE);
  }
  return (<u32>(iova >> entryShift<F>(f, level))) & ((1 << f.tableBits()) - 1);
}

/** How many entries a table of `level` has. */
export function entriesOf<F extends Format>(f: F, domain: usize, level: u32): u32 {
  return level == load<u32>(domain, DOMAIN_TOP) ? load<u32>(domain, DOMAIN_ROOT_ENTRIES) : 1 << f.tableBits();
}

/** Whether the root has an entry for `iova`: only a root that grows may lack it, and then nothing beyond is mapped. */
export function covers<F extends Format>(f: F, domain: usize, iova: u64): bool {
  if (!f.growsTop()) return true;
  return indexAt<F>(f, domain, load<u32>(domain, DOMAIN_TOP), iova) < load<u32>(domain, DOMAIN_ROOT_ENTRIES);
}

// Where a walk ended, in one u64, so that it comes back in a register:
//   47       40 39       32 31                       0
//   ┌──────────┬───────────┬──────────────────────────┐
//   │ access   │ level     │ address of the entry     │
//   └──────────┴───────────┴──────────────────────────┘

export function packWalk(access: u32, level: u32, at: usize): u64 {
  return ((<u64>access) << 40) | ((<u64>level) << 32) | (<u64>at);
}

export function entryOfWalk(walk: u64): usize {
  return <usize>walk;
}

export function levelOfWalk(walk: u64): u32 {
  return (<u32>(walk >> 32)) & 0xff;
}

/** What all tables on the way let through. */
export function accessOfWalk(walk: u64): u32 {
  return <u32>(walk >> 40);
}

/**
 * Walks from the root of the domain at `domain` to the entry that ends the way to `iova`: a leaf, or one not present. Where the
 * root does not cover `iova`, that is a word of the header that is always 0: go no further from it.
 */
export function walk<F extends Format>(f: F, core: usize, domain: usize, iova: u64): u64 {
  let level = load<u32>(domain, DOMAIN_TOP);
  let at = core + load<u32>(domain, DOMAIN_ROOT) + (indexAt<F>(f, domain, level, iova) << 3);
  if (!covers<F>(f, domain, iova)) at = core + CORE_ABSENT;
  let access: u32 = ACCESS_READ | ACCESS_WRITE;
  while (true) {
    const entry = load<u64>(at);
    if (level == 0 || !f.isPresent(entry) || !f.isTable(entry)) {
      return packWalk(access, level, at);
    }
    access &= f.tableAccess(entry);
    --level;
    const index = (<u32>(iova >> entryShift<F>(f, level))) & ((1 << f.tableBits()) - 1);
    at = core + f.tableOffset(entry) + (index << 3);
  }
}
