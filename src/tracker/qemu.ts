import { UsageError } from '../units/usage-error.ts';
import { chooseTracker } from '../vfio/tracker-choice.ts';
import { ALL_DIRTY } from './all-dirty.ts';
import { findTracker, TRACKERS, type TrackerInfo } from './registry.ts';

/** A tracker that QEMU would use for a set of devices. */
export interface QemuTracker extends TrackerInfo {
  /** The tracker that it comes down to, or `all-dirty`. */
  readonly uses: string;
  /** Why, in words. */
  readonly why: string;
}

/** A container's kind, as a `qemu` tracker names it, and the tracker that it offers. */
interface Container {
  readonly name: string;
  readonly about: string;
  /** Undefined: it can't track. */
  readonly tracker?: string;
}

const IOMMU = 'iommu:';
const QEMU = 'qemu';
const DEFAULT_CONTAINER = 'amdv1';

const CONTAINERS: readonly Container[] = [
  ...TRACKERS.filter(({ name }) => name.startsWith(IOMMU)).map(({ name }) => ({
    name: name.slice(IOMMU.length),
    about: `an iommufd whose page tables keep dirty bits, as ${name}`,
    tracker: name,
  })),
  { name: 'type1', about: 'a type1 container, which takes everything pinned for dirty', tracker: 'type1' },
  { name: 'none', about: "an iommufd whose IOMMU can't track: all of RAM counts as dirty" },
];

/** A `qemu` tracker: its container, and the leaf sizes, bytes, where that has an I/O page table. */
export interface QemuTrackerInfo {
  readonly name: string;
  readonly about: string;
  readonly leafSizes?: readonly number[];
}

/** All of them, by their full names. They are compared where they are named only. */
export const QEMU_TRACKERS: readonly QemuTrackerInfo[] = CONTAINERS.map(({ name, about, tracker }) => {
  const leafSizes = tracker === undefined ? undefined : findTracker(tracker).leafSizes;
  return { name: `${QEMU}:${name}`, about, ...(leafSizes && { leafSizes }) };
});

/** Whether a tracker with this name is one of QEMU's, known or not. */
export function isQemu(name: string): boolean {
  return name === QEMU || name.startsWith(`${QEMU}:`);
}

/**
 * What QEMU uses for devices of which `logs` says whether each one logs its own DMA (`chooseTracker`), in the container
 * that the name says: `qemu:vtdss`, `qemu:type1`, `qemu:none`; `qemu` alone is `qemu:amdv1`. UsageError: no such container.
 */
export function qemuTracker(name: string, logs: readonly boolean[]): QemuTracker {
  const wanted = name === QEMU ? DEFAULT_CONTAINER : name.slice(QEMU.length + 1);
  const container = CONTAINERS.find((each) => each.name === wanted);
  if (!container) {
    const names = QEMU_TRACKERS.map((each) => each.name).join(', ');
    throw new UsageError(
      `trackers: there is no '${name}'; there are ${names}, and ${QEMU} for ${QEMU}:${DEFAULT_CONTAINER}`,
    );
  }
  const devices = logs.map((dmaLogging) => ({ dmaLogging }));
  const { source, why } = chooseTracker({ devices, containerTracks: container.tracker !== undefined });
  const used = source === 'none' ? ALL_DIRTY : findTracker(source === 'devices' ? 'device' : container.tracker!);
  return { ...used, name, uses: used.name, why };
}
