import { ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/**
 * AMD IOMMU host page tables ("v1"): AMD I/O Virtualization Technology specification, section 2.2.3; Linux
 * drivers/iommu/generic_pt/fmt/amdv1.h.
 *
 *   63 62 61 60 59 58  52 51                          12 11    9 8   7 6 5 4    1  0
 *   ┌──┬──┬──┬──┬──┬──────┬─────────────────────────────┬────────┬─────┬─┬─┬─────┬──┐
 *   │  │IW│IR│FC│ U│      │ address                     │NextLvl │     │D│A│     │PR│
 *   └──┴──┴──┴──┴──┴──────┴─────────────────────────────┴────────┴─────┴─┴─┴─────┴──┘
 *
 * NextLevel 0 is a leaf of its table's natural size, 1..6 points to the table of that (AMD) level, 7 is a leaf whose size
 * is encoded in the address: 2^n has address bits n-2..12 set and bit n-1 clear, in 2^((n-12) mod 9) equal entries.
 */
const PR: u64 = 1;
const D: u64 = 1 << 6;
const NEXT_LEVEL: u64 = 7 << 9;
const ENCODED_SIZE: u64 = 7 << 9;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const IR: u64 = 1 << 61;
const IW: u64 = 1 << 62;

@final
export class AmdV1 extends Format {
  granuleShift(): u32 {
    return 12;
  }
  tableBits(): u32 {
    return 9;
  }
  /** 2^12 to 2^51, every power of two. The sixth level has no leaves. */
  leafSizes(_outputBits: u32): u64 {
    return 0x000f_ffff_ffff_f000;
  }
  contiguousSizes(): u64 {
    return 0;
  }
  takesInputBits(bits: u32, signed: bool): bool {
    return !signed && bits >= 21 && bits <= 64;
  }
  takesOutputBits(bits: u32): bool {
    return bits == 52;
  }
  rootBits(): u32 {
    return 9;
  }
  /** The new root has the old one at index 0; nothing needs to be invalidated. */
  growsTop(): bool {
    return true;
  }

  presentBits(): u64 {
    return PR;
  }
  isPresent(entry: u64): bool {
    return (entry & PR) != 0;
  }
  isTable(entry: u64): bool {
    const next = entry & NEXT_LEVEL;
    return next != 0 && next != ENCODED_SIZE;
  }
  leafShift(entry: u64, level: u32): u32 {
    if ((entry & NEXT_LEVEL) != ENCODED_SIZE) return 12 + level * 9;
    return 1 + <u32>ctz(~(entry | 0xfff));
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return entry & ADDRESS & (u64.MAX_VALUE << shift);
  }
  leafAccess(entry: u64): u32 {
    return (entry & IR ? ACCESS_READ : 0) | (entry & IW ? ACCESS_WRITE : 0);
  }
  tableOffset(entry: u64): u32 {
    return <u32>(entry & ADDRESS);
  }
  tableAddress(entry: u64): u64 {
    return entry & ADDRESS;
  }
  tableAccess(entry: u64): u32 {
    return (entry & IR ? ACCESS_READ : 0) | (entry & IW ? ACCESS_WRITE : 0);
  }

  makeLeaf(address: u64, shift: u32, level: u32, access: u32, _tracked: bool): u64 {
    const natural = shift == 12 + level * 9;
    const size: u64 = natural ? 0 : ENCODED_SIZE | ((((<u64>1) << (shift - 1)) - 1) & ADDRESS);
    return PR | size | address | (access & ACCESS_READ ? IR : 0) | (access & ACCESS_WRITE ? IW : 0);
  }
  /** All replicas are equal. */
  runStride(_level: u32): u64 {
    return 0;
  }
  /** Tables let everything through, as Linux makes them. */
  makeTable(offset: u32, level: u32): u64 {
    return PR | ((<u64>level) << 9) | (<u64>offset) | IR | IW;
  }

  breakEntry(entry: u64): u64 {
    return entry & ~PR;
  }
  mendEntry(entry: u64): u64 {
    return entry | PR;
  }
  isUncached(_entry: u64): bool {
    return false;
  }
  makeUncached(entry: u64, _uncached: bool): u64 {
    return entry;
  }

  /** Hardware may set D in any one replica only: the caller looks at all of them. */
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
    return 6;
  }
  armedBit(): u64 {
    return 6;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  /** DTE.HAD switches a domain. */
  tracksAlways(): bool {
    return false;
  }
}
