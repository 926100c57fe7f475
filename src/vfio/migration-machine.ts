import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { DataStream } from './data-stream.ts';
import { DeviceState, STATE_NAMES, streamOf } from './device-state.ts';
import { driverArcs, sessionOn, type DriverArc } from './driver-arcs.ts';
import type { Arc, MigrationDriver, ResumeStream, SaveStream } from './migration-driver.ts';
import { checkMigrationFlags, nextState } from './next-state.ts';
import { NO_USER_MEMORY } from './no-user-memory.ts';

const SET = 'MIG_DEVICE_STATE';

/**
 * The migration state machine of one device (VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, include/uapi/linux/vfio.h), over a
 * driver that performs the arcs. A device begins in RUNNING.
 */
export class MigrationMachine {
  /** VFIO_MIGRATION_* of the driver. */
  readonly flags: number;
  /** Where the pointers of its data streams lie. */
  readonly addressSpace: AddressSpace;
  readonly #driver: MigrationDriver;
  readonly #arcs: readonly DriverArc[];
  #state: DeviceState = DeviceState.RUNNING;
  #session: DataStream | undefined;
  #busy = false;
  #resetAsked = false;

  /** EINVAL: flags without STOP_COPY, or a method missing that has to open a data stream. */
  constructor(driver: MigrationDriver, addressSpace: AddressSpace = NO_USER_MEMORY) {
    checkDriver(driver);
    this.flags = driver.flags;
    this.addressSpace = addressSpace;
    this.#driver = driver;
    this.#arcs = driverArcs(driver.flags);
  }

  /** The state that the device is in; after a request that failed, any on the way may be. */
  get state(): DeviceState {
    return this.#state;
  }

  /** How its driver says that there is nothing to read now. */
  get temporaryEnd(): 'ENOMSG' | 'zero' {
    return this.#driver.temporaryEnd ?? 'ENOMSG';
  }

  /** The data stream of the session under way. */
  get session(): DataStream | undefined {
    return this.#session;
  }

  /** Bytes that STOP_COPY would yield now, an estimate. */
  get dataSize(): bigint {
    return BigInt(this.#driver.dataSize());
  }

  /**
   * Takes the device to a state, arc by arc (`statePath`), and returns the data stream that the last arc opened, if
   * any. The state that it is in: nothing to do, ERROR included. An arc that fails ends it with the driver's errno, and
   * the device stays in the last state reached, or is in ERROR where the driver says so. EINVAL as for `nextState`.
   */
  set(to: number): DataStream | undefined {
    return runWhole(this.setSteps(to));
  }

  /** `set`, step by step: one per arc, and those of the driver. A second one waits for the first. */
  *setSteps(to: number): Steps<DataStream | undefined> {
    while (this.#busy) yield { what: 'state mutex', ready: () => !this.#busy };
    this.#busy = true;
    try {
      let opened: DataStream | undefined;
      while (this.#state !== to) opened = yield* this.#perform(nextState(this.#state, to, this.flags, SET));
      return opened;
    } finally {
      this.#busy = false;
      if (this.#resetAsked) this.reset();
    }
  }

  /**
   * Back to RUNNING, from any state; the session ends. While a state is being set it happens once that is over. Where
   * the driver throws, nothing changes.
   */
  reset(): void {
    this.#resetAsked = this.#busy;
    if (this.#busy) return;
    this.#driver.reset();
    this.#enter(DeviceState.RUNNING);
  }

  /** Ends the session, as where the user closes the device. */
  close(): void {
    this.#endSession();
    this.#driver.close?.();
  }

  #endSession(): void {
    this.#session?.disable();
    this.#session = undefined;
  }

  *#perform(to: DeviceState): Steps<DataStream | undefined> {
    const arc = this.#arcs.find((each) => each.from === this.#state && each.to === to)!;
    yield { what: `${STATE_NAMES[arc.from]} -> ${STATE_NAMES[to]}` };
    const end = yield* this.#run(arc);
    if (sessionOn(arc) === 'opens') {
      this.#session = new DataStream(this, checkEnd(arc, end));
      this.#state = to;
      return this.#session;
    }
    this.#enter(to);
    return undefined;
  }

  *#run(arc: DriverArc): Steps<SaveStream | ResumeStream | undefined> {
    try {
      const result = this.#driver[arc.hook]?.() as Arc<SaveStream | ResumeStream | undefined>;
      return isSteps(result) ? yield* result : result;
    } catch (error) {
      if (this.#driver.inError) this.#enter(DeviceState.ERROR);
      throw error;
    }
  }

  #enter(state: DeviceState): void {
    if (streamOf(state) === undefined) this.#endSession();
    this.#state = state;
  }
}

function isSteps<T>(result: Arc<T>): result is Steps<T> {
  return typeof (result as { next?: unknown } | undefined)?.next === 'function';
}

function checkEnd(arc: DriverArc, end: SaveStream | ResumeStream | undefined): SaveStream | ResumeStream {
  const direction = streamOf(arc.to)!;
  if (end && typeof (end as unknown as Record<string, unknown>)[direction] === 'function') return end;
  throw new Error(`the driver's ${arc.hook}() returned no stream to ${direction}`);
}

function checkDriver(driver: MigrationDriver): void {
  checkMigrationFlags(SET, driver.flags);
  const arcs = driverArcs(driver.flags);
  if (arcs.length === 0) {
    throw new IommuError('EINVAL', SET, `the driver's flags are ${driver.flags}; STOP_COPY 1 must be among them`);
  }
  for (const arc of arcs) {
    if (sessionOn(arc) !== 'opens' || driver[arc.hook]) continue;
    throw new IommuError('EINVAL', SET, `the driver has no ${arc.hook}(), which has to open a data stream`);
  }
}
