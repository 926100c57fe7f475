import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import { WRITE } from '../iommu/access.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Requester } from '../iommu/requester.ts';
import { VfioDevice } from '../vfio/device.ts';
import { logPageSize, type DeviceProfile } from '../vfio/device-profile.ts';
import type { DmaLogging } from '../vfio/dma-logging.ts';
import { changeMappings, GuestMappings } from '../workload/guest-mappings.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';
import { FIRST_READ_OP, UNMAP_OP, type EventBatch } from '../workload/recording.ts';
import { spansToLog } from './logged-spans.ts';
import { MAX_REQUEST } from './post-batch.ts';
import { NO_IOTLB, NO_WORK, type Tracker, type TrackerWork } from './tracker.ts';

export interface IovaLoggingOptions {
  readonly core: Core;
  readonly profile: DeviceProfile;
  readonly ramBytes: number;
  /** Hint for the log page, bytes, a power of two from 4096 on. */
  readonly pageSize: number;
  /** The IOVA space that each device ever has mappings in. */
  readonly spaces: readonly (readonly MappedSpan[])[];
}

/** A device of the workload. */
interface Logging {
  readonly requester: Requester;
  readonly vfio: VfioDevice;
}

/**
 * Device-provided logging where the guest maps: each device logs by IOVA, in all the space that it ever has mappings in, and reports are
 * translated by the mappings of the moment. What an unmap takes away is reported before, and kept for the next report, as a VMM with a
 * virtual IOMMU does it. A write that meets no mapping reaches no memory, and marks nothing.
 */
export class IovaLoggingTracker implements Tracker {
  readonly name: string;
  readonly claims = 'sound';
  readonly leaf = 'none';
  readonly iotlb = NO_IOTLB;
  /** The logs of all devices. */
  readonly mappedBytes: number;
  readonly #options: IovaLoggingOptions;
  readonly #iommu: Iommu;
  readonly #spans: readonly (readonly MappedSpan[])[];
  /** Pages of RAM that reports have found since the last `report()`. */
  readonly #found: Bitmap;
  readonly #devices: Logging[] = [];
  #mappings = new GuestMappings();
  #queries = 0;
  #commands = 0;

  constructor(options: IovaLoggingOptions) {
    const { core, profile, ramBytes } = options;
    this.name = profile.name;
    this.#options = options;
    this.#spans = options.spaces.map((spans) => spansToLog(profile, options.pageSize, spans));
    this.mappedBytes = this.#spans.flat().reduce((sum, { length }) => sum + length, 0);
    this.#iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 8192 });
    this.#found = core.bitmap({ length: ramBytes });
  }

  start(): void {
    this.#stop();
    this.#found.clear();
    this.#mappings = new GuestMappings();
    this.#queries = this.#commands = 0;
  }

  feed(batch: EventBatch, begin: number, end: number): void {
    const { op, device, address, length } = batch;
    for (let i = begin; i < end; i++) {
      if (op[i] === UNMAP_OP) this.#read(device[i], address[i], length[i]);
      if (!changeMappings(this.#mappings, batch, i) && op[i] < FIRST_READ_OP) {
        this.#write(device[i], address[i], length[i]);
      }
    }
    this.#iommu.run();
  }

  report(into: Bitmap): void {
    this.#queries++;
    this.#spans.forEach((spans, index) => {
      for (const { iova, length } of spans) this.#read(index, iova, length);
    });
    into.or(this.#found);
    this.#found.clear();
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
    this.#stop();
    this.#found.close();
    this.#iommu.close();
  }

  /** What reaches memory is posted. */
  #write(index: number, iova: number, length: number): void {
    let landed = 0;
    this.#mappings.translate(index, iova, length, WRITE, (_gpa, bytes) => {
      landed += bytes;
    });
    if (landed === 0) return;
    const { requester } = this.#devices[index] ?? this.#add(index);
    for (let done = 0; done < landed; done += MAX_REQUEST) {
      requester.post(iova + done, Math.min(landed - done, MAX_REQUEST), WRITE);
    }
  }

  /** A REPORT, translated. A device without a write so far has nothing to tell, and is asked all the same. */
  #read(index: number, iova: number, length: number): void {
    this.#commands++;
    const device = this.#devices[index];
    if (!device) return;
    this.#iommu.run();
    const bitmap = this.#options.core.bitmap({ start: iova, length });
    device.vfio.dmaLoggingReport({ iova, length, pageSize: 4096, bitmap });
    for (const run of bitmap.runs()) {
      this.#mappings.pieces(index, run.start, run.length, WRITE, (gpa, bytes) => this.#found.mark(gpa, bytes));
    }
    bitmap.close();
  }

  /** A device's log begins with its first write: until then it would be empty. */
  #add(index: number): Logging {
    const { core, profile, pageSize } = this.#options;
    const requester = this.#iommu.attach(index & 0xffff);
    const vfio = new VfioDevice({ logging: { core, requester, iommu: this.#iommu, profile } });
    vfio.dmaLoggingStart({ pageSize: logPageSize(profile, pageSize), ranges: this.#spans[index] });
    return (this.#devices[index] = { requester, vfio });
  }

  #stop(): void {
    for (const device of this.#devices) {
      device?.vfio.close();
      device?.requester.close();
    }
    this.#devices.length = 0;
  }

  /** A counter of the devices' logs, summed. */
  #sum(counter: (logging: DmaLogging) => number): number {
    return this.#devices.reduce((sum, { vfio }) => sum + counter(vfio.logging!), 0);
  }
}
