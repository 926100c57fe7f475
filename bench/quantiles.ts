/** Where a sample lies: its smallest value, its median, and the quartiles around that. */
export interface Quantiles {
  readonly best: number;
  readonly median: number;
  /** A quarter of the sample lies below. */
  readonly low: number;
  /** A quarter of the sample lies above. */
  readonly high: number;
}

function at(sorted: readonly number[], part: number): number {
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

/** The quantiles of a sample of at least one value, interpolated. */
export function quantiles(sample: readonly number[]): Quantiles {
  if (sample.length === 0) throw new RangeError('the sample is empty; it must hold at least one value');
  const sorted = [...sample].sort((a, b) => a - b);
  return { best: sorted[0], median: at(sorted, 0.5), low: at(sorted, 0.25), high: at(sorted, 0.75) };
}
