import { ACCESS_GLOBAL, ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/**
 * RISC-V Sv39, Sv48, Sv57 as the RISC-V IOMMU walks them: RISC-V privileged specification, sections 12.3 to 12.6 and Svnapot;
 * RISC-V IOMMU specification, 3.3; Linux drivers/iommu/generic_pt/fmt/riscv.h.
 *
 *   63 62  61 60    54 53                      10 9   8 7 6 5 4 3 2 1 0
 *   ┌──┬──────┬───────┬──────────────────────────┬─────┬─┬─┬─┬─┬─┬─┬─┬─┐
 *   │N │ PBMT │       │ PPN                      │ RSW │D│A│G│U│X│W│R│V│    a leaf where any of R, W, X
 *   └──┴──────┴───────┴──────────────────────────┴─────┴─┴─┴─┴─┴─┴─┴─┴─┘
 *
 * N with the PPN's low nibble 1000 is a 64 KiB leaf of the smallest level, in 16 equal entries (Svnapot). Linux presets A
 * and U, and D where writable; a leaf made for tracking starts clean instead.
 */
const V: u64 = 1;
const R: u64 = 1 << 1;
const W: u64 = 1 << 2;
const X: u64 = 1 << 3;
const U: u64 = 1 << 4;
const G: u64 = 1 << 5;
const A: u64 = 1 << 6;
const D: u64 = 1 << 7;
const PPN: u64 = 0x003f_ffff_ffff_fc00;
const NAPOT: u64 = (<u64>1) << 63;
const NAPOT_64K: u64 = 8 << 10; // PPN nibble 1000

@final
export class RiscV extends Format {
  granuleShift(): u32 {
    return 12;
  }
  tableBits(): u32 {
    return 9;
  }
  /** 4 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB, as far as there are levels. */
  leafSizes(_outputBits: u32): u64 {
    return (1 << 12) | (1 << 21) | (1 << 30) | ((<u64>1) << 39) | ((<u64>1) << 48);
  }
  /** 64 KiB (Svnapot). */
  contiguousSizes(): u64 {
    return 1 << 16;
  }
  /** Sv39, Sv48, Sv57: sign-extended always. */
  takesInputBits(bits: u32, signed: bool): bool {
    return signed && (bits == 39 || bits == 48 || bits == 57);
  }
  takesOutputBits(bits: u32): bool {
    return bits == 56;
  }
  rootBits(): u32 {
    return 9;
  }
  growsTop(): bool {
    return false;
  }

  presentBits(): u64 {
    return V;
  }
  isPresent(entry: u64): bool {
    return (entry & V) != 0;
  }
  isTable(entry: u64): bool {
    return (entry & (R | W | X)) == 0;
  }
  leafShift(entry: u64, level: u32): u32 {
    return entry & NAPOT ? 16 : 12 + level * 9;
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return ((entry & PPN) << 2) & (u64.MAX_VALUE << shift);
  }
  leafAccess(entry: u64): u32 {
    return (entry & R ? ACCESS_READ : 0) | (entry & W ? ACCESS_WRITE : 0) | (entry & G ? ACCESS_GLOBAL : 0);
  }
  tableOffset(entry: u64): u32 {
    return <u32>((entry & PPN) << 2);
  }
  tableAddress(entry: u64): u64 {
    return (entry & PPN) << 2;
  }
  /** A table entry has no rights of its own. */
  tableAccess(_entry: u64): u32 {
    return ACCESS_READ | ACCESS_WRITE;
  }

  /** W without R is reserved: writable means readable too. */
  makeLeaf(address: u64, shift: u32, _level: u32, access: u32, tracked: bool): u64 {
    const writable: u64 = access & ACCESS_WRITE ? (tracked ? W : W | D) : 0;
    const napot: u64 = shift == 16 ? NAPOT | NAPOT_64K : 0;
    return V | R | U | A | writable | (access & ACCESS_GLOBAL ? G : 0) | napot | ((address >> 2) & PPN);
  }
  runStride(_level: u32): u64 {
    return 0;
  }
  makeTable(offset: u32, _level: u32): u64 {
    return V | ((<u64>offset) >> 2);
  }

  breakEntry(entry: u64): u64 {
    return entry & ~V;
  }
  mendEntry(entry: u64): u64 {
    return entry | V;
  }
  isUncached(_entry: u64): bool {
    return false;
  }
  makeUncached(entry: u64, _uncached: bool): u64 {
    return entry;
  }

  isDirty(entry: u64): bool {
    return (entry & D) != 0;
  }
  makeDirty(entry: u64): u64 {
    return entry | D | A;
  }
  makeClean(entry: u64): u64 {
    return entry & ~D;
  }
  dirtyBit(): u64 {
    return 7;
  }
  armedBit(): u64 {
    return 7;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  /** GADE and SADE in the device context switch a domain. */
  tracksAlways(): bool {
    return false;
  }
}
