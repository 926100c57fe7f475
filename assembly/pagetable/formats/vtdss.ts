import { ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/**
 * VT-d second-stage tables: Intel VT-d specification, section 9.8; Linux drivers/iommu/generic_pt/fmt/vtdss.h.
 *
 *   63 62    52 51                          12 11  10 9 8  7 6      2 1 0
 *   ┌──┬───────┬─────────────────────────────┬───┬──┬─┬─┬──┬────────┬─┬─┐
 *   │  │       │ address                     │SNP│  │D│A│PS│        │W│R│    PS: leaf of level 1 or 2
 *   └──┴───────┴─────────────────────────────┴───┴──┴─┴─┴──┴────────┴─┴─┘
 */
const R: u64 = 1;
const W: u64 = 1 << 1;
const PS: u64 = 1 << 7;
const A: u64 = 1 << 8;
const D: u64 = 1 << 9;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const KEPT_RIGHTS: u64 = 52;

@final
export class VtdSs extends Format {
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
  /** AGAW 39, 48, 57: three, four, five levels. */
  takesInputBits(bits: u32, signed: bool): bool {
    return !signed && (bits == 39 || bits == 48 || bits == 57);
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

  /** There is no present bit: an entry that lets neither reads nor writes through is not there. */
  presentBits(): u64 {
    return R | W;
  }
  isPresent(entry: u64): bool {
    return (entry & (R | W)) != 0;
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
  leafAccess(entry: u64): u32 {
    return <u32>(entry & (R | W));
  }
  tableOffset(entry: u64): u32 {
    return <u32>(entry & ADDRESS);
  }
  tableAddress(entry: u64): u64 {
    return entry & ADDRESS;
  }
  tableAccess(entry: u64): u32 {
    return <u32>(entry & (R | W));
  }

  makeLeaf(address: u64, _shift: u32, level: u32, access: u32, _tracked: bool): u64 {
    return address | (level ? PS : 0) | (access & ACCESS_READ ? R : 0) | (access & ACCESS_WRITE ? W : 0);
  }
  runStride(_level: u32): u64 {
    return 0;
  }
  makeTable(offset: u32, _level: u32): u64 {
    return (<u64>offset) | R | W;
  }

  /** The rights, which are what makes it present, wait in bits that hardware ignores. */
  breakEntry(entry: u64): u64 {
    return (entry & ~(R | W)) | ((entry & (R | W)) << KEPT_RIGHTS);
  }
  mendEntry(entry: u64): u64 {
    return (entry & ~((R | W) << KEPT_RIGHTS)) | ((entry >> KEPT_RIGHTS) & (R | W));
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
    return 9;
  }
  armedBit(): u64 {
    return 9;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  /** SSADE in the PASID entry switches a domain. */
  tracksAlways(): bool {
    return false;
  }
}
