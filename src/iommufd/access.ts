import type { FrameRun } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, type Address } from '../wasm/address.ts';
import { startByte, type Area } from './area.ts';
import type { Context } from './context.ts';
import type { Ioas } from './ioas.ts';
import { findIoas, lastOfRange } from './ioas-commands.ts';
import { ADDRESS_MAX, intersection } from './interval.ts';
import type { IommufdObject } from './object-table.ts';

/** What an access is made with. */
export interface AccessOptions {
  /** Whether it will pin pages: the IOAS then maps whole pages only. Default false: it reads and writes bytes. */
  readonly pinsPages?: boolean;
  /** [iova, iova + length) is being unmapped; what is pinned there must be unpinned on return. */
  readonly unmap?: (iova: bigint, length: bigint) => void;
}

/** IOVAs to pin. */
export interface PinOptions {
  readonly iova: Address;
  /** Bytes. */
  readonly length: Address;
  /** Whether they are going to be written. Default false. */
  readonly write?: boolean;
}

interface PinnedPart {
  readonly area: Area;
  readonly start: bigint;
  readonly length: bigint;
}

/**
 * In-kernel use of an IOAS without an IOMMU, as mediated devices have it: an ACCESS object
 * (drivers/iommu/iommufd/device.c). Neither pins nor writes make anything dirty in an HWPT: there is none.
 */
export class Access implements IommufdObject {
  readonly kind = 'access';
  readonly id: number;
  /** The table's, and the driver's: a user cannot destroy it. */
  users = 2;
  readonly pinsPages: boolean;
  readonly #context: Context;
  readonly #unmap: AccessOptions['unmap'];
  #ioas: Ioas | undefined;
  #pins: { readonly iova: bigint; readonly length: bigint; readonly parts: readonly PinnedPart[] }[] = [];

  /** @internal */
  constructor(context: Context, id: number, options: AccessOptions) {
    context.mayFail('createAccess', 'allocate', 'allocating the access');
    this.#context = context;
    this.id = id;
    this.pinsPages = options.pinsPages ?? false;
    this.#unmap = options.unmap;
  }

  /** The IOAS that it is attached to; undefined: none. */
  get ioasId(): number | undefined {
    return this.#ioas?.id;
  }

  /** EINVAL: it is attached already; ENOENT: no such IOAS; EADDRINUSE: an area there that is no whole pages. */
  attach(ioasId: number): void {
    if (this.#ioas) throw new IommuError('EINVAL', 'attach', `it is attached to IOAS ${this.#ioas.id}; use replace`);
    this.#change('attach', ioasId);
  }

  /**
   * ENOENT: it is not attached, or no such IOAS; EADDRINUSE; EDEADLOCK: its `unmap` left pins behind. It stays attached
   * then.
   */
  replace(ioasId: number): void {
    if (!this.#ioas) throw new IommuError('ENOENT', 'replace', 'it is not attached; use attach');
    this.#change('replace', ioasId);
  }

  /** EINVAL: it is not attached; EDEADLOCK: its `unmap` left pins behind. */
  detach(): void {
    if (!this.#ioas) throw new IommuError('EINVAL', 'detach', 'it is not attached');
    this.#change('detach', undefined);
  }

  /** Detaches it and takes it out of the iommufd; pins that `unmap` leaves behind are undone. */
  close(): void {
    if (this.#ioas) {
      this.unmapped(0n, ADDRESS_MAX);
      for (const { iova, length } of [...this.#pins]) this.unpin({ iova, length });
      this.#change('close', undefined);
    }
    this.users--;
    this.#context.objects.destroy('close', this);
  }

  /**
   * Pins pages, and returns their frames. EINVAL: made without `pinsPages`, length 0, not whole pages, being unmapped;
   * EOVERFLOW; ENOENT: not attached, or a hole; EPERM: not mapped for writing; EFAULT, ENOMEM. Nothing is pinned where
   * it throws.
   */
  pin(options: PinOptions): FrameRun[] {
    const op = 'pin';
    if (!this.pinsPages) throw new IommuError('EINVAL', op, 'the access was made without pinsPages');
    const { iova, length, ioas } = this.#range(op, options.iova, options.length);
    const parts: PinnedPart[] = [];
    try {
      for (const { area, part } of this.#parts(op, ioas, iova, length, options.write ?? false)) {
        this.#context.mayFail(op, 'allocate', 'allocating the pin');
        this.#checkWhole(op, area, part, iova + length - 1n);
        const pinned = { area, start: startByte(area, part.first), length: part.last - part.first + 1n };
        area.pages.pin(op, pinned.start, pinned.length);
        area.accesses++;
        parts.push(pinned);
      }
    } catch (error) {
      this.#release(parts);
      throw error;
    }
    this.#pins.push({ iova, length, parts });
    return parts.flatMap(({ area, start, length }) => area.pages.frames(start, length));
  }

  /** Undoes one `pin` of the same range. EINVAL: there is none. */
  unpin({ iova, length }: { readonly iova: Address; readonly length: Address }): void {
    const at = this.#pins.findIndex((pin) => pin.iova === BigInt(iova) && pin.length === BigInt(length));
    if (at < 0) throw new IommuError('EINVAL', 'unpin', `[${hex(iova)}, + ${hex(length)}) was not pinned as one range`);
    const [{ parts }] = this.#pins.splice(at, 1);
    this.#release(parts);
  }

  /** Reads bytes from `iova` on into `into`. Errors as `pin`, but any byte will do. */
  read(iova: Address, into: Uint8Array): void {
    this.#copy('read', iova, into, false);
  }

  /** Writes bytes to `iova` on. */
  write(iova: Address, from: Uint8Array): void {
    this.#copy('write', iova, from, true);
  }

  /** @internal */
  unmapped(iova: bigint, length: bigint): void {
    this.#unmap?.(iova, length);
  }

  /** @internal */
  destroy(): void {}

  #copy(op: string, at: Address, bytes: Uint8Array, write: boolean): void {
    const { iova, length, ioas } = this.#range(op, at, bytes.length);
    for (const { area, part } of this.#parts(op, ioas, iova, length, write)) {
      const piece = bytes.subarray(Number(part.first - iova), Number(part.last - iova) + 1);
      if (write) area.pages.write(op, startByte(area, part.first), piece);
      else area.pages.read(op, startByte(area, part.first), piece);
    }
  }

  #range(op: string, iovaGiven: Address, lengthGiven: Address): { iova: bigint; length: bigint; ioas: Ioas } {
    const iova = BigInt(checkAddress(op, 'iova', iovaGiven));
    const length = BigInt(checkAddress(op, 'length', lengthGiven));
    lastOfRange(op, 'iova', iova, length);
    if (!this.#ioas) throw new IommuError('ENOENT', op, 'the access is not attached to an IOAS');
    return { iova, length, ioas: this.#ioas };
  }

  /** The areas behind a range, each with its part. ENOENT, EINVAL, EPERM: before any is used. */
  #parts(op: string, ioas: Ioas, iova: bigint, length: bigint, write: boolean) {
    const last = iova + length - 1n;
    const areas = ioas.areas.contiguousIn(iova, last);
    for (const area of areas) {
      if (area.leaving) throw new IommuError('EINVAL', op, `the area at ${hex(area.first)} is being unmapped`);
      if (write && !area.pages.writable) {
        throw new IommuError('EPERM', op, `the memory at ${hex(area.first)} was mapped without WRITEABLE`);
      }
    }
    const end = areas.at(-1)?.last ?? iova - 1n;
    if (end < last) throw new IommuError('ENOENT', op, `nothing is mapped at ${hex(end + 1n)}`);
    return areas.map((area) => ({ area, part: intersection(area, { first: iova, last })! }));
  }

  /** EINVAL: the part does not begin with a page, or ends within one although the range goes on. */
  #checkWhole(op: string, area: Area, part: { first: bigint; last: bigint }, last: bigint): void {
    const { pageSize } = this.#context;
    const begins = startByte(area, part.first) % pageSize === 0n;
    const ends = part.last === last || (startByte(area, part.last) + 1n) % pageSize === 0n;
    if (!begins || !ends) throw new IommuError('EINVAL', op, `${hex(part.first)} is not at the start of a page`);
  }

  #release(parts: readonly PinnedPart[]): void {
    for (const { area, start, length } of parts) {
      area.pages.unpin(start, length);
      area.accesses--;
    }
  }

  #change(op: string, ioasId: number | undefined): void {
    const old = this.#ioas;
    const ioas = ioasId === undefined ? undefined : findIoas(op, this.#context, 'ioasId', ioasId);
    if (ioas === old) return;
    ioas?.addAccess(op, this);
    if (old) this.unmapped(0n, ADDRESS_MAX);
    if (this.#pins.length) {
      ioas?.removeAccess(this);
      throw new IommuError('EDEADLOCK', op, `${this.#pins.length} pins are left; the access's unmap must unpin them`);
    }
    old?.removeAccess(this);
    if (old) old.users--;
    if (ioas) ioas.users++;
    this.#ioas = ioas;
  }
}
