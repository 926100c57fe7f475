import { ACCESS_GLOBAL, ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';
import { ArmDescriptor } from './arm-descriptor';
import { Granule } from './arm-granule';

/**
 * Armv8 stage 1 as an SMMUv3 walks it: Arm ARM (DDI 0487) D8.3, SMMUv3 (IHI 0070) 3.13; Linux drivers/iommu/io-pgtable-arm.c.
 *
 *   54 53 52 51 50  48 47                        12 11 10 9  8 7     6     5 4      2 1  0
 *   ┌──┬──┬──┬───┬─────┬───────────────────────────┬──┬──┬────┬─────┬─────┬──┬────────┬────┐
 *   │XN│XN│C │DBM│     │ address                   │nG│AF│ SH │AP[2]│AP[1]│NS│AttrIndx│type│
 *   └──┴──┴──┴───┴─────┴───────────────────────────┴──┴──┴────┴─────┴─────┴──┴────────┴────┘
 *
 * type 1 is a block, 3 a table, or in the last level a page. Writable-clean is DBM 1, AP[2] 1; writable-dirty is DBM 1,
 * AP[2] 0: the dirty state is inverted. A leaf made for tracking starts dirty, as Linux makes it.
 */
const ATTR_WRITE_BACK: u64 = 1 << 2; // MAIR slot 1, as Linux numbers them
const AP_UNPRIVILEGED: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const NG: u64 = 1 << 11;

@final
export class ArmS1<G extends Granule> extends Format {
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
  /** The lower half of the address space (TTBR0). */
  takesInputBits(bits: u32, signed: bool): bool {
    return !signed && bits >= 25 && bits <= changetype<G>(0).addressBits();
  }
  /** 52 bits with the 64 KiB granule only: LPA2 is another descriptor format. */
  takesOutputBits(bits: u32): bool {
    return bits == 48 || bits == changetype<G>(0).addressBits();
  }
  rootBits(): u32 {
    return changetype<G>(0).pageShift() - 3;
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
    const readOnly = (entry & (AP_READ_ONLY | ArmDescriptor.DBM)) == AP_READ_ONLY;
    return ACCESS_READ | (readOnly ? 0 : ACCESS_WRITE) | (entry & NG ? 0 : ACCESS_GLOBAL);
  }
  tableOffset(entry: u64): u32 {
    return <u32>ArmDescriptor.address<G>(entry);
  }
  tableAddress(entry: u64): u64 {
    return ArmDescriptor.address<G>(entry);
  }
  /** APTable stays 0 here, as in Linux. */
  tableAccess(_entry: u64): u32 {
    return ACCESS_READ | ACCESS_WRITE;
  }

  /** Stage 1 has no write-only leaf: writable means readable too. */
  makeLeaf(address: u64, shift: u32, level: u32, access: u32, tracked: bool): u64 {
    const rights: u64 = access & ACCESS_WRITE ? (tracked ? ArmDescriptor.DBM : 0) : AP_READ_ONLY;
    const scope: u64 = access & ACCESS_GLOBAL ? 0 : NG;
    return ArmDescriptor.leaf<G>(address, shift, level) | rights | ATTR_WRITE_BACK | AP_UNPRIVILEGED | scope;
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
    return (entry & (AP_READ_ONLY | ArmDescriptor.DBM)) == ArmDescriptor.DBM;
  }
  makeDirty(entry: u64): u64 {
    return entry & ~AP_READ_ONLY;
  }
  makeClean(entry: u64): u64 {
    return entry | AP_READ_ONLY;
  }
  dirtyBit(): u64 {
    return 7;
  }
  armedBit(): u64 {
    return 51;
  }
  dirtyFlip(): u64 {
    return AP_READ_ONLY;
  }
  /** CD.HD is on from the start for a context made for tracking. */
  tracksAlways(): bool {
    return true;
  }
}
