import type { Steps } from '../schedule/step.ts';

/** What MIG_GET_PRECOPY_INFO tells of a device in pre-copy. Bytes. */
export interface PrecopyInfo {
  /** Not yet read of what the destination needs in order to prepare; positive at first, never grows. */
  readonly initialBytes: number | bigint;
  /** Changed since it was read; 0 at first. */
  readonly dirtyBytes: number | bigint;
}

/** The state that a device gives away, from pre-copy through STOP_COPY. */
export interface SaveStream {
  /** Copies the bytes that come next into `into` and returns how many; 0: nothing now, in STOP_COPY: nothing more. */
  read(into: Uint8Array): number;
  /** Needed in PRE_COPY and PRE_COPY_P2P only. Without it MIG_GET_PRECOPY_INFO is ENOTTY. */
  precopyInfo?(): PrecopyInfo;
}

/** The state that a device takes in. */
export interface ResumeStream {
  /**
   * Takes bytes from the front of `from`, cut in any way, and returns how many. ENOMEM: more than it can take; EINVAL:
   * not its own.
   */
  write(from: Uint8Array): number;
}

/** What an arc does, at once or step by step; what it throws fails the arc, and the device stays where it was. */
export type Arc<T = void> = T | Steps<T>;

/**
 * One method per arc of the state machine (`driverArcs` says which ones occur for which flags). An arc without a method
 * needs nothing done; those that open a data stream return it. The arc is finished when the method is: a driver changes
 * no state later.
 */
export interface MigrationHooks {
  stopToRunning?(): Arc;
  stopToStopCopy(): Arc<SaveStream>;
  stopToResuming(): Arc<ResumeStream>;
  stopToRunningP2p?(): Arc;
  runningToStop?(): Arc;
  runningToRunningP2p?(): Arc;
  /** Needed with the flag PRE_COPY. */
  runningToPreCopy?(): Arc<SaveStream>;
  stopCopyToStop?(): Arc;
  /** The last check of what was taken in: EINVAL where it is incomplete or inconsistent. */
  resumingToStop?(): Arc;
  runningP2pToStop?(): Arc;
  runningP2pToRunning?(): Arc;
  /** Needed with the flags PRE_COPY and P2P. */
  runningP2pToPreCopyP2p?(): Arc<SaveStream>;
  preCopyToRunning?(): Arc;
  /** Occurs without the flag P2P only; the stream goes on, with what is left. */
  preCopyToStopCopy?(): Arc;
  preCopyToPreCopyP2p?(): Arc;
  /** The stream goes on, with what is left. */
  preCopyP2pToStopCopy?(): Arc;
  preCopyP2pToRunningP2p?(): Arc;
  preCopyP2pToPreCopy?(): Arc;
}

/**
 * What a device model implements so that it can be migrated (struct vfio_migration_ops, include/linux/vfio.h). Errors
 * are IommuErrors; their errno reaches the user.
 */
export interface MigrationDriver extends MigrationHooks {
  /** VFIO_MIGRATION_*: STOP_COPY 1, which is mandatory, P2P 2, PRE_COPY 4. */
  readonly flags: number;
  /** Bytes that STOP_COPY would yield now, as an estimate; asked in any state. */
  dataSize(): number | bigint;
  /** Back to how a device runs after it was opened. */
  reset(): void;
  /** The user closes the device: what a session holds is given back. */
  close?(): void;
  /** Asked after an arc has failed: true where the device is in no defined state, so that only reset helps. */
  readonly inError?: boolean;
  /**
   * How a read in pre-copy says that there is nothing now: ENOMSG (as mlx5; the default), or 0 bytes (as hisilicon and
   * mtty).
   */
  readonly temporaryEnd?: 'ENOMSG' | 'zero';
}
