import type { Core } from '../core/core.ts';
import { CostModel } from '../cost/cost-model.ts';
import { IommuError } from '../errno/error.ts';
import { FORMATS, type FormatInfo, type FormatName } from '../iommu/formats.ts';
import { UsageError } from '../units/usage-error.ts';
import { IDEAL_DEVICE, MLX5_DEVICE } from '../vfio/device-profile.ts';
import { CpuOnlyTracker } from './cpu-only.ts';
import { DeviceLoggingTracker } from './device-logging.ts';
import { parseResizeStrategy, type ResizeStrategy } from './resize-strategy.ts';
import { smallestLeaf, SystemIommuTracker } from './system-iommu.ts';
import type { Claim, Tracker } from './tracker.ts';
import { Type1Tracker } from './type1.ts';

/** What a tracker is made for. */
export interface TrackerContext {
  readonly core: Core;
  readonly ramBytes: number;
  /** Devices of the workload. */
  readonly devices: number;
  /** Leaf size, for a tracker with an I/O page table: bytes, and as people write it. */
  readonly leafBytes: number;
  readonly leaf: string;
  /** Hint for the page of a device's log, bytes. */
  readonly pageSize: number;
  /** What a completed invalidation takes where leaves are resized, whole ns. Default: the cost model's own price. */
  readonly flushNs?: number;
}

/** A tracker that there is. */
export interface TrackerInfo {
  readonly name: string;
  readonly claims: Claim;
  /** One sentence: where its dirty information comes from. */
  readonly about: string;
  /** What the claim rests on, or what is lost. */
  readonly claim: string;
  /** Leaf sizes, bytes, for a tracker with an I/O page table: it has a row for each leaf. Else undefined. */
  readonly leafSizes?: readonly number[];
  /** Format of its I/O page table; it decides which suffixes the name may have (`suffixesOf`). Else undefined. */
  readonly format?: FormatName;
  /** What the name's suffixes say, and the leaf sizes, bytes, that can be split; a tracker without suffixes has none. */
  readonly resize?: ResizeStrategy & { readonly leafSizes: readonly number[] };
  make(context: TrackerContext): Tracker;
}

/** Larger leaves than this are not compared: one of them would hold all of the guest. */
const LARGEST_LEAF = 2 ** 30;

function leafSizesOf(name: FormatName): number[] {
  const named = FORMATS.filter((format) => format.name === name);
  const sizes = named.flatMap((format) => [...format.leafSizes, ...format.contiguousSizes]);
  return [...new Set(sizes)].filter((size) => size <= LARGEST_LEAF).sort((a, b) => a - b);
}

/** The granule in which a leaf size is one entry, else one in which it is a contiguous run. */
function formatFor(name: FormatName, leafBytes: number): FormatInfo {
  const named = FORMATS.filter((format) => format.name === name);
  const found =
    named.find((format) => format.leafSizes.includes(leafBytes)) ??
    named.find((format) => format.contiguousSizes.includes(leafBytes));
  if (found) return found;
  const sizes = leafSizesOf(name).join(', ');
  throw new IommuError('EINVAL', `iommu:${name}`, `leaf is ${leafBytes} bytes; the format has ${sizes}`);
}

function systemIommu(name: FormatName, hardware: string): TrackerInfo {
  const leafSizes = leafSizesOf(name);
  return {
    name: `iommu:${name}`,
    claims: 'sound',
    about: `dirty bits that ${hardware} keeps in its I/O page table; a row for each leaf size`,
    claim: 'sound: read, clear, invalidate, wait for completion, then copy; one dirty byte reports a whole leaf',
    leafSizes,
    format: name,
    make: ({ core, ramBytes, leafBytes, leaf }) =>
      new SystemIommuTracker({ core, format: formatFor(name, leafBytes), leafBytes, leaf, ramBytes }),
  };
}

/** The system-IOMMU tracker `plain` under a name with suffixes. UsageError. */
function withSuffixes(plain: TrackerInfo, format: FormatName, name: string, suffixes: readonly string[]): TrackerInfo {
  const strategy = parseResizeStrategy(name, format, suffixes);
  const leafSizes = leafSizesOf(format).filter((size) => size > smallestLeaf(formatFor(format, size)));
  return {
    ...plain,
    name,
    about: `${plain.about}, made smaller while devices go on`,
    resize: { ...strategy, leafSizes },
    make: ({ core, ramBytes, leafBytes, leaf, flushNs = CostModel.default().flushNs }) => {
      const resize = { name, strategy, flushNs };
      return new SystemIommuTracker({ core, format: formatFor(format, leafBytes), leafBytes, leaf, ramBytes, resize });
    },
  };
}

/** All trackers, in the order in which a comparison prints them. */
export const TRACKERS: readonly TrackerInfo[] = [
  {
    name: 'device',
    claims: 'sound',
    about: 'each device logs the pages that it writes itself, without limits (VFIO DMA logging)',
    claim: 'sound: a write marks every log page that it touches',
    make: ({ core, ramBytes, devices, pageSize }) =>
      new DeviceLoggingTracker({ core, profile: IDEAL_DEVICE, ramBytes, devices, pageSize }),
  },
  {
    name: 'device:mlx5',
    claims: 'sound',
    about: "the same with the limits, page-size clamp and full-queue stall of NVIDIA mlx5's driver",
    claim: 'sound: a full report queue stalls the device, it drops nothing',
    make: ({ core, ramBytes, devices, pageSize }) =>
      new DeviceLoggingTracker({ core, profile: MLX5_DEVICE, ramBytes, devices, pageSize }),
  },
  systemIommu('amdv1', 'an AMD IOMMU'),
  systemIommu('vtdss', 'an Intel VT-d IOMMU (second stage)'),
  systemIommu('x86_64', 'an Intel VT-d IOMMU (first stage) or an AMD IOMMU (v2 tables)'),
  systemIommu('armv8-s1', 'an Arm SMMUv3 (stage 1, HTTU)'),
  systemIommu('armv8-s2', 'an Arm SMMUv3 (stage 2, HTTU)'),
  systemIommu('riscv', 'a RISC-V IOMMU with hardware A and D updates'),
  {
    name: 'type1',
    claims: 'sound',
    about: 'VFIO type1 without dirty information: everything mapped is dirty, every time',
    claim: 'sound as far as the mapping covers what devices write, which is all that its 0 missed pages show',
    make: ({ core, ramBytes }) => new Type1Tracker({ core, ramBytes }),
  },
  {
    name: 'cpu-only',
    claims: 'none',
    about: "ignores the devices and looks at the CPUs' dirty log only",
    claim: 'claims nothing: every page that only a device wrote is lost',
    make: () => new CpuOnlyTracker(),
  },
];

/**
 * The tracker with this name, with or without suffixes (`iommu:armv8-s1+bbm+split=eager`). EINVAL names the trackers that
 * there are; UsageError: suffixes that it lacks, or that don't go together.
 */
export function findTracker(name: string): TrackerInfo {
  const [plain, ...suffixes] = name.split('+');
  const found = TRACKERS.find((tracker) => tracker.name === plain);
  if (found && suffixes.length === 0) return found;
  if (found?.format) return withSuffixes(found, found.format, name, suffixes);
  if (found) throw new UsageError(`trackers: '${name}': ${plain} has no suffixes; those of iommu: trackers have`);
  const names = TRACKERS.map((tracker) => tracker.name).join(', ');
  throw new IommuError('EINVAL', 'trackers', `'${name}' is no tracker; there are ${names}`);
}
