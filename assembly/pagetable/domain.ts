import {
  DOMAIN_BIAS,
  CREATE_FITTING,
  CREATE_SIGNED,
  CREATE_TRACKED,
  DOMAIN_FIRST,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_GRANULE,
  DOMAIN_IOMMU,
  DOMAIN_LAST,
  DOMAIN_LEAST_TOP,
  DOMAIN_LOOKUP_SHIFT,
  DOMAIN_MASK,
  DOMAIN_OUTPUT_LAST,
  DOMAIN_ROOT,
  DOMAIN_ROOT_ENTRIES,
  DOMAIN_SIZES,
  DOMAIN_TABLES,
  DOMAIN_TABLE_BYTES,
  DOMAIN_TOP,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  EINVAL,
  KIND_DOMAIN,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  UNIT_SHIFT,
} from '../layout';
import { addLive, give, liveEntries, noMemory, take } from '../memory/blocks';
import { closeSlot, openSlot, slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';
import { Format } from './format';
import { covers, entryShift } from './walk';

/** Input addresses are looked up in the IOTLB in stretches of 4 KiB, or of the granule where that is smaller. */
export const LOOKUP_SHIFT: u32 = 12;

/** Counts a table of `bytes` in or out. */
export function countTable(domain: usize, bytes: u32, tables: i32): void {
  store<u32>(domain, load<u32>(domain, DOMAIN_TABLES) + tables, DOMAIN_TABLES);
  store<u64>(domain, load<u64>(domain, DOMAIN_TABLE_BYTES) + <i64>tables * bytes, DOMAIN_TABLE_BYTES);
}

/** A root that grows begins with this level, as in Linux: three levels. */
const GROWING_TOP: u32 = 2;

/** The lowest level whose table, which may have 2^rootBits entries, covers `bits` bits of input addresses. */
export function topFor<F extends Format>(f: F, bits: u32): u32 {
  let top: u32 = 0;
  while (entryShift<F>(f, top) + f.rootBits() < bits) ++top;
  return top;
}

/** Entries of a root of level `top`. One that grows has a full table from the start. */
export function rootEntriesFor<F extends Format>(f: F, top: u32, bits: u32): u32 {
  const shift = entryShift<F>(f, top);
  const needed = bits > shift ? bits - shift : 0;
  return 1 << (f.growsTop() ? min<u32>(needed, f.tableBits()) : needed);
}

/** Leaf sizes that a domain of 2^inputBits bytes can hold: no leaf lies above the root, or fills more than it has. */
function sizesWithin<F extends Format>(f: F, top: u32, entries: u32, outputBits: u32): u64 {
  const filled = entryShift<F>(f, top) + 31 - clz(entries);
  const largest = min<u32>(min<u32>(filled, entryShift<F>(f, top + 1) - 1), 63);
  return (f.leafSizes(outputBits) | f.contiguousSizes()) & (((<u64>2) << largest) - 1);
}

/**
 * Raises the root of a growing domain until it covers `last` and is no lower than `level`; false where memory runs out, with the
 * root as far up as it came.
 */
export function growTop<F extends Format>(f: F, core: usize, domain: usize, last: u64, level: u32): bool {
  if (!f.growsTop()) return true;
  while (load<u32>(domain, DOMAIN_TOP) < level || !covers<F>(f, domain, last)) {
    const old = load<u32>(domain, DOMAIN_ROOT);
    const top = load<u32>(domain, DOMAIN_TOP) + 1;
    // An empty root has nothing to lead to: it serves one level up as it is.
    if (liveEntries(core, old)) {
      const bytes: u32 = 8 << f.tableBits();
      const root = take(core, bytes);
      if (!root) return false;
      store<u64>(core + root, f.makeTable(old, top));
      addLive(core, root, 1);
      countTable(domain, bytes, 1);
      store<u32>(domain, root, DOMAIN_ROOT);
    }
    setTop<F>(f, domain, top);
  }
  return true;
}

function setTop<F extends Format>(f: F, domain: usize, top: u32): void {
  const bits = 64 - <u32>clz(load<u64>(domain, DOMAIN_MASK));
  store<u32>(domain, top, DOMAIN_TOP);
  store<u32>(domain, rootEntriesFor<F>(f, top, bits), DOMAIN_ROOT_ENTRIES);
}

/** Lowers the root of a growing domain as far as what is mapped allows. */
export function shrinkTop<F extends Format>(f: F, core: usize, domain: usize): void {
  if (!f.growsTop()) return;
  const least = load<u32>(domain, DOMAIN_LEAST_TOP);
  for (let top = load<u32>(domain, DOMAIN_TOP); top > least; --top) {
    const root = load<u32>(domain, DOMAIN_ROOT);
    const live = liveEntries(core, root);
    if (live) {
      const entry = load<u64>(core + root);
      if (live > 1 || !f.isPresent(entry) || !f.isTable(entry)) return;
      store<u32>(domain, f.tableOffset(entry), DOMAIN_ROOT);
      give(core, root);
      countTable(domain, 8 << f.tableBits(), -1);
    }
    setTop<F>(f, domain, top - 1);
  }
}

/**
 * An empty domain of 2^inputBits bytes of input addresses; its handle. MAIL0 gives the leaf sizes (with CREATE_FITTING those
 * that are too large for the domain are left out), MAIL1 the bits of an output address, MAIL2 .. MAIL3 the aperture. EINVAL:
 * widths, sizes or an aperture that the format lacks; ENOMEM.
 */
export function createDomain<F extends Format>(
  f: F,
  core: usize,
  format: u32,
  iommu: u32,
  inputBits: u32,
  flags: u32,
): i32 {
  const outputBits = <u32>min<u64>(mail(core, MAIL1), 65);
  const signed = (flags & CREATE_SIGNED) != 0;
  if (!f.takesInputBits(inputBits, signed) || !f.takesOutputBits(outputBits)) return fail(EINVAL);
  const highest = topFor<F>(f, inputBits);
  const top = f.growsTop() ? min<u32>(highest, GROWING_TOP) : highest;
  const entries = rootEntriesFor<F>(f, top, inputBits);
  const possible = sizesWithin<F>(f, highest, rootEntriesFor<F>(f, highest, inputBits), outputBits);
  const asked = mail(core, MAIL0);
  const sizes = flags & CREATE_FITTING ? asked & possible : asked;
  if (!sizes || sizes & ~possible || mail(core, MAIL2) > mail(core, MAIL3)) return fail(EINVAL);

  const rootBytes: u32 = f.growsTop() ? 8 << f.tableBits() : max<u32>(entries << 3, 1 << UNIT_SHIFT);
  const handle = openSlot(core, KIND_DOMAIN);
  const root = handle ? take(core, rootBytes) : 0;
  if (!root) {
    if (handle) closeSlot(core, handle);
    return noMemory(core, rootBytes);
  }
  const slot = slotOf(core, handle, KIND_DOMAIN);
  store<u32>(slot, format, DOMAIN_FORMAT);
  store<u32>(slot, top, DOMAIN_TOP);
  store<u32>(slot, top, DOMAIN_LEAST_TOP);
  store<u32>(slot, root, DOMAIN_ROOT);
  store<u32>(slot, entries, DOMAIN_ROOT_ENTRIES);
  store<u32>(slot, flags & CREATE_TRACKED ? DOMAIN_TRACKABLE | DOMAIN_TRACKING : 0, DOMAIN_FLAGS);
  store<u32>(slot, iommu, DOMAIN_IOMMU);
  store<u64>(slot, u64.MAX_VALUE >> (64 - inputBits), DOMAIN_MASK);
  store<u64>(slot, signed ? (<u64>1) << (inputBits - 1) : 0, DOMAIN_BIAS);
  store<u64>(slot, mail(core, MAIL2), DOMAIN_FIRST);
  store<u64>(slot, mail(core, MAIL3), DOMAIN_LAST);
  store<u64>(slot, u64.MAX_VALUE >> (64 - outputBits), DOMAIN_OUTPUT_LAST);
  store<u64>(slot, sizes, DOMAIN_SIZES);
  store<u32>(slot, min<u32>(LOOKUP_SHIFT, f.granuleShift()), DOMAIN_LOOKUP_SHIFT);
  store<u32>(slot, f.granuleShift(), DOMAIN_GRANULE);
  countTable(slot, rootBytes, 1);
  return handle;
}

/** Whether all of [first, last] are input addresses of the domain, and lie in its aperture. */
export function inRange(domain: usize, first: u64, last: u64): bool {
  const bias = load<u64>(domain, DOMAIN_BIAS);
  const mask = load<u64>(domain, DOMAIN_MASK);
  if (first > last || first < load<u64>(domain, DOMAIN_FIRST) || last > load<u64>(domain, DOMAIN_LAST)) return false;
  // Sign-extended addresses, moved up by half the range, lie next to each other from 0 on.
  return first + bias <= mask && last + bias <= mask && first + bias <= last + bias;
}

/** Frees the table of `level` at core offset `at`, which has `entries` entries, with all below it. */
export function freeTable<F extends Format>(f: F, core: usize, domain: usize, at: u32, level: u32, entries: u32): void {
  if (level) {
    const end = core + at + (entries << 3);
    for (let p = core + at; p < end; p += 8) {
      let entry = load<u64>(p);
      // A domain may end in the middle of a merge.
      if (entry && !f.isPresent(entry)) entry = f.mendEntry(entry);
      if (entry && f.isTable(entry)) {
        freeTable<F>(f, core, domain, f.tableOffset(entry), level - 1, 1 << f.tableBits());
      }
    }
  }
  countTable(domain, entries << 3, -1);
  give(core, at);
}

/** Frees all tables of the domain at `domain`, root included. */
export function freeTables<F extends Format>(f: F, core: usize, domain: usize): void {
  const top = load<u32>(domain, DOMAIN_TOP);
  const entries = load<u32>(domain, DOMAIN_ROOT_ENTRIES);
  freeTable<F>(f, core, domain, load<u32>(domain, DOMAIN_ROOT), top, entries);
}
