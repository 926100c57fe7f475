import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import { IommuError } from '../errno/error.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Requester } from '../iommu/requester.ts';
import type { IovaRange } from '../vfio/combine-ranges.ts';
import { VfioDevice } from '../vfio/device.ts';
import { logPageSize, type DeviceProfile } from '../vfio/device-profile.ts';
import type { DmaLogging } from '../vfio/dma-logging.ts';
import { rangesToLog } from '../vfio/log-ranges.ts';
import type { EventBatch } from '../workload/recording.ts';
import { ClippedReport } from './clipped-report.ts';
import { postBatch } from './post-batch.ts';
import { NO_IOTLB, NO_WORK, type Tracker, type TrackerWork } from './tracker.ts';

export interface DeviceLoggingOptions {
  readonly core: Core;
  readonly profile: DeviceProfile;
  readonly ramBytes: number;
  /** Devices of the workload; each answers every REPORT, also one that never writes. */
  readonly devices: number;
  /** Hint for the log page, bytes, a power of two from 4096 on. */
  readonly pageSize: number;
  /** What to log, disjoint; must cover [0, ram). Default: one range. */
  readonly ranges?: readonly IovaRange[];
}

function checkCover(ranges: readonly IovaRange[], ramBytes: number): void {
  let covered = 0;
  for (const { iova, last } of ranges) if (iova <= covered) covered = Math.max(covered, last + 1);
  if (covered >= ramBytes) return;
  throw new IommuError('EINVAL', 'device logging', `ranges leave out RAM from ${covered} on; they must cover it all`);
}

/** A device of the workload. */
interface Logging {
  readonly requester: Requester;
  readonly vfio: VfioDevice;
}

/**
 * Device-provided logging: each device keeps a log of the pages that it writes, and the reports are ORed
 * (VFIO_DEVICE_FEATURE_DMA_LOGGING_*).
 */
export class DeviceLoggingTracker implements Tracker {
  readonly name: string;
  readonly claims = 'sound';
  readonly leaf = 'none';
  readonly iotlb = NO_IOTLB;
  readonly mappedBytes: number;
  readonly #core: Core;
  readonly #iommu: Iommu;
  readonly #profile: DeviceProfile;
  readonly #pageSize: number;
  readonly #ranges: readonly IovaRange[];
  readonly #devices: Logging[] = [];
  readonly #clipped: ClippedReport;
  readonly #deviceCount: number;
  #queries = 0;
  #commands = 0;

  constructor(options: DeviceLoggingOptions) {
    this.name = options.profile.name;
    this.#core = options.core;
    this.#profile = options.profile;
    this.#pageSize = logPageSize(options.profile, options.pageSize);
    const asked = options.ranges ?? [{ iova: 0, last: options.ramBytes - 1 }];
    checkCover(
      [...asked].sort((a, b) => a.iova - b.iova),
      options.ramBytes,
    );
    this.#ranges = rangesToLog(options.profile, asked, this.#pageSize).map(({ iova, last }) => ({
      iova: Number(iova),
      last: Number(last),
    }));
    this.mappedBytes = this.#ranges.reduce((sum, { iova, last }) => sum + (last - iova + 1), 0);
    this.#clipped = new ClippedReport(options.core, (this.#ranges.at(-1)?.last ?? 0) + 1);
    this.#deviceCount = options.devices;
    this.#iommu = options.core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 8192 });
  }

  /** Log page in use, bytes. */
  get pageSize(): number {
    return this.#pageSize;
  }

  /** What the device was given to log. */
  get ranges(): readonly IovaRange[] {
    return this.#ranges;
  }

  /** A device's log begins with its first write: until then it would be empty. */
  start(): void {
    for (const device of this.#devices) {
      device?.vfio.close();
      device?.requester.close();
    }
    this.#devices.length = 0;
    this.#queries = this.#commands = 0;
  }

  feed(batch: EventBatch, begin: number, end: number): void {
    postBatch(this.#requester, batch, begin, end, false);
    this.#iommu.run();
  }

  report(into: Bitmap): void {
    this.#queries++;
    this.#commands += this.#deviceCount;
    this.#clipped.read(into, (bitmap, length) => {
      for (const device of this.#devices) {
        device?.vfio.dmaLoggingReport({ iova: 0, length, pageSize: 4096, bitmap });
      }
    });
  }

  get work(): TrackerWork {
    return {
      ...NO_WORK,
      queries: this.#queries,
      reportCommands: this.#commands,
      logEntriesRead: this.#sum(({ records }) => records),
      stalls: this.#sum(({ stalls }) => stalls),
    };
  }

  close(): void {
    this.start();
    this.#clipped.close();
    this.#iommu.close();
  }

  readonly #requester = (index: number): Requester => (this.#devices[index] ?? this.#add(index)).requester;

  #add(index: number): Logging {
    const [core, iommu, profile] = [this.#core, this.#iommu, this.#profile];
    const requester = iommu.attach(index);
    const vfio = new VfioDevice({ logging: { core, requester, iommu, profile } });
    const ranges = this.#ranges.map(({ iova, last }) => ({ iova, length: last - iova + 1 }));
    vfio.dmaLoggingStart({ pageSize: this.#pageSize, ranges });
    return (this.#devices[index] = { requester, vfio });
  }

  /** A counter of the devices' logs, summed. */
  #sum(counter: (logging: DmaLogging) => number): number {
    return this.#devices.reduce((sum, { vfio }) => sum + counter(vfio.logging!), 0);
  }
}
