/**
 * What an I/O page-table format says about itself; everything else is written once, over any format.
 *
 * The rules that keep a format free of calls at run time: abstract methods only, here and in between; each format one
 * `@final` class that defines all of them; code shared by composition or by static methods (see docs/decisions.md).
 *
 * Terms. Level 0 is the table of the smallest leaves. A table has 2^tableBits entries of 8 bytes, the root possibly fewer. An
 * entry of level n covers 2^(granuleShift + n * tableBits) bytes. A leaf larger than that, but smaller than an entry of
 * the next level, lies in several entries side by side: its replicas, or a contiguous run. Hardware may make any one of
 * them dirty.
 */
export abstract class Format {
  /** log2 of the smallest leaf's size, bytes. */
  abstract granuleShift(): u32;
  /** log2 of the entries of a table. */
  abstract tableBits(): u32;
  /** Sizes that a leaf can have with output addresses of `outputBits`, bit n = 2^n bytes. */
  abstract leafSizes(outputBits: u32): u64;
  /** Those that are a hint on a run of smaller leaves (Contiguous, NAPOT): not used unless asked for. */
  abstract contiguousSizes(): u64;
  /** Whether a domain can have input addresses of `bits` bits, sign-extended or from 0 on. */
  abstract takesInputBits(bits: u32, signed: bool): bool;
  /** Whether output addresses can have `bits` bits. */
  abstract takesOutputBits(bits: u32): bool;
  /** log2 of the entries that a root table may have at most. */
  abstract rootBits(): u32;
  /** Whether the root may move up a level when an address beyond it is mapped. */
  abstract growsTop(): bool;

  /** An entry is present where any of these bits is set. */
  abstract presentBits(): u64;
  abstract isPresent(entry: u64): bool;
  /** Whether a present entry of level 1 or higher points to a table. */
  abstract isTable(entry: u64): bool;
  /** log2 of the size of the leaf that a present entry of `level` describes. */
  abstract leafShift(entry: u64, level: u32): u32;
  /** Output address of the first byte of the leaf, whose size is 2^shift. */
  abstract leafAddress(entry: u64, shift: u32): u64;
  /** ACCESS_READ | ACCESS_WRITE | ACCESS_GLOBAL of a leaf. A leaf that hardware may make writable-dirty counts as writable. */
  abstract leafAccess(entry: u64): u32;
  /** Core offset of the table that a table entry points to. */
  abstract tableOffset(entry: u64): u32;
  /** The same as an address of 64 bits, where it is one of a guest. */
  abstract tableAddress(entry: u64): u64;
  /** What a table entry lets through: ACCESS_READ | ACCESS_WRITE. */
  abstract tableAccess(entry: u64): u32;

  /** The first entry of a leaf of 2^shift bytes; `tracked` where its domain was made for dirty tracking. */
  abstract makeLeaf(address: u64, shift: u32, level: u32, access: u32, tracked: bool): u64;
  /** What each further entry of a leaf in `level` adds to the one before: 0 where all are equal. */
  abstract runStride(level: u32): u64;
  /** An entry of `level` that points to the table at core offset `offset`. */
  abstract makeTable(offset: u32, level: u32): u64;

  /** A present entry as one that is not, with all that it says kept; never 0. */
  abstract breakEntry(entry: u64): u64;
  /** The broken entry as it was. */
  abstract mendEntry(entry: u64): u64;
  /** Whether what a leaf translates is kept out of the IOTLB (nT), and the leaf with or without that. */
  abstract isUncached(entry: u64): bool;
  abstract makeUncached(entry: u64, uncached: bool): u64;

  abstract isDirty(entry: u64): bool;
  /** The entry after the hardware's dirty update. */
  abstract makeDirty(entry: u64): u64;
  /** The dirty entry cleaned again. */
  abstract makeClean(entry: u64): u64;
  /**
   * The entry is dirty where, after XOR with dirtyFlip (the dirty bit or 0), these two bits are set, the armed one the higher if they
   * differ: what vectors test. Absent entries are not.
   */
  abstract dirtyBit(): u64;
  abstract armedBit(): u64;
  abstract dirtyFlip(): u64;
  /** Whether hardware tracks from the moment on that a leaf is made for it, with no switch for the domain. */
  abstract tracksAlways(): bool;
}
