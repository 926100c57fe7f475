import type { GuestRam } from '../address-space/guest-ram.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import { READ, WRITE } from '../iommu/access.ts';
import type { FormatInfo, FormatName } from '../iommu/formats.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Fault } from '../iommu/fault.ts';
import type { Requester } from '../iommu/requester.ts';
import type { Steps } from '../schedule/step.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';
import type { EventBatch } from '../workload/recording.ts';
import { ClippedReport } from './clipped-report.ts';
import { GuestStage } from './guest-stage.ts';
import { tableBytesFor } from './guest-tables.ts';
import { LeafResizing } from './leaf-resizing.ts';
import { MAX_REQUEST, postBatch } from './post-batch.ts';
import type { ResizeStrategy } from './resize-strategy.ts';
import type { DmaEvent } from './stalled-dma.ts';
import { TrackedHwpt } from './tracked-hwpt.ts';
import { NO_WORK, type IotlbCounters, type Tracker, type TrackerWork } from './tracker.ts';

/** IOTLB of the comparison, one for the domain. */
export const COMPARED_IOTLB = { sets: 64, ways: 8 } as const;

export interface SystemIommuOptions {
  readonly core: Core;
  readonly format: FormatInfo;
  /** Bytes per leaf, one of `format.leafSizes`. */
  readonly leafBytes: number;
  /** As people write it: `4K`. */
  readonly leaf: string;
  readonly ramBytes: number;
  /** How leaves come down to the format's smallest ones. Default: they stay as they are. */
  readonly resize?: ResizeOptions;
  /** A guest that maps by itself, over `format`. Default: devices name guest-physical addresses. */
  readonly guest?: GuestOptions;
}

/** Stage 1: its format, and the IOVA space that each device ever has mappings in. */
export interface GuestOptions {
  readonly format: FormatName;
  readonly spaces: readonly (readonly MappedSpan[])[];
}

/** A strategy, the name that its tracker has with it, and what a completed invalidation takes, whole ns. */
export interface ResizeOptions {
  readonly name: string;
  readonly strategy: ResizeStrategy;
  readonly flushNs: number;
}

/** Bytes of the leaves that splitting ends at: 4 KiB, or the granule. */
export function smallestLeaf(format: FormatInfo): number {
  return format.leafSizes[0];
}

/**
 * System IOMMU dirty tracking: the dirty bits that hardware keeps in the I/O page table, through an IOTLB that caches them.
 * One HWPT of iommufd for all devices; [0, ram) is mapped read-write, IOVA = GPA = HPA, with leaves of one size, rounded up.
 * With a `guest` the HWPT is stage 2, of IPA = HPA, and each device has a stage 1 over it, whose tables lie behind RAM.
 * With a `resize` strategy they are split on the way, for which iommufd has no command: that is the driver's part.
 */
export class SystemIommuTracker implements Tracker {
  readonly name: string;
  readonly claims = 'sound';
  readonly leaf: string;
  readonly mappedBytes: number;
  readonly resizing?: LeafResizing;
  readonly #iommu: Iommu;
  readonly #hwpt: TrackedHwpt;
  readonly #clipped: ClippedReport;
  readonly #tables: GuestRam | undefined;
  readonly #guest: GuestStage | undefined;
  #queries = 0;
  #atStart = { hits: 0, misses: 0, invalidations: 0 };
  #entriesAtStart = 0;
  /** Misses before the first invalidation of a read would have happened without tracking as well. */
  #coldMisses: number | undefined;

  constructor(options: SystemIommuOptions) {
    const { core, resize, guest } = options;
    this.name = resize?.name ?? `iommu:${options.format.name}`;
    this.leaf = options.leaf;
    this.mappedBytes = Math.ceil(options.ramBytes / options.leafBytes) * options.leafBytes;
    this.#clipped = new ClippedReport(core, this.mappedBytes);
    const tableBytes = guest ? tableBytesFor(guest.spaces) : 0;
    this.#tables = guest && core.ram({ length: tableBytes, pa: this.mappedBytes });
    this.#iommu = core.iommu({ iotlb: COMPARED_IOTLB, requests: 8192, ...(this.#tables && { ram: this.#tables }) });
    const smallest = smallestLeaf(options.format);
    this.#hwpt = new TrackedHwpt({
      core,
      iommu: this.#iommu,
      format: options.format,
      leafSizes: [...new Set([smallest, options.leafBytes])],
      mappedBytes: this.mappedBytes + Math.ceil(tableBytes / options.leafBytes) * options.leafBytes,
      ...(resize && { update: resize.strategy.update }),
      ...(resize?.strategy.split === 'lazy' && { splitTo: smallest }),
    });
    if (guest && this.#tables) {
      const parts = { iommu: this.#iommu, parent: this.#hwpt.domain, ram: this.#tables };
      this.#guest = new GuestStage({ ...parts, ...guest });
    }
    if (resize) this.resizing = new LeafResizing(resize.strategy, this.#resizable(options), resize.flushNs);
  }

  start(): void {
    this.#hwpt.enable();
    const { hits, misses, invalidations } = this.#iommu.counters;
    this.#atStart = { hits, misses, invalidations };
    this.#entriesAtStart = this.#hwpt.domain.entriesRead;
    this.resizing?.start(0);
  }

  feed(batch: EventBatch, begin: number, end: number): void {
    if (this.#guest) {
      if (this.#guest.feed(batch, begin, end) === 0) return;
    } else {
      postBatch(this.#device, batch, begin, end, true);
      if (this.#iommu.run() === 0) return;
    }
    throw this.#defect(this.#iommu.takeFaults().faults[0]);
  }

  report(into: Bitmap): void {
    this.#queries++;
    this.#watch(() => this.#clipped.read(into, (bitmap, length) => this.#hwpt.read(bitmap, length)));
  }

  get iotlb(): IotlbCounters {
    const now = this.#iommu.counters;
    return {
      hits: now.hits - this.#atStart.hits,
      misses: now.misses - this.#atStart.misses,
      invalidations: now.invalidations - this.#atStart.invalidations,
    };
  }

  get work(): TrackerWork {
    const { misses } = this.#iommu.counters;
    return {
      ...NO_WORK,
      queries: this.#queries,
      entriesRead: this.#hwpt.domain.entriesRead - this.#entriesAtStart,
      flushes: this.iotlb.invalidations,
      iotlbMisses: misses - (this.#coldMisses ?? misses),
    };
  }

  close(): void {
    this.#guest?.close();
    this.#hwpt.close();
    this.#clipped.close();
    this.#iommu.close();
    this.#tables?.close();
  }

  /** What resizing does to the domain. */
  #resizable({ format, leafBytes }: SystemIommuOptions) {
    const { domain } = this.#hwpt;
    const smallest = smallestLeaf(format);
    const read = (into: Bitmap, length: number) => this.#hwpt.readSteps(into, length);
    return {
      splitSteps: () => this.#watched(domain.splitSteps(0, this.mappedBytes, smallest)),
      readSteps: (into: Bitmap) => {
        this.#queries++;
        return this.#watched(this.#clipped.readSteps(into, read));
      },
      mergeSteps: () => this.#watched(domain.mergeSteps(0, this.mappedBytes, leafBytes)),
      get counts() {
        return domain.resizes;
      },
      attempt: (event: DmaEvent) => this.#attempt(event),
    };
  }

  /** One DMA event on its own; the bytes that came before a broken leaf. */
  #attempt({ device, writes, address, length }: DmaEvent): number {
    for (let done = 0; done < length; done += MAX_REQUEST) {
      const piece = Math.min(length - done, MAX_REQUEST);
      this.#device(device).post(address + done, piece, writes ? WRITE : READ);
      if (this.#iommu.run() === 0) continue;
      const [fault] = this.#iommu.takeFaults().faults;
      if (fault.reason !== 'translation') throw this.#defect(fault);
      return Number(fault.iova) - address;
    }
    return length;
  }

  /** Takes a step that may invalidate. */
  #watch<T>(step: () => T): T {
    const before = this.#iommu.counters;
    const result = step();
    if (this.#iommu.counters.invalidations > before.invalidations) this.#coldMisses ??= before.misses;
    return result;
  }

  *#watched(steps: Steps<void>): Steps<void> {
    for (;;) {
      const next = this.#watch(() => steps.next());
      if (next.done) return;
      yield next.value;
    }
  }

  #defect({ reason, iova }: Fault): Error {
    return new Error(`${this.name}: DMA faulted (${reason}) at ${iova}, which the set-up maps; this is a defect`);
  }

  readonly #device = (index: number): Requester => this.#hwpt.requester(index);
}
