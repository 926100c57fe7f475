/** Addresses with one value; both ends inclusive. */
export interface Interval<V> {
  readonly first: bigint;
  readonly last: bigint;
  readonly value: V;
}

/** Values by address, kept as intervals: neighbours with equal values are one. */
export class IntervalMap<V> {
  readonly #equal: (a: V, b: V) => boolean;
  #intervals: Interval<V>[] = [];

  constructor(equal: (a: V, b: V) => boolean) {
    this.#equal = equal;
  }

  /** All intervals, ascending. */
  get intervals(): readonly Interval<V>[] {
    return this.#intervals;
  }

  /** [first, last] in pieces with one value each, ascending; undefined where there is none. */
  pieces(first: bigint, last: bigint): Interval<V | undefined>[] {
    const pieces: Interval<V | undefined>[] = [];
    let at = first;
    for (let i = this.#indexFrom(first); i < this.#intervals.length && this.#intervals[i].first <= last; i++) {
      const each = this.#intervals[i];
      if (each.first > at) pieces.push({ first: at, last: each.first - 1n, value: undefined });
      const start = each.first > at ? each.first : at;
      const end = each.last < last ? each.last : last;
      pieces.push({ first: start, last: end, value: each.value });
      at = end + 1n;
    }
    if (at <= last) pieces.push({ first: at, last, value: undefined });
    return pieces;
  }

  /** Gives each piece of [first, last] the value that `change` makes of its own; undefined leaves or makes a hole. */
  update(first: bigint, last: bigint, change: (value: V | undefined) => V | undefined): void {
    // The neighbours are taken along, so that they can become one with what lies next to them.
    const from = Math.max(0, this.#indexFrom(first) - 1);
    let to = from;
    while (to < this.#intervals.length && this.#intervals[to].first <= last + 1n) to++;
    const before = this.#intervals.slice(from, to);
    const changed = this.pieces(first, last).map((piece) => ({ ...piece, value: change(piece.value) }));
    const left = before
      .filter((each) => each.first < first)
      .map((each) => ({ ...each, last: min(each.last, first - 1n) }));
    const right = before
      .filter((each) => each.last > last)
      .map((each) => ({ ...each, first: max(each.first, last + 1n) }));
    const joined = this.#joined([...left, ...changed, ...right]);
    // Spread arguments lie on the stack, which has no room for very many.
    if (joined.length < 1000) this.#intervals.splice(from, to - from, ...joined);
    else this.#intervals = [...this.#intervals.slice(0, from), ...joined, ...this.#intervals.slice(to)];
  }

  #joined(pieces: readonly Interval<V | undefined>[]): Interval<V>[] {
    const joined: Interval<V>[] = [];
    for (const { first, last, value } of pieces) {
      if (value === undefined) continue;
      const previous = joined.at(-1);
      if (previous && previous.last + 1n === first && this.#equal(previous.value, value)) {
        joined[joined.length - 1] = { ...previous, last };
      } else {
        joined.push({ first, last, value });
      }
    }
    return joined;
  }

  /** Index of the first interval that ends at `at` or behind. */
  #indexFrom(at: bigint): number {
    let low = 0;
    let high = this.#intervals.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#intervals[middle].last < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
