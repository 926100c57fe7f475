// SMMUv3 (IHI 0070), 4.4.1: a TLBI command names one address, or with SMMU_IDR3.RIL (NUM + 1) * 2^SCALE granules from it.

/** Granules that one range command can name at most: (NUM + 1) = 31, as Linux uses it, times 2^SCALE. */
const MOST: u64 = 31;
const LARGEST_SCALE: u64 = 31;

/** Without ranges, so many commands are replaced by one for the address space: CMDQ_MAX_TLBI_OPS of Linux's arm-smmu-v3-sva.c. */
const TOO_MANY: u64 = 512;

/** How many granules of 2^granule bytes [first, last] touches. */
function granulesOf(first: u64, last: u64, granule: u32): u64 {
  return (last >> granule) - (first >> granule) + 1;
}

/** How many range commands [first, last] takes: a power of two of granules at a time, odd ends first. 0: better all at once. */
export function smmuRanges(first: u64, last: u64, granule: u32): u32 {
  let granules = granulesOf(first, last, granule);
  if (granules > MOST << LARGEST_SCALE) return 0;
  let commands: u32 = 0;
  for (; granules; ++commands) {
    const scale = min(ctz(granules), LARGEST_SCALE);
    granules -= ((granules >> scale) & MOST) << scale;
  }
  return commands;
}

/** How many commands of one address each [first, last] takes, a leaf of 2^stride bytes at a time. 0: better all at once. */
export function smmuAddresses(first: u64, last: u64, stride: u32): u32 {
  const commands = granulesOf(first, last, stride);
  return commands >= TOO_MANY ? 0 : <u32>commands;
}

/** The leaf sizes of the level that TTL names, that of leaves of 2^size bytes: others may stay cached. */
export function smmuLevel(size: u32, granule: u32): u64 {
  const bits = granule - 3;
  const low = granule + ((size - granule) / bits) * bits;
  return (((<u64>1) << bits) - 1) << low;
}
