import { ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';
import { ArmDescriptor } from './arm-descriptor';
import { Granule } from './arm-granule';

/**
 * Armv8 stage 2 as an SMMUv3 walks it: Arm ARM (DDI 0487) D8.3, SMMUv3 (IHI 0070) 3.13; Linux drivers/iommu/io-pgtable-arm.c.
 *
 *   54 53 52 51 50  48 47                        12 11 10 9  8 7   6   5      2 1  0
 *   ┌─────┬──┬───┬─────┬───────────────────────────┬──┬──┬────┬─────────┬──────┬────┐
 *   │ XN  │C │DBM│     │ address                   │  │AF│ SH │S2AP W R │MemAtt│type│
 *   └─────┴──┴───┴─────┴───────────────────────────┴──┴──┴────┴─────────┴──────┴────┘
 *
 * Writable-clean is DBM 1, S2AP[1] 0; writable-dirty is DBM 1, S2AP[1] 1. Linux has no dirty tracking in stage 2; a leaf
 * made for it here starts clean. Up to 16 tables may stand side by side at the top (Arm ARM D8.2.2).
 */
const MEMATTR_WRITE_BACK: u64 = 15 << 2;
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;

@final
export class ArmS2<G extends Granule> extends Format {
  granuleShift(): u32 {
    return changetype<G>(0).pageShift();
  }
  tableBits(): u32 {
    return changetype<G>(0).pageShift() - 3;
  }
  leafSizes(outputBits: u32): u64 {
    return changetype<G>(0).leafSizes(outputBits);
  }
  contiguousSizes(): u64 {
    return changetype<G>(0).contiguousSizes();
  }
  takesInputBits(bits: u32, signed: bool): bool {
    return !signed && bits >= 25 && bits <= changetype<G>(0).addressBits();
  }
  takesOutputBits(bits: u32): bool {
    return bits == 48 || bits == changetype<G>(0).addressBits();
  }
  /** 16 concatenated tables. */
  rootBits(): u32 {
    return changetype<G>(0).pageShift() - 3 + 4;
  }
  growsTop(): bool {
    return false;
  }

  presentBits(): u64 {
    return ArmDescriptor.VALID;
  }
  isPresent(entry: u64): bool {
    return ArmDescriptor.isPresent(entry);
  }
  isTable(entry: u64): bool {
    return ArmDescriptor.isTable(entry);
  }
  leafShift(entry: u64, level: u32): u32 {
    return ArmDescriptor.leafShift<G>(entry, level);
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return ArmDescriptor.address<G>(entry) & (u64.MAX_VALUE << shift);
  }
  leafAccess(entry: u64): u32 {
    return (entry & S2AP_READ ? ACCESS_READ : 0) | (entry & (S2AP_WRITE | ArmDescriptor.DBM) ? ACCESS_WRITE : 0);
  }
  tableOffset(entry: u64): u32 {
    return <u32>ArmDescriptor.address<G>(entry);
  }
  tableAddress(entry: u64): u64 {
    return ArmDescriptor.address<G>(entry);
  }
  /** Stage 2 tables have no rights of their own. */
  tableAccess(_entry: u64): u32 {
    return ACCESS_READ | ACCESS_WRITE;
  }

  makeLeaf(address: u64, shift: u32, level: u32, access: u32, tracked: bool): u64 {
    const write: u64 = access & ACCESS_WRITE ? (tracked ? ArmDescriptor.DBM : S2AP_WRITE) : 0;
    const read: u64 = access & ACCESS_READ ? S2AP_READ : 0;
    return ArmDescriptor.leaf<G>(address, shift, level) | write | read | MEMATTR_WRITE_BACK;
  }
  /** The entries of a contiguous run lead to consecutive addresses. */
  runStride(level: u32): u64 {
    return (<u64>1) << ArmDescriptor.entryShift<G>(level);
  }
  makeTable(offset: u32, _level: u32): u64 {
    return ArmDescriptor.table(offset);
  }

  breakEntry(entry: u64): u64 {
    return entry & ~ArmDescriptor.VALID;
  }
  mendEntry(entry: u64): u64 {
    return entry | ArmDescriptor.VALID;
  }
  isUncached(entry: u64): bool {
    return ArmDescriptor.isUncached(entry);
  }
  makeUncached(entry: u64, uncached: bool): u64 {
    return ArmDescriptor.makeUncached(entry, uncached);
  }

  isDirty(entry: u64): bool {
    return (entry & (S2AP_WRITE | ArmDescriptor.DBM)) == (S2AP_WRITE | ArmDescriptor.DBM);
  }
  makeDirty(entry: u64): u64 {
    return entry | S2AP_WRITE;
  }
  makeClean(entry: u64): u64 {
    return entry & ~S2AP_WRITE;
  }
  dirtyBit(): u64 {
    return 7;
  }
  armedBit(): u64 {
    return 51;
  }
  dirtyFlip(): u64 {
    return 0;
  }
  /** STE.S2HD is on from the start for a stream made for tracking. */
  tracksAlways(): bool {
    return true;
  }
}
