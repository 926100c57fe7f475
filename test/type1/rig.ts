import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import type { Core } from '../../src/core/core.ts';
import type { DomainOptions } from '../../src/iommu/domain-options.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';
import { Type1Container } from '../../src/type1/container.ts';
import type { BackedGroupOptions } from '../../src/type1/group-options.ts';
import type { Type1Options } from '../../src/type1/type1-options.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';

export const PAGE = 4096n;
export const READ = 1;
export const WRITE = 2;
export const RW = 3;

/** User memory that may be mapped: 4 MiB, writable; the 16 pages behind it are read-only, the ones behind those missing. */
export const RAM = 0x1000_0000n;
export const RAM_BYTES = 0x40_0000n;
export const READ_ONLY = RAM + RAM_BYTES;
export const MISSING = READ_ONLY + 16n * PAGE;
/** Where requests lie in user memory, and bitmaps: 16 pages each, the ones behind the bitmaps missing. */
export const ARGS = 0x7000_0000n;
export const BITMAP = 0x7100_0000n;
export const BITMAP_BYTES = 16n * PAGE;
/** A page that can be read only, for requests. */
export const READ_ONLY_ARGS = 0x7200_0000n;

export const VTDSS: DomainOptions = { format: 'vtdss' };

export interface Rig {
  readonly core: Core;
  readonly iommu: Iommu;
  readonly space: PlainAddressSpace;
  readonly container: Type1Container;
}

/** An address space, an IOMMU and an open container without groups. */
export function rig(options: Partial<Type1Options> = {}, place: Place = PLACES[0]): Rig {
  const { core } = siteAt(place, 4).core();
  const space = new PlainAddressSpace();
  space.mmap({ va: RAM, length: RAM_BYTES });
  space.mmap({ va: READ_ONLY, length: 16n * PAGE, writable: false });
  space.mmap({ va: ARGS, length: 16n * PAGE });
  space.mmap({ va: BITMAP, length: BITMAP_BYTES });
  space.mmap({ va: READ_ONLY_ARGS, length: PAGE, writable: false });
  const container = new Type1Container(core, { addressSpace: space, ...options });
  return { core, iommu: core.iommu(), space, container };
}

/** A group behind the rig's IOMMU. */
export function backed({ iommu }: Rig, id = 1, more: Partial<BackedGroupOptions> = {}): BackedGroupOptions {
  return { iommu, requesterIds: [id], domain: VTDSS, ...more };
}

/** The bits set in user memory, `bytes` bytes from `at` on. */
export function bitsAt(space: PlainAddressSpace, at: bigint, bytes: number): number[] {
  const data = new Uint8Array(bytes);
  if (!space.read(at, data)) throw new Error('the bitmap cannot be read');
  return bitsOf(data);
}

export function bitsOf(data: Uint8Array): number[] {
  return [...data].flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * i + bit),
  );
}

/** from, from + 1, … to - 1. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
