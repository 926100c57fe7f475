import type { Core } from '../core/core.ts';
import { CostModel } from '../cost/cost-model.ts';
import { IommuError } from '../errno/error.ts';
import { FORMATS, type FormatInfo, type FormatName } from '../iommu/formats.ts';
import { formatBytes } from '../units/quantity.ts';
import { UsageError } from '../units/usage-error.ts';
import { IDEAL_DEVICE, MLX5_DEVICE, type DeviceProfile } from '../vfio/device-profile.ts';
import type { MappedSpan } from '../workload/mapped-spans.ts';
import { CpuOnlyTracker } from './cpu-only.ts';
import { DeviceLoggingTracker } from './device-logging.ts';
import { tableBytesFor } from './guest-tables.ts';
import { IOVA_BITS } from './guest-stage.ts';
import { IovaLoggingTracker } from './iova-logging.ts';
import { logBytesFor } from './logged-spans.ts';
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
  /** Where the guest maps: the IOVA space that each device ever has mappings in. Default: devices name guest-physical addresses. */
  readonly spaces?: readonly (readonly MappedSpan[])[];
}

/** What of it decides how much of a core a tracker needs on top where the guest maps. */
export type MappedContext = Required<Pick<TrackerContext, 'spaces' | 'pageSize'>>;

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
  /**
   * Bytes of a core that it needs on top where the guest maps; undefined for one that can't track that. UsageError: IOVAs
   * that it lacks.
   */
  readonly mappedCoreBytes?: ((context: MappedContext) => number) | undefined;
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

/** The formats that a guest's stage 1 can lie over, and the one that it has there. */
const GUEST_FORMATS: Partial<Record<FormatName, FormatName>> = {
  'armv8-s2': 'armv8-s1',
  vtdss: 'x86_64',
  amdv1: 'x86_64',
};

function checkIovas(spaces: readonly (readonly MappedSpan[])[]): void {
  const end = Math.max(0, ...spaces.map((spans) => spans.at(-1)).map((span) => (span ? span.iova + span.length : 0)));
  if (end <= 2 ** IOVA_BITS) return;
  throw new UsageError(
    `the guest maps IOVAs up to ${formatBytes(end)}; system IOMMUs take ${IOVA_BITS} bits: choose device, type1 or cpu-only with --trackers`,
  );
}

function systemIommu(name: FormatName, hardware: string): TrackerInfo {
  const leafSizes = leafSizesOf(name);
  const guestFormat = GUEST_FORMATS[name];
  return {
    name: `iommu:${name}`,
    claims: 'sound',
    about: `dirty bits that ${hardware} keeps in its I/O page table; a row for each leaf size`,
    claim: 'sound: read, clear, invalidate, wait for completion, then copy; one dirty byte reports a whole leaf',
    leafSizes,
    format: name,
    ...(guestFormat && {
      mappedCoreBytes: ({ spaces }) => {
        checkIovas(spaces);
        // Tables of stage 1, those of stage 2 over them, and a domain for each device.
        return 2 * tableBytesFor(spaces) + 4096 * spaces.length;
      },
    }),
    make: ({ core, ramBytes, leafBytes, leaf, spaces }) => {
      const guest = spaces && guestFormat ? { guest: { format: guestFormat, spaces } } : {};
      const format = formatFor(name, leafBytes);
      return new SystemIommuTracker({ core, format, leafBytes, leaf, ramBytes, ...guest });
    },
  };
}

/** The system-IOMMU tracker `plain` under a name with suffixes. UsageError. */
function withSuffixes(plain: TrackerInfo, format: FormatName, name: string, suffixes: readonly string[]): TrackerInfo {
  const strategy = parseResizeStrategy(name, format, suffixes);
  const leafSizes = leafSizesOf(format).filter((size) => size > smallestLeaf(formatFor(format, size)));
  return {
    ...plain,
    mappedCoreBytes: undefined,
    name,
    about: `${plain.about}, made smaller while devices go on`,
    resize: { ...strategy, leafSizes },
    make: ({ core, ramBytes, leafBytes, leaf, flushNs = CostModel.default().flushNs }) => {
      const resize = { name, strategy, flushNs };
      return new SystemIommuTracker({ core, format: formatFor(format, leafBytes), leafBytes, leaf, ramBytes, resize });
    },
  };
}

function logging(profile: DeviceProfile): Pick<TrackerInfo, 'make' | 'mappedCoreBytes'> {
  return {
    mappedCoreBytes: ({ spaces, pageSize }) => logBytesFor(profile, pageSize, spaces),
    make: ({ core, ramBytes, devices, pageSize, spaces }) =>
      spaces
        ? new IovaLoggingTracker({ core, profile, ramBytes, pageSize, spaces })
        : new DeviceLoggingTracker({ core, profile, ramBytes, devices, pageSize }),
  };
}

/** All trackers, in the order in which a comparison prints them. */
export const TRACKERS: readonly TrackerInfo[] = [
  {
    name: 'device',
    claims: 'sound',
    about: 'each device logs the pages that it writes itself, without limits (VFIO DMA logging)',
    claim: 'sound: a write marks every log page that it touches',
    ...logging(IDEAL_DEVICE),
  },
  {
    name: 'device:mlx5',
    claims: 'sound',
    about: "the same with the limits, page-size clamp and full-queue stall of NVIDIA mlx5's driver",
    claim: 'sound: a full report queue stalls the device, it drops nothing',
    ...logging(MLX5_DEVICE),
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
    mappedCoreBytes: () => 0,
    make: ({ core, ramBytes }) => new Type1Tracker({ core, ramBytes }),
  },
  {
    name: 'cpu-only',
    claims: 'none',
    about: "ignores the devices and looks at the CPUs' dirty log only",
    claim: 'claims nothing: every page that only a device wrote is lost',
    mappedCoreBytes: () => 0,
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
