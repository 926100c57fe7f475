import { Granule } from './arm-granule';

/** What stage 1 and stage 2 descriptors have in common: type, output address, AF, SH, DBM, Contiguous (Arm ARM D8.3). */
const TYPE: u64 = 3;
const TABLE_OR_PAGE: u64 = 3;
const NT: u64 = 1 << 16;
const ADDRESS_47_12: u64 = 0x0000_ffff_ffff_f000;
const ADDRESS_47_16: u64 = 0x0000_ffff_ffff_0000;

export class ArmDescriptor {
  static readonly VALID: u64 = 1;
  static readonly BLOCK: u64 = 1;
  static readonly PAGE: u64 = 3;
  static readonly SH_INNER: u64 = 3 << 8;
  static readonly AF: u64 = 1 << 10;
  static readonly DBM: u64 = (<u64>1) << 51;
  static readonly CONTIGUOUS: u64 = (<u64>1) << 52;

  @inline static isPresent(entry: u64): bool {
    return (entry & ArmDescriptor.VALID) != 0;
  }

  @inline static isTable(entry: u64): bool {
    return (entry & TYPE) == TABLE_OR_PAGE;
  }

  /** nT keeps a block out of the TLB (FEAT_BBM level 1); in a page the bit belongs to the address. */
  @inline static isUncached(entry: u64): bool {
    return (entry & (NT | TYPE)) == (NT | ArmDescriptor.BLOCK);
  }

  @inline static makeUncached(entry: u64, uncached: bool): u64 {
    if ((entry & TYPE) != ArmDescriptor.BLOCK) return entry;
    return uncached ? entry | NT : entry & ~NT;
  }

  /** With the 64 KiB granule bits 15..12 hold address bits 51..48. */
  @inline static address<G extends Granule>(entry: u64): u64 {
    if (changetype<G>(0).pageShift() == 16) return (entry & ADDRESS_47_16) | (((entry >> 12) & 15) << 48);
    return entry & ADDRESS_47_12;
  }

  @inline static withAddress<G extends Granule>(address: u64): u64 {
    if (changetype<G>(0).pageShift() == 16) return (address & ADDRESS_47_16) | (((address >> 48) & 15) << 12);
    return address;
  }

  @inline static entryShift<G extends Granule>(level: u32): u32 {
    return changetype<G>(0).pageShift() + level * (changetype<G>(0).pageShift() - 3);
  }

  @inline static leafShift<G extends Granule>(entry: u64, level: u32): u32 {
    const run = entry & ArmDescriptor.CONTIGUOUS ? changetype<G>(0).runBits(level) : 0;
    return ArmDescriptor.entryShift<G>(level) + run;
  }

  /** Type, address, AF, SH and Contiguous of a leaf. */
  @inline static leaf<G extends Granule>(address: u64, shift: u32, level: u32): u64 {
    const type = level ? ArmDescriptor.BLOCK : ArmDescriptor.PAGE;
    const run = shift == ArmDescriptor.entryShift<G>(level) ? 0 : ArmDescriptor.CONTIGUOUS;
    return type | run | ArmDescriptor.withAddress<G>(address) | ArmDescriptor.SH_INNER | ArmDescriptor.AF;
  }

  @inline static table(offset: u32): u64 {
    return (<u64>offset) | TABLE_OR_PAGE;
  }
}
