/** Addresses, both ends inclusive. */
export interface IovaSpan {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * What may be mapped, ascending: what every one of `apertures` (each a list of disjoint spans, ascending) holds, without `reserved`.
 * Empty without apertures: then everything may be mapped.
 */
export function validRanges(apertures: readonly (readonly IovaSpan[])[], reserved: readonly IovaSpan[]): IovaSpan[] {
  if (apertures.length === 0) return [];
  const common = apertures.slice(1).reduce<readonly IovaSpan[]>(intersection, apertures[0]);
  return reserved.reduce<IovaSpan[]>(without, [...common]);
}

function intersection(a: readonly IovaSpan[], b: readonly IovaSpan[]): IovaSpan[] {
  return a.flatMap((one) =>
    b.flatMap((other) => {
      const start = one.start > other.start ? one.start : other.start;
      const end = one.end < other.end ? one.end : other.end;
      return start <= end ? [{ start, end }] : [];
    }),
  );
}

function without(ranges: readonly IovaSpan[], hole: IovaSpan): IovaSpan[] {
  return ranges.flatMap((range) => {
    if (hole.end < range.start || hole.start > range.end) return [range];
    return [
      ...(hole.start > range.start ? [{ start: range.start, end: hole.start - 1n }] : []),
      ...(hole.end < range.end ? [{ start: hole.end + 1n, end: range.end }] : []),
    ];
  });
}
