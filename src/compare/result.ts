import type { CostParameterResult } from '../cost/cost-model.ts';
import type { ModelledCost } from '../cost/parameters.ts';
import type { DeviceStateResult } from '../migration/migrated-devices.ts';
import type { Reason, RoundResult } from '../migration/rounds-result.ts';
import type { WindowsResult } from '../migration/windows.ts';
import type { ResizeResult, ResizeWork } from '../tracker/resizing.ts';
import type { Claim, IotlbCounters } from '../tracker/tracker.ts';

export type {
  CostParameterResult,
  DeviceStateResult,
  ModelledCost,
  Reason,
  ResizeResult,
  ResizeWork,
  RoundResult,
  WindowsResult,
};

/** Columns that every row has. */
export interface RowBase {
  readonly tracker: string;
  readonly claims: Claim;
  /** `4K`, `2M`, … or `none`. */
  readonly leaf: string;
  /** Device-written pages that a report should have held and did not, summed over reports. */
  readonly missedPages: number;
  /** Distinct pages whose copy at the destination is older than the device's last write. */
  readonly stalePages: number;
  /** Reported pages on which nothing had landed, summed over reports. */
  readonly overReportedPages: number;
  /** Device-written pages, distinct per report, summed over reports. */
  readonly truePages: number;
  readonly reportedPages: number;
  /** Bytes sent for pages that neither the CPU nor a device had written. */
  readonly extraBytesSent: number;
  /** Bytes of IOVA space that are mapped or logged. */
  readonly mappedBytes: number;
  /** What came of splitting leaves, and merging them afterwards; null for a tracker that leaves them as they are. */
  readonly resize: ResizeResult | null;
}

/** A row of a migration. */
export interface MigrationRow extends RowBase {
  readonly rounds: readonly RoundResult[];
  readonly totalBytes: number;
  readonly totalTimeNs: number;
  readonly downtimeNs: number;
  readonly converged: boolean;
  readonly reason: Reason;
  /** One sentence: why it ended so. */
  readonly why: string;
  /** Null where no state of devices migrates. */
  readonly deviceState: DeviceStateResult | null;
  readonly iotlb: IotlbCounters;
  readonly modelled: ModelledCost;
}

/** A row of `windows`: no migration, reads at a fixed interval. */
export interface WindowsRow extends RowBase {
  readonly windows: WindowsResult;
  readonly iotlb: IotlbCounters;
  readonly modelled: ModelledCost;
}

/** Figures of the whole trace, whatever part of it the rows use. */
export interface InputSummary {
  readonly name: string;
  readonly events: number;
  readonly writeEvents: number;
  readonly bytesWritten: number;
  /** Distinct 4 KiB pages that devices wrote. */
  readonly pagesWritten: number;
  readonly ramBytes: number;
  /** Where the guest maps: how many events map and unmap, and how many DMA events met no mapping, or not the right. */
  readonly mappings?: { readonly events: number; readonly faults: number };
}

/** What QEMU would use for the devices, for each tracker `qemu` that was compared. */
export interface QemuChoices {
  /** Which devices log their own DMA: `3xlog,1xnolog`. */
  readonly devices: string;
  /** The tracker that each comes down to, and why. */
  readonly chosen: readonly { readonly tracker: string; readonly uses: string; readonly why: string }[];
}

/** Everything that shaped the result. A field that does not apply holds null. */
export interface OptionsResult {
  readonly mode: 'migration' | 'windows';
  readonly trackers: readonly string[];
  readonly leaf: readonly string[];
  /** Null where no tracker `qemu` was compared. */
  readonly qemu: QemuChoices | null;
  /** Local memory of devices that migrates too, as it was asked for: `64M`; null for none. */
  readonly deviceState: string | null;
  readonly pageSize: number;
  readonly ramBytes: number;
  readonly loop: string;
  readonly linkBitsPerSecond: number;
  readonly downtimeLimitNs: number;
  readonly startNs: number;
  readonly phase: string | null;
  readonly repeatPhase: boolean;
  readonly capNs: number;
  readonly windowNs: number | null;
  readonly seed: number;
  readonly cpuLog: boolean;
  /** How devices, domains and mappings are set up, in words. */
  readonly setup: string;
  readonly iotlb: { readonly sets: number; readonly ways: number; readonly replacement: 'lru' };
  readonly cost: readonly CostParameterResult[];
}

/** What `compare` returns and `--format json` prints (schema `src/report/compare.schema.json`). */
export interface CompareResult {
  readonly schema: 'wasm-iommu/compare@1';
  readonly input: InputSummary;
  readonly options: OptionsResult;
  readonly results: readonly MigrationRow[] | readonly WindowsRow[];
}
