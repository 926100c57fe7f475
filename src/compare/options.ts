import { CostModel } from '../cost/cost-model.ts';
import { COMPARED_IOTLB } from '../tracker/system-iommu.ts';
import type { StateSize } from '../migration/migrated-devices.ts';
import { parseDeviceSet } from '../tracker/device-set.ts';
import { isQemu, qemuTracker, type QemuTracker } from '../tracker/qemu.ts';
import { findTracker, TRACKERS, type TrackerInfo } from '../tracker/registry.ts';
import { formatLeaf } from '../units/quantity.ts';
import { parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';
import { phaseSpan } from '../workload/phase-span.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';
import type { Recording } from '../workload/recording.ts';
import type { Survey } from '../workload/survey.ts';
import { mappedBytesOf, takesMappings } from './mapped-rows.ts';
import type { OptionsResult, QemuChoices } from './result.ts';
import { parseStateSizes } from './state-sizes.ts';

/** What to compare, and how. Times are ns on the recording's clock or of simulated time. */
export interface CompareOptions {
  /** Names of trackers (`TRACKERS`), those of system IOMMUs with suffixes or without. Default: all that suit the recording, without. */
  readonly trackers?: readonly string[] | undefined;
  /**
   * For trackers `qemu`: which of the recording's devices log their own DMA, in its order, as `3xlog,1xnolog`; the last
   * entry may go without a number, for all that are left. Default: `log`.
   */
  readonly devices?: string | undefined;
  /**
   * State of the devices' own that migrates too: bytes of local memory as people write them, for each device (`64M`) or
   * by name (`gpu=64M,nic=1M`), with `:stop-copy` where it can't be sent ahead. Default: none.
   */
  readonly deviceState?: string | undefined;
  /** Leaf sizes of the I/O page tables, bytes or as people write them; a row each. Default 4K and 2M. */
  readonly leaf?: readonly (number | string)[] | undefined;
  /** Hint for the page of the devices' logs, bytes or as people write it. Default 4K. */
  readonly pageSize?: number | string | undefined;
  /** Default 1 Gbit/s. */
  readonly linkBitsPerSecond?: number | undefined;
  /** Default 40 ms. */
  readonly downtimeLimitNs?: number | undefined;
  /** When the migration begins. Default 0, or the start of `phase`. */
  readonly startNs?: number | undefined;
  /** The phase with which the migration begins, and which repeats until the verdict. */
  readonly phase?: string | undefined;
  /** False: after `phase` the recording goes on, and its end is the verdict `inputEnded`. Default true. */
  readonly loop?: boolean | undefined;
  /** Simulated time after which no further round begins. Default 60 s. */
  readonly capNs?: number | undefined;
  /** No migration: read and clear at this interval through the whole trace. */
  readonly windowNs?: number | undefined;
  /** Order of events of different devices with the same time stamp: 0 as recorded, else shuffled by this seed. Default 0. */
  readonly seed?: number | undefined;
  /** Prices of the tracking. Default: `CostModel.default()`. */
  readonly cost?: CostModel | undefined;
  /** Called now and then. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** How far a comparison is. */
export interface Progress {
  readonly rows: number;
  readonly rowsDone: number;
  /** Simulated time so far, ns. */
  readonly simulatedNs: number;
}

/** One row to be: a tracker at one leaf size. */
export interface PlannedRow {
  readonly tracker: TrackerInfo;
  /** Bytes; 4096 for a tracker without an I/O page table. */
  readonly leafBytes: number;
  readonly leaf: string;
  /** Bytes of its core that the guest's mappings take. */
  readonly mappedCoreBytes: number;
}

/** A comparison, worked out: what was asked for, with everything that was left open filled in. */
export interface Plan {
  readonly rows: readonly PlannedRow[];
  /** Which devices log their own DMA, as it was asked for. */
  readonly deviceSet: string;
  /** Undefined where no state of devices migrates. */
  readonly state: { readonly text: string; readonly sizes: readonly StateSize[] } | undefined;
  readonly pageSize: number;
  readonly linkBitsPerSecond: number;
  readonly downtimeLimitNs: number;
  readonly capNs: number;
  readonly startNs: number;
  /** End of the part that repeats, or undefined where nothing does. */
  readonly repeatEndNs: number | undefined;
  readonly phase: string | null;
  readonly windowNs: number | undefined;
  readonly seed: number;
  readonly cost: CostModel;
  /** Where the guest maps: the IOVA space that each device ever has mappings in. */
  readonly spaces: readonly (readonly MappedSpan[])[] | undefined;
}

const KIB = 1024;

function sizeOf(what: string, value: number | string): number {
  const bytes = typeof value === 'number' ? value : parseSize(value, what);
  if (Number.isSafeInteger(bytes) && bytes >= 4 * KIB && Number.isInteger(Math.log2(bytes))) return bytes;
  throw new UsageError(`${what}: ${value} is not a page size; write a power of two from 4K on`);
}

function wholeNumber(what: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`${what}: ${value} is not a whole number from ${least} to 2^53 - 1`);
}

function trackersOf(
  names: readonly string[] | undefined,
  logs: readonly boolean[],
  mapped: boolean,
): readonly TrackerInfo[] {
  if (!names) return mapped ? TRACKERS.filter(takesMappings) : TRACKERS;
  if (names.length === 0) throw new UsageError('trackers: name at least one; `wasm-iommu trackers` lists them');
  const found = names.map((name) => {
    if (isQemu(name)) return qemuTracker(name, logs);
    try {
      return findTracker(name);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      const all = TRACKERS.map((tracker) => tracker.name).join(', ');
      throw new UsageError(`trackers: there is no '${name}'; there are ${all}`);
    }
  });
  const keys = found.map(sameAs);
  return found.filter((_, i) => keys.indexOf(keys[i]) === i);
}

/** What two names of one tracker have in common. */
function sameAs({ name, format, resize }: TrackerInfo): string {
  if (!resize) return name;
  const { update, split, merge, fault } = resize;
  return [format, update, split, merge, fault].join();
}

/** Of the leaf sizes asked for, those that a tracker gets a row for: all, or where leaves are split all that can be. */
function leavesFor({ name, leafSizes, resize }: TrackerInfo, leaves: readonly number[]): readonly number[] {
  if (!resize) return leaves;
  const found = leaves.filter((leaf) => !leafSizes?.includes(leaf) || resize.leafSizes.includes(leaf));
  if (found.length > 0) return found;
  const has = resize.leafSizes.map(formatLeaf).join(', ');
  throw new UsageError(
    `leaf: ${name} has no leaf of ${leaves.map(formatLeaf).join(', ')} to split; it can split ${has}`,
  );
}

function rowsOf(trackers: readonly TrackerInfo[], leaves: readonly number[]): Omit<PlannedRow, 'mappedCoreBytes'>[] {
  return trackers.flatMap((tracker) => {
    const sizes = tracker.leafSizes;
    if (!sizes) return [{ tracker, leafBytes: 4096, leaf: 'none' }];
    return leavesFor(tracker, leaves).map((leafBytes) => {
      if (!sizes.includes(leafBytes)) {
        const has = sizes.map(formatLeaf).join(', ');
        throw new UsageError(
          `leaf: ${tracker.name} has no leaf of ${formatLeaf(leafBytes)}; it has ${has} (choose the trackers with --trackers)`,
        );
      }
      return { tracker, leafBytes, leaf: formatLeaf(leafBytes) };
    });
  });
}

function refuse(options: CompareOptions, names: readonly (keyof CompareOptions)[], why: string): void {
  for (const name of names) {
    if (options[name] !== undefined) throw new UsageError(`${name}: has no effect ${why}; leave it out`);
  }
}

/** Which devices log their own DMA, for trackers that depend on it. */
function logsOf({ devices, trackers }: CompareOptions, count: number): boolean[] {
  if (devices === undefined) return Array<boolean>(count).fill(true);
  if (!trackers?.some(isQemu)) throw new UsageError('devices: has no effect without a tracker qemu; leave it out');
  return parseDeviceSet(devices, count);
}

function stateOf({ deviceState: text }: CompareOptions, { devices }: Recording): Plan['state'] {
  return text === undefined ? undefined : { text, sizes: parseStateSizes(text, devices) };
}

interface Span {
  readonly startNs: number;
  readonly repeatEndNs: number | undefined;
}

function spanOf(options: CompareOptions, recording: Recording, endNs: number): Span {
  const { phase, loop = true } = options;
  if (phase === undefined) {
    refuse(options, ['loop'], 'without a phase');
    const startNs = wholeNumber('startNs', options.startNs ?? 0, 0);
    if (startNs > endNs) throw new UsageError(`start: ${startNs} ns is behind the end of the recording, ${endNs} ns`);
    return { startNs, repeatEndNs: undefined };
  }
  refuse(options, ['startNs'], 'beside a phase');
  let span;
  try {
    span = phaseSpan(recording, phase, endNs);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (loop && span.endNs === span.startNs) {
    throw new UsageError(`phase: ${phase} lasts no time and can't repeat; take another, or leave the loop out`);
  }
  return { startNs: span.startNs, repeatEndNs: loop ? span.endNs : undefined };
}

/** Works out what to do. Throws a UsageError that names the option, its value and what would be right. */
export function planComparison(options: CompareOptions, recording: Recording, survey: Survey): Plan {
  if (options.windowNs !== undefined) {
    refuse(
      options,
      ['startNs', 'phase', 'loop', 'capNs', 'linkBitsPerSecond', 'downtimeLimitNs', 'deviceState'],
      'with windows',
    );
  }
  const leaves = (options.leaf ?? ['4K', '2M']).map((leaf) => sizeOf('leaf', leaf));
  if (leaves.length === 0) throw new UsageError('leaf: name at least one size');
  const spaces = survey.mappings?.spans;
  const trackers = trackersOf(options.trackers, logsOf(options, recording.devices.length), spaces !== undefined);
  const merging = trackers.find(({ resize }) => resize?.merge);
  if (merging && options.windowNs !== undefined) {
    throw new UsageError(`trackers: '${merging.name}': '+merge' has no effect with windows; leave it out`);
  }
  const pageSize = sizeOf('page-size', options.pageSize ?? 4 * KIB);
  const rows = rowsOf(trackers, [...new Set(leaves)]).map((row) => ({
    ...row,
    mappedCoreBytes: spaces ? mappedBytesOf(row.tracker, spaces, pageSize) : 0,
  }));
  return {
    rows,
    deviceSet: options.devices ?? 'log',
    state: stateOf(options, recording),
    pageSize,
    linkBitsPerSecond: wholeNumber('linkBitsPerSecond', options.linkBitsPerSecond ?? 1e9, 1),
    downtimeLimitNs: wholeNumber('downtimeLimitNs', options.downtimeLimitNs ?? 40e6, 0),
    capNs: wholeNumber('capNs', options.capNs ?? 60e9, 0),
    ...spanOf(options, recording, survey.endNs),
    phase: options.phase ?? null,
    windowNs: options.windowNs === undefined ? undefined : wholeNumber('windowNs', options.windowNs, 1),
    seed: wholeNumber('seed', options.seed ?? 0, 0),
    cost: options.cost ?? CostModel.default(),
    spaces,
  };
}

const SETUP = 'one domain for all devices; [0, ram) mapped read-write before the first event, IOVA = GPA = HPA';
const MAPPED_SETUP =
  'a stage 1 for each device, as the guest maps it, in pages of 4K, over one stage 2 for all, which is tracked; [0, ram) mapped there read-write before the first event, GPA = HPA; devices log by IOVA';

function qemuOf({ rows, deviceSet }: Plan): QemuChoices | null {
  const trackers = [...new Set(rows.map(({ tracker }) => tracker))].filter((tracker) => 'uses' in tracker);
  if (trackers.length === 0) return null;
  const chosen = (trackers as QemuTracker[]).map(({ name, uses, why }) => ({ tracker: name, uses, why }));
  return { devices: deviceSet, chosen };
}

/** The plan as it is printed with the result. */
export function describePlan(plan: Plan, recording: Recording): OptionsResult {
  return {
    mode: plan.windowNs === undefined ? 'migration' : 'windows',
    trackers: [...new Set(plan.rows.map((row) => row.tracker.name))],
    leaf: [...new Set(plan.rows.filter((row) => row.tracker.leafSizes).map((row) => row.leaf))],
    qemu: qemuOf(plan),
    deviceState: plan.state?.text ?? null,
    pageSize: plan.pageSize,
    ramBytes: recording.ramBytes,
    loop: 'classic rounds',
    linkBitsPerSecond: plan.linkBitsPerSecond,
    downtimeLimitNs: plan.downtimeLimitNs,
    startNs: plan.startNs,
    phase: plan.phase,
    repeatPhase: plan.repeatEndNs !== undefined,
    capNs: plan.capNs,
    windowNs: plan.windowNs ?? null,
    seed: plan.seed,
    cpuLog: recording.hasCpuLog,
    setup: plan.spaces ? MAPPED_SETUP : SETUP,
    iotlb: { ...COMPARED_IOTLB, replacement: 'lru' },
    cost: plan.cost.toResult(),
  };
}
