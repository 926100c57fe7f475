import type { FrameRun } from '../../src/address-space/address-space.ts';
import type { GuestRam } from '../../src/address-space/guest-ram.ts';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { GuestPageTable } from '../../src/iommu/guest-page-table.ts';
import type { FormatName, GranuleName } from '../../src/iommu/formats.ts';
import type { IommuOptions } from '../../src/iommu/iommu-options.ts';
import type { BindOptions, NestingKind } from '../../src/iommufd/bind-options.ts';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import { Iommufd } from '../../src/iommufd/iommufd.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { ARGS, BUFFER, BUFFER_BYTES, FIXED, PAGE, RW, type Rig } from './rig.ts';

export const KIB = 1024;
const MEBI = 1024 * KIB;

/** The guest's RAM: for the guest from 0 on, for the process that holds it, and for the machine. */
export const GUEST = { bytes: 4 * MEBI, va: 0x1000_0000n, pa: 0x8000_0000 } as const;

/** A process whose memory holds the guest's RAM, and its own requests and buffers. */
class Process extends PlainAddressSpace {
  readonly #ram: GuestRam;

  constructor(ram: GuestRam) {
    super();
    this.#ram = ram;
    this.mmap({ va: ARGS, length: 16n * PAGE });
    this.mmap({ va: BUFFER, length: BUFFER_BYTES });
  }

  #of(va: bigint): boolean {
    return va >= GUEST.va && va < GUEST.va + BigInt(GUEST.bytes);
  }

  override pin(va: bigint, length: bigint, write: boolean): readonly FrameRun[] | undefined {
    return this.#of(va) ? this.#ram.pin(va, length, write) : super.pin(va, length, write);
  }

  override unpin(frames: readonly FrameRun[]): void {
    const guests = (pa: bigint) => pa >= BigInt(GUEST.pa) && pa < BigInt(GUEST.pa + GUEST.bytes);
    this.#ram.unpin(frames.filter(({ pa }) => guests(pa)));
    super.unpin(frames.filter(({ pa }) => !guests(pa)));
  }

  override read(va: bigint, into: Uint8Array): boolean {
    return this.#of(va) ? this.#ram.read(va, into) : super.read(va, into);
  }

  override write(va: bigint, from: Uint8Array): boolean {
    return this.#of(va) ? this.#ram.write(va, from) : super.write(va, from);
  }
}

/** A kind of stage 1, and what it goes over. */
export interface Kind {
  readonly nesting: NestingKind;
  readonly first: FormatName;
  readonly granule?: GranuleName;
  readonly second: FormatName;
}

export const KINDS: readonly (Kind & { readonly name: string })[] = [
  { name: 'VT-d', nesting: 'vtd-s1', first: 'x86_64', second: 'vtdss' },
  { name: 'VT-d over AMD', nesting: 'vtd-s1', first: 'x86_64', second: 'amdv1' },
  { name: 'SMMUv3, 4K', nesting: 'smmuv3', first: 'armv8-s1', granule: '4K', second: 'armv8-s2' },
  { name: 'SMMUv3, 64K', nesting: 'smmuv3', first: 'armv8-s1', granule: '64K', second: 'armv8-s2' },
];

export interface GuestOptions {
  readonly fd?: Partial<IommufdOptions>;
  readonly bind?: Partial<BindOptions>;
  readonly iommu?: IommuOptions;
  /** Flags of the nest parent beside NEST_PARENT. Default DIRTY_TRACKING. */
  readonly parentFlags?: number;
  readonly place?: Place;
}

/** Where the guest keeps a context descriptor. */
export const CD = 3 * MEBI;

const TG0: Record<GranuleName, bigint> = { '4K': 0n, '64K': 1n, '16K': 2n };
/** Fields of a context descriptor's first double word, as a guest's driver sets them. */
export const CD_BITS = {
  epd0: 1n << 14n,
  endi: 1n << 15n,
  epd1: 1n << 30n,
  valid: 1n << 31n,
  ips48: 5n << 32n,
  tbi0: 1n << 38n,
  aa64: 1n << 41n,
  hd: 1n << 42n,
  ha: 1n << 43n,
  stall: 1n << 44n,
  record: 1n << 45n,
  abort: 1n << 46n,
} as const;

/** The first double word of a context descriptor that is in order. */
export function cdWord(granule: GranuleName = '4K', asid = 7n): bigint {
  const { epd1, valid, ips48, aa64, record, abort } = CD_BITS;
  return 16n | (TG0[granule] << 6n) | epd1 | valid | ips48 | aa64 | record | abort | (asid << 48n);
}

const STE = { valid: 1n, translate: 5n << 1n };

export const words = (...list: readonly bigint[]) => new Uint8Array(new BigUint64Array(list).buffer);

/** A guest with RAM of 4 MiB, its tables in the first MiB of it, a nest parent that maps it all, and a device. */
export function guestRig(kind: Kind, options: GuestOptions = {}) {
  const { core } = siteAt(options.place ?? PLACES[0], 8).core();
  const ram = core.ram({ length: GUEST.bytes, pa: GUEST.pa, va: GUEST.va });
  const iommu = core.iommu({ ram, ...options.iommu });
  const space = new Process(ram);
  const next = kind.nesting === 'smmuv3' ? ({ uapi: 'next' } as const) : {};
  const fd = new Iommufd(core, { addressSpace: space, ...next, ...options.fd });
  const { outIoasId: ioasId } = fd.ioasAlloc();
  const capabilities = { nesting: kind.nesting, ...options.bind?.capabilities };
  const bound = (more: Partial<BindOptions> = {}) =>
    fd.bind({ iommu, requesterId: 0x18, domain: { format: kind.second }, ...options.bind, ...more, capabilities });
  const device = bound();
  const flags = 1 | (options.parentFlags ?? 2);
  const parent = fd.hwptAlloc({ flags, devId: device.devId, ptId: ioasId }).outHwptId;
  fd.ioasMap({ flags: RW | FIXED, ioasId, userVa: GUEST.va, length: GUEST.bytes, iova: 0 });
  const memory = {
    read: (gpa: bigint, into: Uint8Array) => ram.read(GUEST.va + gpa, into),
    write: (gpa: bigint, from: Uint8Array) => ram.write(GUEST.va + gpa, from),
  };
  const granule = kind.granule ? { granule: kind.granule } : {};
  const tableAt = (gpa: number, inputBits = 48) =>
    new GuestPageTable({ format: kind.first, ...granule, inputBits, memory, tables: { gpa, length: MEBI / 2 } });
  const table = tableAt(0);
  const setCd = (word0: bigint, word1: bigint, at = CD) => memory.write(BigInt(at), words(word0, word1));
  setCd(cdWord(kind.granule), BigInt(table.root));
  /** The driver's data for a table, which the guest's context descriptor names already where there is one. */
  const dataOf = (root: bigint | number) =>
    kind.nesting === 'smmuv3' ? words(STE.valid | STE.translate | BigInt(CD), 0n) : words(0n, BigInt(root), 48n);
  const rig: Rig = { core, iommu, space, fd };
  return { ...rig, kind, ram, memory, ioasId, device, bound, parent, table, tableAt, setCd, dataOf };
}

export type GuestRig = ReturnType<typeof guestRig>;

export const dataTypeOf = ({ nesting }: Kind) => (nesting === 'smmuv3' ? 2 : 1);

/** A nested HWPT of these data. */
export function nest(rig: GuestRig, data = rig.dataOf(BigInt(rig.table.root)), more: object = {}): number {
  const { fd, device, parent, kind } = rig;
  const args = { devId: device.devId, ptId: parent, dataType: dataTypeOf(kind), dataLen: data.length, dataUptr: data };
  return fd.hwptAlloc({ ...args, ...more }).outHwptId;
}

/** The dirty pages of the nest parent, of `hwptId` where it is another; cleared, unless `flags` is 1. */
export function dirtyPages({ fd, parent }: GuestRig, { hwptId = parent, flags = 0 } = {}): number[] {
  const data = new Uint8Array(GUEST.bytes / 4096 / 8);
  fd.hwptGetDirtyBitmap({ hwptId, flags, iova: 0, length: GUEST.bytes, pageSize: PAGE, data });
  return [...data].flatMap((byte, i) =>
    Array.from({ length: 8 }, (_, bit) => bit).flatMap((bit) => ((byte >> bit) & 1 ? [i * 8 + bit] : [])),
  );
}
