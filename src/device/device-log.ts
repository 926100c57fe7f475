import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { checkAddress, checkPowerOfTwo, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** A range of IOVA. */
export interface IovaRange {
  readonly iova: Address;
  /** Bytes. */
  readonly length: Address;
}

/** What a device logs. */
export interface DeviceLogOptions {
  /** At most 2048, disjoint, whole log pages, in any order. */
  readonly ranges: readonly IovaRange[];
  /** Bytes per log page, a power of two from 2048 on. Default 4096. */
  readonly pageSize?: Address;
}

/**
 * When a REPORT returns. `safe`: once the DMA that was logged before has landed. `report-before-completion` does not wait: a write
 * that was logged before lands after its page was copied, and no later report holds it; it is there so that tests can show that.
 */
export type ReportOrder = 'safe' | 'report-before-completion';

/** A REPORT. */
export interface ReportOptions extends IovaRange {
  /** Takes the report; the range must be whole pages of it and lie inside. */
  readonly into: Bitmap;
  /** Default true. */
  readonly clear?: boolean;
  /** Default `safe`; see ReportOrder. */
  readonly order?: ReportOrder;
}

/**
 * A dirty log that a device keeps itself: one bit per log page of the ranges that it was given
 * (VFIO_DEVICE_FEATURE_DMA_LOGGING_*, include/uapi/linux/vfio.h). A write marks every log page that it touches.
 */
export class DeviceLog {
  readonly handle: number;
  readonly pageSize: Address;
  readonly #core: Instance;
  readonly #inFlight: InFlight | undefined;
  #pagesReported = 0;

  /** @internal */
  constructor(core: Instance, options: DeviceLogOptions, inFlight?: InFlight) {
    const op = 'deviceLog';
    this.pageSize = options.pageSize ?? 4096;
    const shift = checkPowerOfTwo(op, 'pageSize', this.pageSize, layout.UNIT_SHIFT);
    const ranges = options.ranges.map(({ iova, length }) => {
      const start = checkAddress(op, 'iova', iova);
      return { start, last: lastOf(op, start, checkAddress(op, 'length', length)) };
    });
    if (ranges.length === 0 || ranges.length > layout.LOG_MAX_RANGES) {
      throw new IommuError('EINVAL', op, `there are ${ranges.length} ranges; a log has 1 to ${layout.LOG_MAX_RANGES}`);
    }
    ranges.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    ranges.forEach(({ start, last }, i) => {
      core.store64(core.transfer + 16 * i, start);
      core.store64(core.transfer + 16 * i + 8, last);
    });
    this.handle = core.check(core.raw.logCreate(core.base, shift, ranges.length), op, (errno) =>
      errno === layout.EINVAL ? `ranges must be disjoint and whole log pages of ${this.pageSize} bytes` : undefined,
    );
    this.#core = core;
    this.#inFlight = inFlight;
  }

  /**
   * REPORT: marks in `into` the log pages of [iova, iova + length) that were written since they were last cleared, and clears
   * them. A log page that lies only partly inside is reported clipped and stays marked; what is not logged is clean.
   */
  report(options: ReportOptions): void {
    runWhole(this.reportSteps(options));
  }

  /** `report`, step by step. It completes once the DMA that was logged before has landed. */
  *reportSteps(options: ReportOptions): Steps<void> {
    const op = 'deviceLog.report';
    const core = this.#core;
    const first = checkAddress(op, 'iova', options.iova);
    const last = lastOf(op, first, checkAddress(op, 'length', options.length));
    const flags = options.clear === false ? layout.READ_DIRTY_NO_CLEAR : 0;
    let next = 0;
    let met = 0;
    for (let status: number = layout.MORE; status === layout.MORE;) {
      yield { what: 'report' };
      core.store64(layout.MAIL0, first);
      core.store64(layout.MAIL1, last);
      core.store64(layout.MAIL2, next);
      core.store64(layout.MAIL3, met);
      status = core.raw.logReport(core.base, this.handle, options.into.handleIn(core, op), flags, core.budget);
      core.check(status, op, (errno) => options.into.explainTarget(errno, first, last));
      next = core.load64(layout.MAIL2);
      met = core.load64(layout.MAIL3);
    }
    this.#pagesReported += met;
    const inFlight = this.#inFlight;
    if (!inFlight || options.order === 'report-before-completion') return;
    const mark = inFlight.now();
    yield { what: `complete ${hex(first)} .. ${hex(last)}`, ready: () => inFlight.landedBefore(mark) };
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Marked log pages that all reports together have met. */
  get pagesReported(): number {
    return this.#pagesReported;
  }

  /** Frees it. EBUSY: a device still logs in it. */
  close(): void {
    this.#core.check(this.#core.raw.logDestroy(this.#core.base, this.handle), 'deviceLog.close');
  }
}
