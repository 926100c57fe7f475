/** A dirty bitmap as plainly as it can be written: a set of page numbers, addresses as bigints. */
export class BitmapModel {
  readonly start: bigint;
  readonly pageSize: bigint;
  readonly pages: number;
  readonly #marked = new Set<number>();

  constructor(start: bigint, length: bigint, pageSize: bigint) {
    this.start = start;
    this.pageSize = pageSize;
    this.pages = Number((length + pageSize - 1n) / pageSize);
  }

  /** First and last address of a page. */
  span(page: number): [bigint, bigint] {
    const first = this.start + BigInt(page) * this.pageSize;
    return [first, first + this.pageSize - 1n];
  }

  /** Marks what [first, last] touches; what lies outside is left out. */
  markRange(first: bigint, last: bigint): void {
    for (let page = 0; page < this.pages; page++) {
      const [from, to] = this.span(page);
      if (from <= last && to >= first) this.#marked.add(page);
    }
  }

  markPages(pages: Iterable<number>): void {
    for (const page of pages) this.#marked.add(page);
  }

  clear(): void {
    this.#marked.clear();
  }

  get marked(): number[] {
    return [...this.#marked].sort((a, b) => a - b);
  }

  has(page: number): boolean {
    return this.#marked.has(page);
  }

  get runs(): { page: number; pages: number }[] {
    const found: { page: number; pages: number }[] = [];
    for (const page of this.marked) {
      const before = found[found.length - 1];
      if (before && before.page + before.pages === page) before.pages++;
      else found.push({ page, pages: 1 });
    }
    return found;
  }

  /** Reports [first, last] to `into`, clipped, and clears what lies wholly inside; how many marked pages it met. */
  drain(into: BitmapModel, first: bigint, last: bigint, clear: boolean): number {
    let met = 0;
    for (const page of this.marked) {
      const [from, to] = this.span(page);
      if (to < first || from > last) continue;
      met++;
      into.markRange(from > first ? from : first, to < last ? to : last);
      if (clear && from >= first && to <= last) this.#marked.delete(page);
    }
    return met;
  }
}
