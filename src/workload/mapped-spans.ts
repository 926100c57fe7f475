/** A stretch of IOVA space, bytes. */
export interface MappedSpan {
  readonly iova: number;
  /** Above 0. */
  readonly length: number;
}

/** The IOVA space in which each device has ever had a mapping, as few spans as possible. */
export class MappedSpans {
  /** Per device, ascending, with a gap between any two. */
  readonly #spans: MappedSpan[][] = [];

  add(device: number, iova: number, length: number): void {
    const spans = (this.#spans[device] ??= []);
    let from = spans.length;
    while (from > 0 && spans[from - 1].iova + spans[from - 1].length >= iova) from--;
    let to = from;
    let [first, end] = [iova, iova + length];
    for (; to < spans.length && spans[to].iova <= end; to++) {
      first = Math.min(first, spans[to].iova);
      end = Math.max(end, spans[to].iova + spans[to].length);
    }
    spans.splice(from, to - from, { iova: first, length: end - first });
  }

  /** Ascending. */
  of(device: number): readonly MappedSpan[] {
    return this.#spans[device] ?? [];
  }
}
