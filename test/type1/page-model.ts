/** A mapping of the model, in pages of 4 KiB. */
interface ModelMapping {
  readonly at: number;
  readonly pages: number;
  readonly access: number;
  /** User page of its first page. */
  readonly vaddr: number;
}

/** A group of the model, with one device. */
export interface ModelGroup {
  readonly backed: boolean;
  pinnedScope: boolean;
  /** How often the device has pinned each page. */
  readonly pins: Map<number, number>;
}

/**
 * A container as plain sets of page numbers; shares nothing with the code under test. `fillOnPromotion` is strict's rule that DMA before a group's
 * first pin is unknown.
 */
export class PageModel {
  readonly mappings: ModelMapping[] = [];
  readonly groups: ModelGroup[] = [];
  tracking = false;
  /** Pages that the next report holds, besides those that are dirty because anything may have been written. */
  readonly dirty = new Set<number>();
  /** Pages that DMA or a driver has written since the last report: what no report may miss. */
  readonly written = new Set<number>();
  readonly #fillOnPromotion: boolean;

  constructor(fillOnPromotion: boolean) {
    this.#fillOnPromotion = fillOnPromotion;
  }

  mappingAt(page: number): ModelMapping | undefined {
    return this.mappings.find(({ at, pages }) => page >= at && page < at + pages);
  }

  isPinned(page: number): boolean {
    return this.groups.some(({ pins }) => pins.has(page));
  }

  get hasDomain(): boolean {
    return this.groups.some(({ backed }) => backed);
  }

  get anyNonPinned(): boolean {
    return this.groups.some(({ backed, pinnedScope }) => backed && !pinnedScope);
  }

  get mappedPages(): number[] {
    return this.mappings.flatMap(({ at, pages }) => Array.from({ length: pages }, (_, i) => at + i));
  }

  get pinnedPages(): number[] {
    return this.mappedPages.filter((page) => this.isPinned(page));
  }

  map(mapping: ModelMapping): string {
    const { at, pages } = mapping;
    if (this.mappings.some((other) => other.at < at + pages && at < other.at + other.pages)) return 'EEXIST';
    this.mappings.push(mapping);
    this.mappings.sort((a, b) => a.at - b.at);
    return 'none';
  }

  cuts(at: number, pages: number): boolean {
    return this.mappings.some(
      (mapping) =>
        mapping.at < at + pages &&
        at < mapping.at + mapping.pages &&
        (mapping.at < at || mapping.at + mapping.pages > at + pages),
    );
  }

  inside(at: number, pages: number): ModelMapping[] {
    return this.mappings.filter((mapping) => mapping.at >= at && mapping.at + mapping.pages <= at + pages);
  }

  /** Devices unpin all that goes. Returns the pages that go. */
  unmap(at: number, pages: number): number[] {
    const gone = this.inside(at, pages).flatMap((mapping) => {
      this.mappings.splice(this.mappings.indexOf(mapping), 1);
      return Array.from({ length: mapping.pages }, (_, i) => mapping.at + i);
    });
    for (const page of gone) {
      for (const { pins } of this.groups) pins.delete(page);
      this.dirty.delete(page);
      this.written.delete(page);
    }
    return gone;
  }

  start(): void {
    if (this.tracking) return;
    this.tracking = true;
    this.dirty.clear();
    this.written.clear();
    for (const page of this.pinnedPages) this.dirty.add(page);
  }

  stop(): void {
    this.tracking = false;
    this.dirty.clear();
    this.written.clear();
  }

  /** Pages in a report of [at, at + pages). */
  report(at: number, pages: number): number[] {
    const all = this.anyNonPinned && this.hasDomain;
    return this.mappedPages.filter(
      (page) => page >= at && page < at + pages && (all || this.dirty.has(page) || this.isPinned(page)),
    );
  }

  reported(at: number, pages: number): void {
    for (const page of this.mappedPages) {
      if (page < at || page >= at + pages) continue;
      this.written.delete(page);
      this.dirty.delete(page);
      if (this.isPinned(page)) this.dirty.add(page);
    }
  }

  pin(group: ModelGroup, at: number, pages: number, access: number): string {
    for (let page = at; page < at + pages; page++) {
      const mapping = this.mappingAt(page);
      if (!mapping) return 'EINVAL';
      if (access & ~mapping.access) return 'EPERM';
    }
    for (let page = at; page < at + pages; page++) {
      if (this.tracking) this.dirty.add(page);
      group.pins.set(page, (group.pins.get(page) ?? 0) + 1);
    }
    if (!group.pinnedScope) {
      group.pinnedScope = true;
      if (this.tracking && this.#fillOnPromotion) this.fill();
    }
    return 'none';
  }

  unpin(group: ModelGroup, page: number): void {
    const count = group.pins.get(page)!;
    if (count === 1) group.pins.delete(page);
    else group.pins.set(page, count - 1);
  }

  /** A write that landed. */
  write(page: number, byDriver: boolean): void {
    if (!this.tracking) return;
    this.written.add(page);
    if (byDriver) this.dirty.add(page);
  }

  leave(group: ModelGroup): void {
    this.groups.splice(this.groups.indexOf(group), 1);
    if (group.backed && !group.pinnedScope && this.tracking) this.fill();
  }

  fill(): void {
    for (const page of this.mappedPages) this.dirty.add(page);
  }
}
