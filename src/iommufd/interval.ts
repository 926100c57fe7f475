/** 2^64 - 1, the last address there is. */
export const ADDRESS_MAX = (1n << 64n) - 1n;

/** Addresses `first` .. `last`, both inclusive, so that the top of a 64-bit space can be said. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

export function overlap(a: Interval, b: Interval): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** What both have; undefined where that is nothing. */
export function intersection(a: Interval, b: Interval): Interval | undefined {
  if (!overlap(a, b)) return undefined;
  return { first: a.first > b.first ? a.first : b.first, last: a.last < b.last ? a.last : b.last };
}

/** The same addresses as ascending intervals of which no two overlap or touch. */
export function merged(intervals: Iterable<Interval>): Interval[] {
  const sorted = [...intervals].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const result: { first: bigint; last: bigint }[] = [];
  for (const { first, last } of sorted) {
    const end = result.at(-1);
    if (!end || first > end.last + 1n) result.push({ first, last });
    else if (last > end.last) end.last = last;
  }
  return result;
}

/** Two ascending sequences as one. */
export function* inOrder(a: Iterable<Interval>, b: readonly Interval[]): Generator<Interval, void, undefined> {
  let next = 0;
  for (const each of a) {
    while (next < b.length && b[next].first < each.first) yield b[next++];
    yield each;
  }
  while (next < b.length) yield b[next++];
}

/** The parts of `within` that `used` leaves, ascending. `used` ascends by `first`. */
export function* gaps(used: Iterable<Interval>, within: Interval): Generator<Interval, void, undefined> {
  let next = within.first;
  for (const { first, last } of used) {
    if (last < next) continue;
    if (first > within.last) break;
    if (first > next) yield { first: next, last: first - 1n };
    next = last + 1n;
  }
  if (next <= within.last) yield { first: next, last: within.last };
}
