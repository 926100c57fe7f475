import { IntervalMap } from '../address-space/interval-map.ts';
import type { AddressSpace } from '../address-space/address-space.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import type { Core } from '../core/core.ts';
import type { DeviceLog } from '../device/device-log.ts';
import { IommuError } from '../errno/error.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { Requester } from '../iommu/requester.ts';
import type { Steps } from '../schedule/step.ts';
import type { UserPointer } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import type { IovaRange } from './combine-ranges.ts';
import { logPageSize, stallsOf, type DeviceProfile } from './device-profile.ts';
import { rangesToLog } from './log-ranges.ts';
import { BitmapTarget, UserTarget, windowsOf, type ReportTarget } from './report-target.ts';

const START = 'DMA_LOGGING_START';
const REPORT = 'DMA_LOGGING_REPORT';

/** What a device's dirty logging works on. */
export interface DmaLoggingOptions {
  /** In which its logs and its DMA are. */
  readonly core: Core;
  /** The device, as the IOMMU sees it: its writes are logged. */
  readonly requester: Requester;
  /** The IOMMU behind which it sits: a REPORT then waits until the DMA that was logged has landed. */
  readonly iommu?: Iommu | undefined;
  readonly profile: DeviceProfile;
  readonly addressSpace: AddressSpace;
}

/** A REPORT, its checks done. Bytes. */
export interface LogQuery {
  readonly iova: bigint;
  readonly length: bigint;
  readonly pageSize: bigint;
}

/** A log under way. */
interface Session {
  readonly log: DeviceLog | undefined;
  readonly pageSize: number;
  readonly ranges: readonly IovaRange<bigint>[];
  /** Whole log pages that count as dirty because records of them were lost. */
  readonly owed: IntervalMap<true>;
}

/**
 * A device's dirty logging as its driver offers it (struct vfio_log_ops, include/linux/vfio.h; the rules are mlx5's).
 * One log at a time; it has nothing to do with the migration state.
 */
export class DmaLogging {
  readonly #options: DmaLoggingOptions;
  #session: Session | undefined;
  #broken: string | undefined;
  #records = 0;
  #stalls = 0;

  constructor(options: DmaLoggingOptions) {
    this.#options = options;
  }

  /** Whether a log is under way. */
  get active(): boolean {
    return this.#session !== undefined;
  }

  /** Bytes per log page of the log under way. */
  get pageSize(): number | undefined {
    return this.#session?.pageSize;
  }

  /** What the device was given to log. */
  get ranges(): readonly IovaRange<bigint>[] {
    return this.#session?.ranges ?? [];
  }

  /** Dirty log pages that all reports have met. */
  get records(): number {
    return this.#records;
  }

  /** How often the device had to wait for room in its report queue. */
  get stalls(): number {
    return this.#stalls;
  }

  /**
   * The device's log fails for good (mlx5: an error completion, a fatal event): every REPORT is EIO until it is started
   * again.
   */
  fail(why = 'the device reported a fatal error'): void {
    if (this.#session) this.#broken = why;
  }

  /**
   * Begins to log, and returns the log page size in use. Ranges are whole pages of some power of two, disjoint. EINVAL:
   * a log is under way; EOPNOTSUPP: more or less address space than the device tracks; ENOMEM. It is done once DMA that
   * went unlogged has landed.
   */
  *startSteps(hint: bigint, ranges: readonly IovaRange<bigint>[]): Steps<number> {
    if (this.#session) throw new IommuError('EINVAL', START, 'the device logs already; stop that first');
    const { core, profile, requester, iommu } = this.#options;
    const pageSize = logPageSize(profile, hint);
    const toLog = rangesToLog(profile, ranges, pageSize);
    const big = toLog.find(({ iova, last }) => last - iova + 1n >= BigInt(pageSize) << 32n);
    if (big) throw new IommuError('ENOMEM', START, `${hex(big.iova)} .. ${hex(big.last)} is 2^32 log pages or more`);
    const log = toLog.length === 0 ? undefined : core.deviceLog({ ranges: toLog.map(bytesOf), pageSize }, iommu);
    this.#session = { log, pageSize, ranges: toLog, owed: new IntervalMap((a, b) => a === b) };
    this.#broken = undefined;
    if (log) yield* requester.logToSteps(log);
    return pageSize;
  }

  /** Ends the log; nothing to do where there is none. */
  stop(): void {
    const log = this.#session?.log;
    this.#session = undefined;
    this.#broken = undefined;
    if (!log) return;
    this.#options.requester.logTo(null);
    log.close();
  }

  /**
   * REPORT into user memory: reads and clears. EINVAL: no log is under way; EFAULT (with `checked`): the bitmap cannot
   * be written; EIO: the log failed, or lost records. After an error that is not one of the arguments everything counts
   * as dirty.
   */
  *reportSteps(query: LogQuery, bitmap: UserPointer, checked: boolean): Steps<void> {
    this.#live();
    const { core, addressSpace } = this.#options;
    const target = new UserTarget(core, addressSpace, query, bitmap);
    if (checked && !target.bitmap.writable()) {
      const where = typeof bitmap === 'bigint' ? `at ${hex(bitmap)}` : `in the ${bitmap.length} bytes given`;
      throw new IommuError('EFAULT', REPORT, `the bitmap, ${target.bits} bits, cannot be written ${where}`);
    }
    yield* this.#report(query, target);
    if (checked && !target.bitmap.complete) {
      throw new IommuError('EFAULT', REPORT, 'the bitmap could be written at first, and not to its end');
    }
  }

  /**
   * REPORT into a bitmap of the core, without user memory in between. EINVAL, ERANGE: the query is not whole pages of
   * it inside.
   */
  *reportIntoSteps(query: LogQuery, into: Bitmap): Steps<void> {
    this.#live();
    yield* this.#report(query, new BitmapTarget(into));
  }

  *#report(query: LogQuery, target: ReportTarget): Steps<void> {
    if (query.length === 0n) return;
    const session = this.#live();
    this.#checkRing(session);
    const first = query.iova;
    const last = query.iova + query.length - 1n;
    const { log } = session;
    if (log) {
      const before = log.pagesReported;
      yield* target.read(log, session.ranges, first, last);
      const records = log.pagesReported - before;
      this.#records += records;
      if (overflowOf(this.#options.profile) === 'stall') this.#stalls += stallsOf(this.#options.profile, records);
    }
    this.#reportOwed(session, target, first, last);
    target.flush();
  }

  /** Marks what is owed of [first, last]; a log page that is only partly inside stays owed. */
  #reportOwed(session: Session, target: ReportTarget, first: bigint, last: bigint): void {
    if (session.owed.intervals.length === 0) return;
    for (const piece of session.owed.pieces(first, last)) if (piece.value) target.mark(piece.first, piece.last);
    const page = BigInt(session.pageSize);
    const from = (first + page - 1n) & -page;
    const to = ((last + 1n) & -page) - 1n;
    if (from <= to) session.owed.update(from, to, () => undefined);
  }

  /** Whether the ring, where the device has one, took all records since they were last read. */
  #checkRing(session: Session): void {
    const { profile } = this.#options;
    const policy = overflowOf(profile);
    if (policy === 'stall' || !session.log || !Number.isFinite(profile.queueRecords)) return;
    const pending = this.#drain(session, false);
    if (pending <= profile.queueRecords) return;
    if (policy === 'error') {
      this.#broken = `${pending} records did not fit into the device's ring of ${profile.queueRecords}`;
      this.#live();
    }
    this.#drain(session, true);
    for (const { iova, last } of session.ranges) session.owed.update(iova, last, () => true);
  }

  /** Counts the marked pages of the log, and clears them if asked to. */
  #drain({ log, ranges, pageSize }: Session, clear: boolean): number {
    const before = log!.pagesReported;
    for (const range of ranges) {
      for (const { iova, length } of windowsOf(range.iova, range.last, BigInt(pageSize))) {
        const into = this.#options.core.bitmap({ start: iova, length, pageSize });
        log!.report({ iova, length, into, clear, order: 'report-before-completion' });
        into.close();
      }
    }
    return log!.pagesReported - before;
  }

  /** The log under way. EINVAL: none is; EIO: it failed. */
  #live(): Session {
    if (!this.#session) throw new IommuError('EINVAL', REPORT, 'the device does not log; start it first');
    if (this.#broken === undefined) return this.#session;
    throw new IommuError('EIO', REPORT, `${this.#broken}; all memory counts as dirty: stop the log and start it again`);
  }
}

function overflowOf(profile: DeviceProfile): 'stall' | 'report-all' | 'error' {
  return profile.overflow ?? 'stall';
}

function bytesOf({ iova, last }: IovaRange<bigint>): { iova: bigint; length: bigint } {
  return { iova, length: last - iova + 1n };
}
