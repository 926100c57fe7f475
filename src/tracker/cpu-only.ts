import { NO_IOTLB, NO_WORK, type Tracker } from './tracker.ts';

/** No tracking of devices at all: only the CPUs' dirty log counts. It shows what is lost. */
export class CpuOnlyTracker implements Tracker {
  readonly name = 'cpu-only';
  readonly claims = 'none';
  readonly leaf = 'none';
  readonly mappedBytes = 0;
  readonly iotlb = NO_IOTLB;
  readonly work = NO_WORK;

  start(): void {
    // There is nothing to switch on.
  }

  feed(): void {
    // Device writes go unseen.
  }

  report(): void {
    // And unreported.
  }

  close(): void {
    // Nothing of the core's was taken.
  }
}
