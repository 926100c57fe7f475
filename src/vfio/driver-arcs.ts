import { DeviceState, streamOf } from './device-state.ts';
import type { MigrationHooks } from './migration-driver.ts';
import { stepTowards } from './next-state.ts';

/** A step from state to state. */
export interface StatePair {
  readonly from: DeviceState;
  readonly to: DeviceState;
}

/** A step that a driver performs. */
export interface DriverArc extends StatePair {
  /** The driver's method for it. */
  readonly hook: keyof MigrationHooks;
  /** What the driver does. */
  readonly what: string;
}

const { STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P } = DeviceState;

function arc(from: DeviceState, to: DeviceState, hook: keyof MigrationHooks, what: string): DriverArc {
  return { from, to, hook, what };
}

/** Every arc that a driver may have to perform; which ones do depends on its flags. */
export const DRIVER_ARCS: readonly DriverArc[] = [
  arc(STOP, RUNNING, 'stopToRunning', 'let it run'),
  arc(STOP, STOP_COPY, 'stopToStopCopy', 'offer the whole state'),
  arc(STOP, RESUMING, 'stopToResuming', 'take a state in'),
  arc(STOP, RUNNING_P2P, 'stopToRunningP2p', 'let it run, without peer-to-peer DMA of its own'),
  arc(RUNNING, STOP, 'runningToStop', 'finish all DMA, freeze'),
  arc(RUNNING, RUNNING_P2P, 'runningToRunningP2p', 'begin no more peer-to-peer DMA, finish what is under way'),
  arc(RUNNING, PRE_COPY, 'runningToPreCopy', 'offer state ahead of time, remember what changes'),
  arc(STOP_COPY, STOP, 'stopCopyToStop', 'withdraw the state offered'),
  arc(RESUMING, STOP, 'resumingToStop', 'check the state taken in, and adopt it'),
  arc(RUNNING_P2P, STOP, 'runningP2pToStop', 'finish all DMA, freeze'),
  arc(RUNNING_P2P, RUNNING, 'runningP2pToRunning', 'allow peer-to-peer DMA'),
  arc(RUNNING_P2P, PRE_COPY_P2P, 'runningP2pToPreCopyP2p', 'offer state ahead of time, remember what changes'),
  arc(PRE_COPY, RUNNING, 'preCopyToRunning', 'withdraw the state offered'),
  arc(PRE_COPY, STOP_COPY, 'preCopyToStopCopy', 'finish all DMA, freeze, offer the rest'),
  arc(PRE_COPY, PRE_COPY_P2P, 'preCopyToPreCopyP2p', 'begin no more peer-to-peer DMA, finish what is under way'),
  arc(PRE_COPY_P2P, STOP_COPY, 'preCopyP2pToStopCopy', 'finish all DMA, freeze, offer the rest'),
  arc(PRE_COPY_P2P, RUNNING_P2P, 'preCopyP2pToRunningP2p', 'withdraw the state offered'),
  arc(PRE_COPY_P2P, PRE_COPY, 'preCopyP2pToPreCopy', 'allow peer-to-peer DMA'),
];

/** The arcs that a driver with these VFIO_MIGRATION_* flags performs. */
export function driverArcs(flags: number): DriverArc[] {
  return DRIVER_ARCS.filter(({ from, to }) => stepTowards(from, to, flags) === to);
}

/** What becomes of the data stream on an arc; undefined where there is none. One that stays goes on unchanged. */
export function sessionOn({ from, to }: StatePair): 'opens' | 'stays' | 'ends' | undefined {
  const [before, after] = [streamOf(from), streamOf(to)];
  if (before === undefined) return after && 'opens';
  return after === undefined ? 'ends' : 'stays';
}
