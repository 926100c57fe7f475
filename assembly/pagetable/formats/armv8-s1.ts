import { ACCESS_READ, ACCESS_WRITE } from '../../layout';
import { Format } from '../format';

/** A translation granule of the Armv8 long-descriptor formats. */
export abstract class Granule {
  /** log2 of the page size. */
  abstract pageShift(): u32;
  abstract leafSizes(): u64;
}

@final
export class Granule4K extends Granule {
  pageShift(): u32 {
    return 12;
  }
  /** 4 KiB, 2 MiB, 1 GiB. */
  leafSizes(): u64 {
    return (1 << 12) | (1 << 21) | (1 << 30);
  }
}

@final
export class Granule64K extends Granule {
  pageShift(): u32 {
    return 16;
  }
  /** 64 KiB, 512 MiB. */
  leafSizes(): u64 {
    return (1 << 16) | (1 << 29);
  }
}

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
const TYPE: u64 = 3;
const BLOCK: u64 = 1;
const TABLE_OR_PAGE: u64 = 3;
const ATTR_WRITE_BACK: u64 = 1 << 2; // MAIR slot 1, as Linux numbers them
const AP_UNPRIVILEGED: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const SH_INNER: u64 = 3 << 8;
const AF: u64 = 1 << 10;
const NG: u64 = 1 << 11;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const DBM: u64 = 1 << 51;

@final
export class ArmS1<G extends Granule> extends Format {
  granuleShift(): u32 {
    return changetype<G>(0).pageShift();
  }
  tableBits(): u32 {
    return changetype<G>(0).pageShift() - 3;
  }
  leafSizes(): u64 {
    return changetype<G>(0).leafSizes();
  }
  takesInputBits(bits: u32): bool {
    return bits >= 32 && bits <= 48;
  }
  outputBits(): u32 {
    return 48;
  }

  isPresent(entry: u64): bool {
    return (entry & 1) != 0;
  }
  isTable(entry: u64): bool {
    return (entry & TYPE) == TABLE_OR_PAGE;
  }
  leafShift(_entry: u64, level: u32): u32 {
    return changetype<G>(0).pageShift() + level * (changetype<G>(0).pageShift() - 3);
  }
  leafAddress(entry: u64, shift: u32): u64 {
    return entry & ADDRESS & (u64.MAX_VALUE << shift);
  }
  leafAccess(entry: u64): u32 {
    return (entry & (AP_READ_ONLY | DBM)) == AP_READ_ONLY ? ACCESS_READ : ACCESS_READ | ACCESS_WRITE;
  }
  tableOffset(entry: u64): u32 {
    return <u32>(entry & ADDRESS);
  }
  /** APTable stays 0 here, as in Linux. */
  tableAccess(_entry: u64): u32 {
    return ACCESS_READ | ACCESS_WRITE;
  }

  /** Stage 1 has no write-only leaf: writable means readable too. */
  makeLeaf(address: u64, _shift: u32, level: u32, access: u32, tracked: bool): u64 {
    const type = level ? BLOCK : TABLE_OR_PAGE;
    const rights: u64 = access & ACCESS_WRITE ? (tracked ? DBM : 0) : AP_READ_ONLY;
    return address | type | rights | ATTR_WRITE_BACK | AP_UNPRIVILEGED | SH_INNER | AF | NG;
  }
  makeTable(offset: u32, _level: u32): u64 {
    return (<u64>offset) | TABLE_OR_PAGE;
  }

  isDirty(entry: u64): bool {
    return (entry & (AP_READ_ONLY | DBM)) == DBM;
  }
  makeDirty(entry: u64): u64 {
    return entry & ~AP_READ_ONLY;
  }
  makeClean(entry: u64): u64 {
    return entry | AP_READ_ONLY;
  }
  /** CD.HD is on from the start for a context made for tracking. */
  tracksAlways(): bool {
    return true;
  }
}
