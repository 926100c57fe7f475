/** A named part of an entry. */
export interface Field {
  /** As its specification names it. */
  readonly name: string;
  readonly high: number;
  readonly low: number;
  /** Address bits: the value is what they say where they stand, not shifted down. */
  readonly isAddress: boolean;
  /** A value in words. */
  meaning?(value: bigint): string;
}

/** Mask of bits `high` to `low`. */
export function bitRange(high: number, low: number = high): bigint {
  return (1n << BigInt(high + 1)) - (1n << BigInt(low));
}

/** A field of several bits; `meaning` says a value in words. */
export function field(name: string, high: number, low: number, meaning?: (value: bigint) => string): Field {
  return { name, high, low, isAddress: false, ...(meaning && { meaning }) };
}

/** A field of one bit, with words for 0 and 1. */
export function flag(name: string, bit: number, clear: string, set: string): Field {
  return field(name, bit, bit, (value) => (value ? set : clear));
}

/** Address bits `high` to `low`, held where they stand. */
export function addressField(name: string, high: number, low: number): Field {
  return { name, high, low, isAddress: true };
}

/** A field of several bits with words for each value. */
export function choice(name: string, high: number, low: number, words: readonly string[]): Field {
  return field(name, high, low, (value) => words[Number(value)]);
}

/** The value of a field in `entry`. */
export function valueOf({ high, low, isAddress }: Field, entry: bigint): bigint {
  const inPlace = entry & bitRange(high, low);
  return isAddress ? inPlace : inPlace >> BigInt(low);
}

/** The largest value that fits a field. */
export function largestOf({ high, low, isAddress }: Field): bigint {
  return isAddress ? bitRange(high, low) : bitRange(high - low, 0);
}

/** `entry` with another value in a field. */
export function withValue(entry: bigint, { high, low, isAddress }: Field, value: bigint): bigint {
  return (entry & ~bitRange(high, low)) | (isAddress ? value : value << BigInt(low));
}

/** How the bits of a field are written: `51:12`, or `7`. */
export function bitsName({ high, low }: Pick<Field, 'high' | 'low'>): string {
  return high === low ? String(low) : `${high}:${low}`;
}

/** The bits that are set in `mask` as ranges, high ones first: `62, 58:52`. */
export function rangesOf(mask: bigint): string {
  const ranges: string[] = [];
  for (let bit = 63; bit >= 0; bit--) {
    if (!(mask & bitRange(bit))) continue;
    const high = bit;
    while (bit > 0 && mask & bitRange(bit - 1)) bit--;
    ranges.push(bitsName({ high, low: bit }));
  }
  return ranges.join(', ');
}
