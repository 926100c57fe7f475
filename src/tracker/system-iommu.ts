import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import { READ, WRITE } from '../iommu/access.ts';
import type { Domain } from '../iommu/domain.ts';
import type { FormatInfo } from '../iommu/formats.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Requester } from '../iommu/requester.ts';
import type { EventBatch } from '../workload/recording.ts';
import { ClippedReport } from './clipped-report.ts';
import { postBatch } from './post-batch.ts';
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
}

/**
 * System IOMMU dirty tracking: the dirty bits that hardware keeps in the I/O page table, through an IOTLB that caches them.
 * One domain for all devices; [0, ram) is mapped read-write, IOVA = GPA = HPA, with leaves of one size, rounded up.
 */
export class SystemIommuTracker implements Tracker {
  readonly name: string;
  readonly claims = 'sound';
  readonly leaf: string;
  readonly mappedBytes: number;
  readonly #iommu: Iommu;
  readonly #domain: Domain;
  readonly #devices: Requester[] = [];
  readonly #clipped: ClippedReport;
  #queries = 0;
  #atStart = { hits: 0, misses: 0, invalidations: 0 };
  #entriesAtStart = 0;
  /** Misses before the first invalidation of a read would have happened without tracking as well. */
  #coldMisses: number | undefined;

  constructor(options: SystemIommuOptions) {
    this.name = `iommu:${options.format.name}`;
    this.leaf = options.leaf;
    this.mappedBytes = Math.ceil(options.ramBytes / options.leafBytes) * options.leafBytes;
    this.#clipped = new ClippedReport(options.core, this.mappedBytes);
    this.#iommu = options.core.iommu({ iotlb: COMPARED_IOTLB, requests: 8192 });
    this.#domain = this.#iommu.domain({
      format: options.format.name,
      ...(options.format.granule ? { granule: options.format.granule } : {}),
      dirtyTracking: true,
      leafSizes: [options.leafBytes],
    });
    this.#domain.map({ iova: 0, pa: 0, length: this.mappedBytes, access: READ | WRITE });
  }

  start(): void {
    this.#domain.setDirtyTracking(true);
    const { hits, misses, invalidations } = this.#iommu.counters;
    this.#atStart = { hits, misses, invalidations };
    this.#entriesAtStart = this.#domain.entriesRead;
  }

  feed(batch: EventBatch, begin: number, end: number): void {
    postBatch(this.#device, batch, begin, end, true);
    if (this.#iommu.run() === 0) return;
    const [fault] = this.#iommu.takeFaults().faults;
    throw new Error(
      `${this.name}: DMA faulted (${fault.reason}) at ${fault.iova}, which the set-up maps; this is a defect`,
    );
  }

  report(into: Bitmap): void {
    this.#queries++;
    const before = this.#iommu.counters;
    this.#clipped.read(into, (bitmap, length) => this.#domain.readAndClearDirty({ iova: 0, length, into: bitmap }));
    if (this.#iommu.counters.invalidations > before.invalidations) this.#coldMisses ??= before.misses;
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
      entriesRead: this.#domain.entriesRead - this.#entriesAtStart,
      flushes: this.iotlb.invalidations,
      iotlbMisses: misses - (this.#coldMisses ?? misses),
    };
  }

  close(): void {
    for (const device of this.#devices) device?.close();
    this.#domain.close();
    this.#clipped.close();
    this.#iommu.close();
  }

  readonly #device = (index: number): Requester => (this.#devices[index] ??= this.#iommu.attach(index, this.#domain));
}
