import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import type { Core } from '../../src/core/core.ts';
import type { BindOptions } from '../../src/iommufd/bind-options.ts';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import type { Device } from '../../src/iommufd/device.ts';
import { Iommufd } from '../../src/iommufd/iommufd.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';

export const PAGE = 4096n;
export const MIB = 2n ** 20n;
export const TOP = 2n ** 64n;
export const MAX = TOP - 1n;
/** Flags of IOAS_MAP and IOAS_COPY. */
export const [FIXED, WRITEABLE, READABLE] = [1, 2, 4];
export const RW = WRITEABLE | READABLE;

/**
 * User memory that may be mapped: 64 MiB, writable; the 16 pages behind it are read-only, the ones behind those
 * missing.
 */
export const RAM = 0x1000_0000n;
export const RAM_BYTES = 64n * MIB;
export const READ_ONLY = RAM + RAM_BYTES;
export const MISSING = READ_ONLY + 16n * PAGE;
/** Where requests lie in user memory, and buffers: 16 pages each, the ones behind the buffers missing. */
export const ARGS = 0x7000_0000n;
export const BUFFER = 0x7100_0000n;
export const BUFFER_BYTES = 16n * PAGE;

export interface Rig {
  readonly core: Core;
  readonly iommu: Iommu;
  readonly space: PlainAddressSpace;
  readonly fd: Iommufd;
}

/** An address space, an IOMMU and an open iommufd. */
export function rig(options: Partial<IommufdOptions> = {}, place: Place = PLACES[0]): Rig {
  const { core } = siteAt(place, 8).core();
  const space = new PlainAddressSpace();
  space.mmap({ va: RAM, length: RAM_BYTES });
  space.mmap({ va: READ_ONLY, length: 16n * PAGE, writable: false });
  space.mmap({ va: ARGS, length: 16n * PAGE });
  space.mmap({ va: BUFFER, length: BUFFER_BYTES });
  const fd = new Iommufd(core, { addressSpace: space, ...options });
  return { core, iommu: core.iommu(), space, fd };
}

/** Options of a device behind the rig's IOMMU. */
export function behind({ iommu }: Rig, more: Partial<BindOptions> = {}): BindOptions {
  return { iommu, requesterId: 1, domain: { format: 'vtdss' }, ...more };
}

/** Ids that `furnish` gives out, in its order. */
export const ID = { ioas: 1, device: 2, hwpt: 3, other: 4, fault: 5, access: 6, parent: 7, nested: 8 } as const;

/** The descriptor of its fault queue. */
export const FAULT_FD = 3;

/** VT-d's data of a nested HWPT: all zeros will do. */
export const VTD_S1 = { dataType: 1, dataLen: 24, dataUptr: BUFFER };

/**
 * An IOAS with 16 pages at 1 MiB, an HWPT of it that could track, an empty IOAS, a fault queue, an access, a nest
 * parent and a nested HWPT; see ID.
 */
export function furnish(rig: Rig, more: Partial<BindOptions> = {}): Device {
  const { fd } = rig;
  fd.ioasAlloc();
  const device = fd.bind(behind(rig, { capabilities: { nesting: 'vtd-s1' }, ...more }));
  fd.hwptAlloc({ flags: 2, devId: ID.device, ptId: ID.ioas });
  fd.ioasAlloc();
  fd.faultQueueAlloc();
  fd.createAccess({ pinsPages: true });
  fd.hwptAlloc({ flags: 1, devId: ID.device, ptId: ID.other });
  fd.hwptAlloc({ devId: ID.device, ptId: ID.parent, ...VTD_S1 });
  fd.ioasMap({ flags: RW | FIXED, ioasId: ID.ioas, userVa: RAM, length: 16n * PAGE, iova: MIB });
  return device;
}
