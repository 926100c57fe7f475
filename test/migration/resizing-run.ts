import type { Core } from '../../src/core/core.ts';
import { ClassicRounds } from '../../src/migration/classic-rounds.ts';
import type { RoundsResult } from '../../src/migration/rounds-result.ts';
import { Windows, type WindowsOutcome } from '../../src/migration/windows.ts';
import { Oracle } from '../../src/oracle/oracle.ts';
import { findTracker } from '../../src/tracker/registry.ts';
import type { ResizeResult } from '../../src/tracker/resizing.ts';
import type { EventBatch } from '../../src/workload/recording.ts';
import { drive, type Workload } from './drive.ts';

export const LEAF = 2 ** 21;

/** At this rate a page takes exactly 100 ns. */
export const PAGE_IN_100_NS = 327_680_000_000;

export interface Setting {
  readonly core: Core;
  /** A tracker with suffixes, and bytes of the leaves that it begins with. */
  readonly name: string;
  readonly leafBytes?: number;
  readonly flushNs: number;
  readonly capNs?: number;
  /** Reads at this interval instead of a migration. */
  readonly windowNs?: number;
  readonly batchSize?: number;
}

/** An oracle that sums the bytes that it is told of. */
class Summing extends Oracle {
  landed = 0;

  override landBytes(address: number, length: number): void {
    this.landed += length;
    super.landBytes(address, length);
  }
}

/** What a run came to. Bytes are those of writes. */
export interface Outcome<Result> {
  readonly result: Result;
  readonly resize: ResizeResult;
  readonly fed: number;
  readonly landed: number;
}

function writtenBytes({ op, length }: EventBatch, begin: number, end: number): number {
  let bytes = 0;
  for (let i = begin; i < end; i++) if (op[i] < 3) bytes += length[i];
  return bytes;
}

/** Runs a workload through a real tracker that resizes its leaves. */
function run<Result>(workload: Workload, setting: Setting): Outcome<Result> {
  const { core, name, leafBytes = LEAF, flushNs, capNs = 1e9, windowNs, batchSize = 7 } = setting;
  const { ramBytes } = workload;
  const tracker = findTracker(name).make({
    ...{ core, ramBytes, leafBytes, flushNs },
    ...{ devices: 1, leaf: 'x', pageSize: 4096 },
  });
  const resizing = tracker.resizing!;
  let fed = 0;
  const [feedTracker, feedBroken] = [tracker.feed.bind(tracker), resizing.feed.bind(resizing)];
  tracker.feed = (batch, begin, end) => {
    fed += writtenBytes(batch, begin, end);
    feedTracker(batch, begin, end);
  };
  resizing.feed = (batch, begin, end, offsetNs, landed) => {
    fed += writtenBytes(batch, begin, end);
    feedBroken(batch, begin, end, offsetNs, landed);
  };
  const oracle = new Summing(Math.ceil(ramBytes / 4096));
  const bitmaps: { close(): void }[] = [];
  const newBitmap = () => {
    const bitmap = core.bitmap({ length: ramBytes });
    bitmaps.push(bitmap);
    return bitmap;
  };
  const link = { linkBitsPerSecond: PAGE_IN_100_NS, downtimeLimitNs: 0, capNs };
  const parts = { tracker, oracle, newBitmap };
  const driven = windowNs ? new Windows({ ...parts, windowNs }) : new ClassicRounds({ ...parts, ...link, ramBytes });
  drive(driven, workload, batchSize);
  const outcome = { result: driven.result() as Result, resize: resizing.result, fed, landed: oracle.landed };
  tracker.close();
  for (const bitmap of bitmaps) bitmap.close();
  return outcome;
}

export function migrate(workload: Workload, setting: Setting): Outcome<RoundsResult> {
  return run(workload, setting);
}

export function readWindows(workload: Workload, setting: Setting): Outcome<WindowsOutcome> {
  return run(workload, setting);
}
