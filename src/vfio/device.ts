import type { AddressSpace } from '../address-space/address-space.ts';
import { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { Quirks } from '../iommu/quirks.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { readStruct, resultOf, type IoctlArg } from '../uapi/envelope.ts';
import type { StructOf } from '../uapi/struct.ts';
import { readUser, writeUser, type UserPointer } from '../uapi/user-pointer.ts';
import * as uapi from '../uapi/vfio.ts';
import { hex, type Address } from '../wasm/address.ts';
import type { DataStream } from './data-stream.ts';
import { checkFeature, type DeviceFeature, type FeatureData } from './device-feature.ts';
import type { DeviceState } from './device-state.ts';
import { DmaLogging, type DmaLoggingOptions } from './dma-logging.ts';
import { FileTable } from './file-table.ts';
import { checkReport, readLogRanges } from './log-request.ts';
import type { MigrationDriver } from './migration-driver.ts';
import { MigrationMachine } from './migration-machine.ts';
import { NO_USER_MEMORY } from './no-user-memory.ts';

/** What a device offers; features of a part that is not there are ENOTTY. */
export interface VfioDeviceOptions {
  /** Its migration. EINVAL: not one that could be registered (see MigrationMachine). */
  readonly migration?: MigrationDriver;
  /** Its own dirty logging. */
  readonly logging?: Omit<DmaLoggingOptions, 'addressSpace'>;
  /** Where user addresses in requests lie. Default: nowhere, so that each of them is EFAULT. */
  readonly addressSpace?: AddressSpace;
  /** Open files of the process. Default: its own. */
  readonly files?: FileTable;
  /**
   * Whether the user has access to it; a character device has none before it is bound (VFIO_DEVICE_BIND_IOMMUFD).
   * Default true.
   */
  readonly bound?: boolean;
  /** Default `strict`; see VFIO_QUIRKS. */
  readonly quirks?: Quirks;
}

/** A DMA_LOGGING_START. */
export interface LoggingStart {
  /** Hint for the log page, bytes, a power of two. */
  readonly pageSize: Address;
  /**
   * At most 256, disjoint, whole pages of the hint, in any order; or where they lie as structs, `numRanges` of them.
   */
  readonly ranges: readonly { readonly iova: Address; readonly length: Address }[] | UserPointer;
  readonly numRanges?: number;
}

/** A DMA_LOGGING_REPORT. */
export interface LoggingReport {
  readonly iova: Address;
  /** Bytes. */
  readonly length: Address;
  /** Bytes that one bit stands for, a power of two from 4096 on. */
  readonly pageSize: Address;
  /**
   * Takes the report, bits are only ever set. In user memory bit k stands for page k of the query; a bitmap of the
   * core, which saves the way through user memory, covers addresses of its own, with the same page size.
   */
  readonly bitmap: UserPointer | Bitmap;
}

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
const OP = 'DEVICE_FEATURE';

/**
 * An open VFIO device (include/uapi/linux/vfio.h of Linux 6.12): its features, by methods with the kernel's names that
 * throw IommuError, and by `ioctl`, which returns -errno. Both doors check the same, in the kernel's order
 * (`checkFeature`).
 */
export class VfioDevice {
  /** The open files in which its data streams are. */
  readonly files: FileTable;
  readonly machine: MigrationMachine | undefined;
  readonly logging: DmaLogging | undefined;
  readonly #addressSpace: AddressSpace;
  readonly #quirks: Quirks;
  #bound: boolean;
  #open = true;

  constructor(options: VfioDeviceOptions) {
    this.#addressSpace = options.addressSpace ?? NO_USER_MEMORY;
    this.files = options.files ?? new FileTable();
    this.#quirks = options.quirks ?? 'strict';
    this.#bound = options.bound ?? true;
    if (options.migration) this.machine = new MigrationMachine(options.migration, this.#addressSpace);
    if (options.logging) this.logging = new DmaLogging({ ...options.logging, addressSpace: this.#addressSpace });
  }

  /** MIGRATION: which states it has, as VFIO_MIGRATION_* bits. */
  migration(): { flags: bigint } {
    return this.deviceFeature(GET | uapi.VFIO_DEVICE_FEATURE_MIGRATION) as { flags: bigint };
  }

  /** MIG_DEVICE_STATE, GET: the state that it is in. */
  migDeviceState(): { deviceState: DeviceState; dataFd: number } {
    const out = this.deviceFeature(GET | uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
    return out as { deviceState: DeviceState; dataFd: number };
  }

  /**
   * MIG_DEVICE_STATE, SET: takes it to a state, over others if need be. `dataFd` and `stream` are the data stream that
   * begins there, -1 and undefined without. After an error it may be in any state on the way: ask with
   * `migDeviceState`. EINVAL: no such state, or a way that is refused; EMFILE, with the state reached; errors of the
   * device.
   */
  setMigDeviceState({ deviceState }: { readonly deviceState: number }): { dataFd: number; stream?: DataStream } {
    const out = this.deviceFeature(SET | uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, { deviceState, dataFd: -1 });
    const dataFd = out.dataFd as number;
    return dataFd < 0 ? { dataFd } : { dataFd, stream: this.files.get(dataFd) };
  }

  /** MIG_DATA_SIZE: bytes that STOP_COPY would yield, an estimate, in any state. */
  migDataSize(): { stopCopyLength: bigint } {
    return this.deviceFeature(GET | uapi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE) as { stopCopyLength: bigint };
  }

  /**
   * DMA_LOGGING_START; returns the log page in use. Errors as for `readLogRanges`, then as for `DmaLogging.startSteps`.
   */
  dmaLoggingStart({ pageSize, ranges, numRanges }: LoggingStart): { pageSize: bigint } {
    const list = typeof ranges === 'bigint' || ranges instanceof Uint8Array ? ranges : packRanges(ranges);
    const count = numRanges ?? (list instanceof Uint8Array ? list.length / RANGE.size : 0);
    const data = { pageSize, numRanges: count, ranges: list };
    return this.deviceFeature(SET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, data) as { pageSize: bigint };
  }

  /** DMA_LOGGING_STOP; nothing to do where it does not log. */
  dmaLoggingStop(): void {
    this.deviceFeature(SET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
  }

  /** DMA_LOGGING_REPORT: reads and clears. Errors as for `checkReport`, then as for `DmaLogging.reportSteps`. */
  dmaLoggingReport(report: LoggingReport): void {
    runWhole(this.dmaLoggingReportSteps(report));
  }

  /** `dmaLoggingReport`, step by step. */
  *dmaLoggingReportSteps({ bitmap, ...range }: LoggingReport): Steps<void> {
    const flags = GET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
    if (!(bitmap instanceof Bitmap)) {
      yield* this.deviceFeatureSteps(flags, { ...range, bitmap });
      return;
    }
    const feature = this.#check(flags)!;
    const query = uapi.VfioDeviceFeatureDmaLoggingReport.of(range, feature.name);
    checkReport(query);
    if (query.pageSize !== BigInt(bitmap.pageSize)) {
      const right = `the bitmap has pages of ${bitmap.pageSize}`;
      throw new IommuError('EINVAL', feature.name, `page_size is ${query.pageSize}; ${right}`);
    }
    yield* this.logging!.reportIntoSteps(query, bitmap);
  }

  /**
   * PROBE: whether it has a feature, with the operations given (VFIO_DEVICE_FEATURE_GET, _SET). Throws what a use would
   * throw: ENOTTY, EINVAL.
   */
  probe(feature: number, operations = 0): void {
    this.deviceFeature(PROBE | operations | feature);
  }

  /**
   * Any feature by its flags word, `data` by the keys of its struct; missing ones are 0. Returns what the kernel writes
   * back.
   */
  deviceFeature(flags: number, data: FeatureData = {}): FeatureData {
    return runWhole(this.deviceFeatureSteps(flags, data));
  }

  /** `deviceFeature`, step by step. */
  *deviceFeatureSteps(flags: number, data: FeatureData = {}): Steps<FeatureData> {
    const feature = this.#check(flags);
    if (!feature) return {};
    return yield* this.#run(feature, flags, feature.data?.of(data, feature.name) ?? {});
  }

  /**
   * DEVICE_RESET: back to RUNNING, with data streams and logging ended. Errors of the device; then nothing has changed.
   */
  reset(): void {
    this.#checkAccess('DEVICE_RESET');
    this.machine?.reset();
    this.logging?.stop();
  }

  /** Gives the user access (VFIO_DEVICE_BIND_IOMMUFD; what it binds to is not modelled here). */
  bind(): void {
    this.#bound = true;
  }

  /** Closes it: data streams and logging end. EBADF from then on. */
  close(): void {
    this.#checkOpen('close');
    this.machine?.close();
    this.logging?.stop();
    this.#open = false;
  }

  /** ioctl(2): 0, or -errno. Takes VFIO_DEVICE_FEATURE and VFIO_DEVICE_RESET; every other request is ENOTTY. */
  ioctl(request: number, arg: IoctlArg = 0n): number {
    return resultOf(() => {
      this.#checkAccess('ioctl');
      if (request === uapi.VFIO_DEVICE_FEATURE) this.#featureIoctl(arg);
      else if (request === uapi.VFIO_DEVICE_RESET) this.reset();
      else throw new IommuError('ENOTTY', 'ioctl', `there is no request ${hex(request >>> 0)}`);
    });
  }

  #featureIoctl(arg: IoctlArg): void {
    const space = this.#addressSpace;
    const header = uapi.VfioDeviceFeature;
    const { argsz, flags } = readStruct(space, header, arg, OP);
    if (argsz < header.size) {
      throw new IommuError('EINVAL', OP, `argsz is ${argsz}; it must be at least ${header.size}`);
    }
    const feature = this.#check(flags);
    if (!feature) return;
    const size = feature.data?.size ?? 0;
    if (argsz - header.size < size) {
      throw new IommuError('EINVAL', feature.name, `argsz is ${argsz}; it must be at least ${header.size + size}`);
    }
    const bytes = new Uint8Array(size);
    if (feature.reads && !readUser(space, arg, header.size, bytes)) throw fault(feature, 'read');
    const input = feature.data?.decode(bytes) ?? {};
    const reply = (out: FeatureData): boolean => {
      feature.data?.encode(out, bytes);
      return !feature.writes || writeUser(space, arg, header.size, bytes);
    };
    let out: FeatureData;
    try {
      out = runWhole(this.#run(feature, flags, input));
    } catch (error) {
      if (failedTransition(feature, error) && !reply({ dataFd: -1 })) throw fault(feature, 'written');
      throw error;
    }
    if (reply(out)) return;
    this.#undo(feature, out);
    throw fault(feature, 'written');
  }

  *#run(feature: DeviceFeature, flags: number, input: FeatureData): Steps<FeatureData> {
    switch (feature.id) {
      case uapi.VFIO_DEVICE_FEATURE_MIGRATION:
        return { flags: BigInt(this.machine!.flags) };
      case uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
        if (flags & GET) return { deviceState: this.machine!.state, dataFd: -1 };
        return yield* this.#setState(input.deviceState as number);
      case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
        return yield* this.#startLogging(input as unknown as Control);
      case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
        this.logging!.stop();
        return {};
      case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: {
        const report = input as unknown as StructOf<typeof uapi.VfioDeviceFeatureDmaLoggingReport>;
        checkReport(report);
        yield* this.logging!.reportSteps(report, report.bitmap, this.#quirks === 'strict');
        return {};
      }
      default:
        return { stopCopyLength: this.machine!.dataSize };
    }
  }

  *#setState(deviceState: number): Steps<FeatureData> {
    const stream = yield* this.machine!.setSteps(deviceState);
    if (!stream) return { deviceState, dataFd: -1 };
    try {
      return { deviceState, dataFd: this.files.open(stream) };
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  *#startLogging(control: Control): Steps<FeatureData> {
    const ranges = readLogRanges(this.#addressSpace, control, this.#quirks);
    return { pageSize: BigInt(yield* this.logging!.startSteps(control.pageSize, ranges)) };
  }

  /** Takes back what the user will not learn of. The state that a SET reached stays. */
  #undo(feature: DeviceFeature, out: FeatureData): void {
    if (feature.id === uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START) this.logging!.stop();
    if (feature.id !== uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) return;
    const dataFd = out.dataFd as number;
    if (dataFd >= 0) this.files.get(dataFd).close();
  }

  #check(flags: number): DeviceFeature | undefined {
    this.#checkAccess(OP);
    return checkFeature(flags, (part) => (part === 'migration' ? this.machine : this.logging) !== undefined);
  }

  #checkAccess(op: string): void {
    this.#checkOpen(op);
    if (!this.#bound) throw new IommuError('EINVAL', op, 'the device is not bound; bind it first');
  }

  #checkOpen(op: string): void {
    if (!this.#open) throw new IommuError('EBADF', op, 'the device was closed');
  }
}

type Control = StructOf<typeof uapi.VfioDeviceFeatureDmaLoggingControl>;
const RANGE = uapi.VfioDeviceFeatureDmaLoggingRange;

function packRanges(ranges: readonly { readonly iova: Address; readonly length: Address }[]): Uint8Array {
  const bytes = new Uint8Array(RANGE.size * ranges.length);
  ranges.forEach((range, i) => RANGE.encode(range, bytes, RANGE.size * i));
  return bytes;
}

/**
 * Whether `data_fd` is written although the request failed: a transition that failed says so, one without a file number
 * does not.
 */
function failedTransition(feature: DeviceFeature, error: unknown): boolean {
  const state = feature.id === uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  return state && error instanceof IommuError && error.code !== 'EMFILE';
}

function fault(feature: DeviceFeature, what: 'read' | 'written'): IommuError {
  return new IommuError('EFAULT', feature.name, `the ${feature.data?.size} bytes behind the header cannot be ${what}`);
}
