import {
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_IOMMU,
  DOMAIN_LAST,
  DOMAIN_LOOKUP_SHIFT,
  DOMAIN_OUTPUT_LAST,
  DOMAIN_ROOT,
  DOMAIN_SIZES,
  DOMAIN_TABLES,
  DOMAIN_TABLE_BYTES,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  EINVAL,
  KIND_DOMAIN,
  UNIT_SHIFT,
} from '../layout';
import { give, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';
import { Format } from './format';
import { entryShift } from './walk';

/** Input addresses are looked up in the IOTLB in stretches of 4 KiB, or of the granule where that is smaller. */
const LOOKUP_SHIFT: u32 = 12;

/** Counts a table of `bytes` in or out. */
export function countTable(domain: usize, bytes: u32, tables: i32): void {
  store<u32>(domain, load<u32>(domain, DOMAIN_TABLES) + tables, DOMAIN_TABLES);
  store<u64>(domain, load<u64>(domain, DOMAIN_TABLE_BYTES) + <i64>tables * bytes, DOMAIN_TABLE_BYTES);
}

/**
 * An empty domain of 2^inputBits bytes of input addresses; its handle. `sizes` narrows the leaf sizes (0: all that the
 * format has). EINVAL: widths or sizes that the format lacks; ENOMEM.
 */
export function createDomain<F extends Format>(
  f: F,
  core: usize,
  format: u32,
  iommu: u32,
  inputBits: u32,
  sizes: u64,
  tracked: bool,
): i32 {
  const allowed = sizes ? sizes : f.leafSizes();
  if (!f.takesInputBits(inputBits) || allowed & ~f.leafSizes()) return fail(EINVAL);
  let top: u32 = 0;
  while (entryShift<F>(f, top + 1) < inputBits) ++top;
  const rootBytes = max<u32>(8 << (inputBits - entryShift<F>(f, top)), 1 << UNIT_SHIFT);
  const handle = openSlot(core, KIND_DOMAIN);
  const root = handle ? take(core, rootBytes) : 0;
  if (!root) {
    if (handle) closeSlot(core, handle);
    return noMemory(core, rootBytes);
  }
  const slot = slotOf(core, handle, KIND_DOMAIN);
  store<u32>(slot, format, DOMAIN_FORMAT);
  store<u32>(slot, top, DOMAIN_TOP);
  store<u32>(slot, root, DOMAIN_ROOT);
  store<u32>(slot, tracked ? DOMAIN_TRACKABLE | DOMAIN_TRACKING : 0, DOMAIN_FLAGS);
  store<u32>(slot, iommu, DOMAIN_IOMMU);
  store<u64>(slot, u64.MAX_VALUE >> (64 - inputBits), DOMAIN_LAST);
  store<u64>(slot, u64.MAX_VALUE >> (64 - f.outputBits()), DOMAIN_OUTPUT_LAST);
  store<u64>(slot, allowed, DOMAIN_SIZES);
  store<u32>(slot, min<u32>(LOOKUP_SHIFT, f.granuleShift()), DOMAIN_LOOKUP_SHIFT);
  countTable(slot, rootBytes, 1);
  return handle;
}

function freeTable<F extends Format>(f: F, core: usize, at: u32, level: u32, entries: u32): void {
  if (level) {
    const end = core + at + (entries << 3);
    for (let p = core + at; p < end; p += 8) {
      const entry = load<u64>(p);
      if (f.isPresent(entry) && f.isTable(entry)) {
        freeTable<F>(f, core, f.tableOffset(entry), level - 1, 1 << f.tableBits());
      }
    }
  }
  give(core, at);
}

/** Frees all tables of the domain at `domain`, root included. */
export function freeTables<F extends Format>(f: F, core: usize, domain: usize): void {
  const top = load<u32>(domain, DOMAIN_TOP);
  const entries = <u32>(load<u64>(domain, DOMAIN_LAST) >> entryShift<F>(f, top)) + 1;
  freeTable<F>(f, core, load<u32>(domain, DOMAIN_ROOT), top, entries);
}
