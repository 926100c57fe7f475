import { ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/**
 * A format of no hardware, for domains whose I/O page is smaller than the CPU's: granule 2 KiB, leaves of 2 KiB and 1 MiB. Linux
 * has one like it for its self-tests (drivers/iommu/iommufd/selftest.c).
 *
 *   63          52 51                                 11 10   5 4     3 2 1 0
 *   ┌─────────────┬────────────────────────────────────┬──────┬─────┬─┬─┬─┬─┐
 *   │             │ address                            │      │table│D│W│R│P│
 *   └─────────────┴────────────────────────────────────┴──────┴─────┴─┴─┴─┴─┘
 */
const P: u64 = 1;
const R: u64 = 1 << 1;
const W: u64 = 1 << 2;
const D: u64 = 1 << 3;
const TABLE: u64 = 1 << 4;
const ADDRESS: u64 = 0x000f_ffff_ffff_f800;

@final
export class Mock2K extends Format {
  granuleShift(): u32 {
    return 11;
  }
  tableBits(): u32 {
    return 9;
  }
  /** 2 KiB, 1 MiB. */
  leafSizes(_outputBits: u32): u64 {
    return (1 << 11) | (1 << 20);
  }
  contiguousSizes(): u64 {
    return 0;
  }
  takesInputBits(bits: u32, signed: bool): bool {
    return !signed && bits >= 20 && bits <= 48;
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
    return (entry & TABLE) != 0;
  }
  leafShift(_entry: u64, level: u32): u32 {
    return 11 + level * 9;
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return entry & ADDRESS & (u64.MAX_VALUE << shift);
  }
  leafAccess(entry: u64): u32 {
    return (entry & R ? ACCESS_READ : 0) | (entry & W ? ACCESS_WRITE : 0);
  }
  tableOffset(entry: u64): u32 {
    return <u32>(entry & ADDRESS);
  }
  tableAddress(entry: u64): u64 {
    return entry & ADDRESS;
  }
  tableAccess(entry: u64): u32 {
    return (entry & R ? ACCESS_READ : 0) | (entry & W ? ACCESS_WRITE : 0);
  }

  makeLeaf(address: u64, _shift: u32, _level: u32, access: u32, _tracked: bool): u64 {
    return P | (access & ACCESS_READ ? R : 0) | (access & ACCESS_WRITE ? W : 0) | address;
  }
  runStride(_level: u32): u64 {
    return 0;
  }
  makeTable(offset: u32, _level: u32): u64 {
    return P | R | W | TABLE | (<u64>offset);
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
    return entry | D;
  }
  makeClean(entry: u64): u64 {
    return entry & ~D;
  }
  dirtyBit(): u64 {
    return 3;
  }
  armedBit(): u64 {
    return 3;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  tracksAlways(): bool {
    return false;
  }
}
