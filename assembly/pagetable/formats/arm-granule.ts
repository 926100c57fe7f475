/** A translation granule of the Armv8 long-descriptor formats: Arm ARM (DDI 0487) D8.2 and, for contiguous runs, D8.7.1. */
export abstract class Granule {
  /** log2 of the page size. */
  abstract pageShift(): u32;
  /** Leaf sizes in one entry, bit n = 2^n bytes, with output addresses of `outputBits`. */
  abstract leafSizes(outputBits: u32): u64;
  /** Leaf sizes in a run of entries with the Contiguous bit. */
  abstract contiguousSizes(): u64;
  /** log2 of the entries of a contiguous run of `level`. */
  abstract runBits(level: u32): u32;
  /** Most bits of an input or output address. */
  abstract addressBits(): u32;
}

@final
export class Granule4K extends Granule {
  pageShift(): u32 {
    return 12;
  }
  /** 4 KiB, 2 MiB, 1 GiB. */
  leafSizes(_outputBits: u32): u64 {
    return (1 << 12) | (1 << 21) | (1 << 30);
  }
  /** 64 KiB, 32 MiB, 16 GiB: 16 entries each. */
  contiguousSizes(): u64 {
    return (1 << 16) | (1 << 25) | ((<u64>1) << 34);
  }
  runBits(_level: u32): u32 {
    return 4;
  }
  addressBits(): u32 {
    return 48;
  }
}

@final
export class Granule16K extends Granule {
  pageShift(): u32 {
    return 14;
  }
  /** 16 KiB, 32 MiB. */
  leafSizes(_outputBits: u32): u64 {
    return (1 << 14) | (1 << 25);
  }
  /** 2 MiB of 128 entries, 1 GiB of 32. */
  contiguousSizes(): u64 {
    return (1 << 21) | (1 << 30);
  }
  runBits(level: u32): u32 {
    return level ? 5 : 7;
  }
  addressBits(): u32 {
    return 48;
  }
}

@final
export class Granule64K extends Granule {
  pageShift(): u32 {
    return 16;
  }
  /** 64 KiB, 512 MiB; 4 TiB with output addresses of 52 bits. */
  leafSizes(outputBits: u32): u64 {
    return (1 << 16) | (1 << 29) | (outputBits == 52 ? (<u64>1) << 42 : 0);
  }
  /** 2 MiB, 16 GiB: 32 entries each. */
  contiguousSizes(): u64 {
    return (1 << 21) | ((<u64>1) << 34);
  }
  runBits(_level: u32): u32 {
    return 5;
  }
  addressBits(): u32 {
    return 52;
  }
}
