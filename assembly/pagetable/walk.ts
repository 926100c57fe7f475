import { ACCESS_READ, ACCESS_WRITE, DOMAIN_ROOT, DOMAIN_TOP } from '../layout';
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

/** Position of the entry for `iova` in its table of `level`. */
export function indexAt<F extends Format>(f: F, level: u32, iova: u64): u32 {
  return (<u32>(iova >> entryShift<F>(f, level))) & ((1 << f.tableBits()) - 1);
}

// Where a walk ended, in one u64, so that it comes back in a register:
//   47       40 39       32 31                       0
//   ┌──────────┬───────────┬──────────────────────────┐
//   │ access   │ level     │ address of the entry     │
//   └──────────┴───────────┴──────────────────────────┘

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

/** Walks from the root of the domain at `domain` to the entry that ends the way to `iova`: a leaf, or one not present. */
export function walk<F extends Format>(f: F, core: usize, domain: usize, iova: u64): u64 {
  let level = load<u32>(domain, DOMAIN_TOP);
  let table = core + load<u32>(domain, DOMAIN_ROOT);
  let access: u32 = ACCESS_READ | ACCESS_WRITE;
  while (true) {
    const at = table + (indexAt<F>(f, level, iova) << 3);
    const entry = load<u64>(at);
    if (level == 0 || !f.isPresent(entry) || !f.isTable(entry)) {
      return ((<u64>access) << 40) | ((<u64>level) << 32) | (<u64>at);
    }
    access &= f.tableAccess(entry);
    table = core + f.tableOffset(entry);
    --level;
  }
}
