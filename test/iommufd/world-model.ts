/** User memory that one IOAS_MAP named; areas share it. */
export interface ModelPages {
  readonly writable: boolean;
}

/** An area, in pages. */
export interface ModelArea {
  readonly iova: number;
  readonly pages: number;
  readonly memory: ModelPages;
  /** Page of the user's RAM that `iova` leads to. */
  readonly at: number;
  readonly write: boolean;
}

export interface ModelIoas {
  readonly id: number;
  areas: ModelArea[];
}

export interface ModelHwpt {
  readonly id: number;
  readonly ioas: ModelIoas;
  readonly format: string;
  readonly auto: boolean;
  readonly dirty: boolean;
}

/**
 * Objects of an iommufd as plain lists: what each operation should say, and what should be there afterwards. Addresses
 * are page numbers.
 */
export class WorldModel {
  ioases: ModelIoas[] = [];
  hwpts: ModelHwpt[] = [];
  /** What each device is attached to. */
  readonly attached: (ModelHwpt | undefined)[];
  readonly formats: readonly string[];

  constructor(formats: readonly string[]) {
    this.formats = formats;
    this.attached = formats.map(() => undefined);
  }

  overlaps(ioas: ModelIoas, iova: number, pages: number): boolean {
    return ioas.areas.some((area) => area.iova < iova + pages && iova < area.iova + area.pages);
  }

  /** The slices behind a range; undefined: not all of it is mapped. */
  slices(ioas: ModelIoas, iova: number, pages: number): Omit<ModelArea, 'iova' | 'write'>[] | undefined {
    const found: Omit<ModelArea, 'iova' | 'write'>[] = [];
    for (let next = iova; next < iova + pages;) {
      const area = ioas.areas.find((each) => each.iova <= next && next < each.iova + each.pages);
      if (!area) return undefined;
      const end = Math.min(area.iova + area.pages, iova + pages);
      found.push({ pages: end - next, memory: area.memory, at: area.at + next - area.iova });
      next = end;
    }
    return found;
  }

  /** Adds what was mapped. */
  insert(ioas: ModelIoas, iova: number, slices: readonly Omit<ModelArea, 'iova' | 'write'>[], write: boolean): void {
    for (const slice of slices) {
      ioas.areas.push({ ...slice, iova, write });
      iova += slice.pages;
    }
  }

  /** Errno of an unmap, and the pages that are gone. */
  unmap(ioas: ModelIoas, iova: number, pages: number): { code: string; pages: number } {
    const met = ioas.areas.filter((area) => area.iova < iova + pages && iova < area.iova + area.pages);
    const cut = met.some((area) => area.iova < iova || area.iova + area.pages > iova + pages);
    if (cut || met.length === 0) return { code: 'ENOENT', pages: 0 };
    ioas.areas = ioas.areas.filter((area) => !met.includes(area));
    return { code: 'none', pages: met.reduce((sum, area) => sum + area.pages, 0) };
  }

  usersOf(object: ModelIoas | ModelHwpt): number {
    return 'areas' in object
      ? this.hwpts.filter((hwpt) => hwpt.ioas === object).length
      : this.attached.filter((hwpt) => hwpt === object).length;
  }

  /** The kernel's own HWPT that a device gets on an IOAS, if there is one. */
  autoFor(device: number, ioas: ModelIoas): ModelHwpt | undefined {
    return this.hwpts.find((hwpt) => hwpt.auto && hwpt.ioas === ioas && hwpt.format === this.formats[device]);
  }

  /** A device leaves its HWPT; the kernel's own goes with its last device. */
  leave(device: number): void {
    const hwpt = this.attached[device];
    this.attached[device] = undefined;
    if (hwpt?.auto && this.usersOf(hwpt) === 0) this.hwpts = this.hwpts.filter((each) => each !== hwpt);
  }

  /** Pages that are pinned: each of a memory once, however many areas with a domain use it. */
  get pinnedPages(): number {
    const pages = new Map<ModelPages, Set<number>>();
    for (const ioas of this.ioases) {
      if (!this.hwpts.some((hwpt) => hwpt.ioas === ioas)) continue;
      for (const { memory, at, pages: count } of ioas.areas) {
        const own = pages.get(memory) ?? new Set<number>();
        for (let page = at; page < at + count; page++) own.add(page);
        pages.set(memory, own);
      }
    }
    return [...pages.values()].reduce((sum, own) => sum + own.size, 0);
  }
}
