import { ACCESS_GLOBAL, ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/**
 * x86-64 paging as VT-d's first stage and AMD's v2 tables use it: Intel SDM volume 3, section 4.5; Intel VT-d specification,
 * section 9.7; Linux drivers/iommu/generic_pt/fmt/x86_64.h.
 *
 *   63 62    52 51                          12 11  9  8 7  6 5 4   3   2 1  0
 *   ┌──┬───────┬─────────────────────────────┬─────┬─┬──┬─┬─┬───┬───┬─┬──┬─┐
 *   │XD│       │ address                     │     │G│PS│D│A│PCD│PWT│U│RW│P│    PS: leaf of level 1 or 2
 *   └──┴───────┴─────────────────────────────┴─────┴─┴──┴─┴─┴───┴───┴─┴──┴─┘
 *
 * Linux presets A, and D where writable, so that hardware never writes. A leaf made for tracking starts clean instead.
 */
const P: u64 = 1;
const RW: u64 = 1 << 1;
const U: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const G: u64 = 1 << 8;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

@final
export class X86_64 extends Format {
  granuleShift(): u32 {
    return 12;
  }
  tableBits(): u32 {
    return 9;
  }
  /** 4 KiB, 2 MiB, 1 GiB. */
  leafSizes(_outputBits: u32): u64 {
    return (1 << 12) | (1 << 21) | (1 << 30);
  }
  contiguousSizes(): u64 {
    return 0;
  }
  /** Four or five levels: 48 or 57 bits sign-extended, or their lower halves of 47 or 56 bits. */
  takesInputBits(bits: u32, signed: bool): bool {
    return signed ? bits == 48 || bits == 57 : bits == 47 || bits == 48 || bits == 56 || bits == 57;
  }
  takesOutputBits(bits: u32): bool {
    return bits == 52;
  }
  rootBits(): u32 {
    return 9;
  }
  growsTop(): bool {
    return false;
  }

  presentBits(): u64 {
    return P;
  }
  isPresent(entry: u64): bool {
    return (entry & P) != 0;
  }
  isTable(entry: u64): bool {
    return (entry & PS) == 0;
  }
  leafShift(_entry: u64, level: u32): u32 {
    return 12 + level * 9;
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return entry & ADDRESS & (u64.MAX_VALUE << shift);
  }
  /** Readable is whatever is present. */
  leafAccess(entry: u64): u32 {
    const rights = entry & RW ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ;
    return entry & G ? rights | ACCESS_GLOBAL : rights;
  }
  tableOffset(entry: u64): u32 {
    return <u32>(entry & ADDRESS);
  }
  tableAddress(entry: u64): u64 {
    return entry & ADDRESS;
  }
  tableAccess(entry: u64): u32 {
    return entry & RW ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ;
  }

  makeLeaf(address: u64, _shift: u32, level: u32, access: u32, tracked: bool): u64 {
    const writable: u64 = access & ACCESS_WRITE ? (tracked ? RW : RW | D) : 0;
    return P | U | A | writable | (access & ACCESS_GLOBAL ? G : 0) | (level ? PS : 0) | address;
  }
  runStride(_level: u32): u64 {
    return 0;
  }
  makeTable(offset: u32, _level: u32): u64 {
    return P | RW | U | A | (<u64>offset);
  }

  breakEntry(entry: u64): u64 {
    return entry & ~P;
  }
  mendEntry(entry: u64): u64 {
    return entry | P;
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
    return 6;
  }
  armedBit(): u64 {
    return 6;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  /** The first-stage A/D enable switches a domain. */
  tracksAlways(): bool {
    return false;
  }
}
