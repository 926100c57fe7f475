import {
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
} from '../uapi/vfio.ts';

/** The states of a device that migrates (enum vfio_device_mig_state, include/uapi/linux/vfio.h). */
export const DeviceState = {
  /** No defined state; entered by the driver only, left by reset only. */
  ERROR: VFIO_DEVICE_STATE_ERROR,
  /** No DMA, no interrupts, no change inside. */
  STOP: VFIO_DEVICE_STATE_STOP,
  RUNNING: VFIO_DEVICE_STATE_RUNNING,
  /** Stopped; a data stream yields what is left of its state. */
  STOP_COPY: VFIO_DEVICE_STATE_STOP_COPY,
  /** Stopped; a data stream takes the state that it shall have. */
  RESUMING: VFIO_DEVICE_STATE_RESUMING,
  /** Runs, begins no peer-to-peer DMA, answers that of others. */
  RUNNING_P2P: VFIO_DEVICE_STATE_RUNNING_P2P,
  /** Runs; a data stream yields state ahead of time. */
  PRE_COPY: VFIO_DEVICE_STATE_PRE_COPY,
  /** PRE_COPY, as RUNNING_P2P is to RUNNING. */
  PRE_COPY_P2P: VFIO_DEVICE_STATE_PRE_COPY_P2P,
} as const;

export type DeviceState = (typeof DeviceState)[keyof typeof DeviceState];
export type DeviceStateName = keyof typeof DeviceState;

/** The states' names by number. */
export const STATE_NAMES = Object.keys(DeviceState) as readonly DeviceStateName[];

/** The states by number. */
export const STATES = Object.values(DeviceState) as readonly DeviceState[];

const { STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, ERROR } = DeviceState;

/**
 * The migration flags that a state needs, as bits of VFIO_MIGRATION_*; more than there are for ERROR, which nobody may
 * ask for.
 */
export function flagsFor(state: DeviceState): number {
  if (state === ERROR) return ~0;
  const p2p = state === RUNNING_P2P || state === PRE_COPY_P2P ? VFIO_MIGRATION_P2P : 0;
  const precopy = state === PRE_COPY || state === PRE_COPY_P2P ? VFIO_MIGRATION_PRE_COPY : 0;
  return VFIO_MIGRATION_STOP_COPY | p2p | precopy;
}

/** Whether a device with these flags has the state. */
export function hasState(flags: number, state: DeviceState): boolean {
  return (flags & flagsFor(state)) === flagsFor(state);
}

/** What the user does with the data stream that a state has; undefined: it has none. */
export function streamOf(state: DeviceState): 'read' | 'write' | undefined {
  if (state === RESUMING) return 'write';
  return state === STOP_COPY || isPrecopy(state) ? 'read' : undefined;
}

/** Whether the state is PRE_COPY or PRE_COPY_P2P. */
export function isPrecopy(state: DeviceState): boolean {
  return state === PRE_COPY || state === PRE_COPY_P2P;
}
