import type { OracleTotals } from '../oracle/oracle.ts';

/** One transfer over the link: all of RAM first, then what was dirtied meanwhile, last the stop-and-copy. */
export interface RoundResult {
  readonly index: number;
  /** 4 KiB pages sent. */
  readonly pages: number;
  readonly bytes: number;
  /** ceil(bytes * 8e9 / bitsPerSecond). */
  readonly durationNs: number;
  /** Pages that CPU and devices dirtied during the round, as the tracker and the CPU log report them. */
  readonly dirtiedPages: number;
}

/** Why the rounds ended. */
export type Reason = 'converged' | 'notConverging' | 'inputEnded';

/** What a migration in classic rounds came to. */
export interface RoundsResult extends OracleTotals {
  /** The stop-and-copy is the last entry. */
  readonly rounds: readonly RoundResult[];
  /** Sum of the rounds' bytes. */
  readonly totalBytes: number;
  /** Sum of the rounds' durations. */
  readonly totalTimeNs: number;
  /** Duration of the stop-and-copy. */
  readonly downtimeNs: number;
  readonly converged: boolean;
  readonly reason: Reason;
  /** One sentence: why it ended so. */
  readonly why: string;
  /** Bytes sent after the first round for pages that the tracker reported and that neither the CPU nor a device had written. */
  readonly extraBytesSent: number;
}
