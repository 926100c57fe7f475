import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import type { Steps } from '../schedule/step.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess, faultReason, type FaultReason } from './access.ts';
import type { Domain } from './domain.ts';

/** A refused access. */
export interface Fault {
  readonly reason: FaultReason;
  /** The first byte that was not translated. */
  readonly iova: Address;
  /** The device's requester id. */
  readonly requesterId: number;
  /** READ, WRITE or both: what the request wanted. */
  readonly access: number;
}

/** A stretch of output addresses. */
export interface Extent {
  readonly address: Address;
  /** Bytes. */
  readonly length: number;
}

/** The ring that `post` fills. @internal */
export interface RequestRing {
  run(): void;
  post(iova: Address, length: number, stream: number, access: number): void;
}

/** A device's dirty log, as a requester needs it. */
export interface WriteLog {
  readonly handle: number;
  /** @internal */
  handleIn(core: Instance, op: string): number;
}

/** A device as the IOMMU sees it: a requester id, the domain that it is in, and the dirty log that it keeps itself, if any. */
export class Requester {
  readonly handle: number;
  /** PCI requester id: bus, device, function. */
  readonly id: number;
  readonly #core: Instance;
  readonly #ring: RequestRing;
  readonly #inFlight: InFlight;
  #stream: number;

  /** @internal */
  constructor(core: Instance, ring: RequestRing, inFlight: InFlight, iommu: number, id: number) {
    const op = 'iommu.attach';
    if (!Number.isInteger(id) || id < 0 || id > 0xffff) {
      throw new IommuError('EINVAL', op, `requester id is ${id}; it must be an integer from 0 to 0xffff`);
    }
    this.handle = core.check(core.raw.deviceCreate(core.base, iommu, id), op);
    this.id = id;
    this.#core = core;
    this.#ring = ring;
    this.#inFlight = inFlight;
    this.#stream = core.stream(this.handle);
  }

  /**
   * Puts the device into a domain; null: its DMA goes untranslated. What it has posted and was not run yet goes there too.
   * EINVAL: a domain of another IOMMU.
   */
  attachTo(domain: Domain | null): void {
    const op = 'device.attachTo';
    const status = this.#core.raw.deviceAttach(this.#core.base, this.handle, domain?.handleIn(this.#core, op) ?? 0);
    this.#core.check(status, op, (errno) =>
      errno === layout.EINVAL ? 'the domain belongs to another IOMMU' : undefined,
    );
  }

  /** Has the device log what it writes, by IOVA; null: no more. */
  logTo(log: WriteLog | null): void {
    const op = 'device.logTo';
    this.#core.check(this.#core.raw.deviceLog(this.#core.base, this.handle, log?.handleIn(this.#core, op) ?? 0), op);
  }

  /**
   * One access, at once: returns how many extents of output addresses [iova, iova + length) is, or -1 and `fault` says why
   * not. At most 15.9 MiB: E2BIG. What precedes a fault has been accessed, and its extents are there (`extents`).
   */
  access(iova: Address, length: number, access: number): number {
    const op = 'device.access';
    const core = this.#core;
    const last = lastOf(op, checkAddress(op, 'iova', iova), checkAddress(op, 'length', length));
    checkAccess(op, 'access', access);
    core.store64(layout.MAIL0, iova);
    core.store64(layout.MAIL1, last);
    const status = core.raw.deviceAccess(core.base, this.handle, access);
    if (status === -layout.EFAULT) {
      this.#access = access;
      return -1;
    }
    core.check(status, op, (errno) =>
      errno === layout.E2BIG
        ? `length is ${length}; one access has at most ${layout.ACCESS_MAX_BYTES} bytes, half of that with leaves of 2 KiB`
        : undefined,
    );
    return core.load32(layout.MAIL1);
  }

  #access = 0;

  /** Extents of the last access of this core: those that could be touched, also where it ended in a fault. */
  get extents(): number {
    return this.#core.load32(layout.MAIL1);
  }

  /** Output address of extent `index` of the last access; valid until the next call into the core. */
  extentAddress(index: number): Address {
    return this.#core.loadAddress(this.#core.transfer + index * layout.EXTENT_BYTES + layout.EXTENT_ADDRESS);
  }

  /** Bytes of extent `index` of the last access; valid until the next call into the core. */
  extentLength(index: number): number {
    return this.#core.load32(this.#core.transfer + index * layout.EXTENT_BYTES + layout.EXTENT_LENGTH);
  }

  /** Why the device's last `access` ended with -1; undefined where it did not. */
  get fault(): Fault | undefined {
    const slot = this.#core.slot(this.handle, 'device.fault');
    const reason = faultReason(this.#core.load32(slot + layout.DEVICE_FAULT_REASON));
    if (!reason) return undefined;
    const iova = this.#core.loadAddress(slot + layout.DEVICE_FAULT_IOVA);
    return { reason, iova, requesterId: this.id, access: this.#access };
  }

  /**
   * Puts an access into the IOMMU's ring; `iommu.run()` runs them all in one call. A full ring is run at once. Length 0 does
   * nothing. EINVAL; EOVERFLOW: beyond 2^64.
   */
  post(iova: Address, length: number, access: number): void {
    this.#ring.post(iova, length, this.#stream, access);
  }

  /**
   * A DMA as two steps, translation and landing: `land` is called with the extents when the bytes reach memory; returns
   * whether it landed. A fault ends it, and then nothing lands.
   */
  *dmaSteps(iova: Address, length: number, access: number, land: (extents: readonly Extent[]) => void): Steps<boolean> {
    const where = `${hex(iova)} + ${length}`;
    yield { what: `translate ${where}` };
    const count = this.access(iova, length, access);
    if (count < 0) return false;
    // Other DMA is translated before this one lands, and would overwrite the list.
    const extents = Array.from({ length: count }, (_, i) => ({
      address: this.extentAddress(i),
      length: this.extentLength(i),
    }));
    const ticket = this.#inFlight.translated();
    yield { what: `land ${where}` };
    land(extents);
    this.#inFlight.land(ticket);
    return true;
  }

  /** `logTo`, step by step: it completes once the DMA that was translated without the log has landed. */
  *logToSteps(log: WriteLog | null): Steps<void> {
    yield { what: 'log' };
    this.logTo(log);
    const mark = this.#inFlight.now();
    yield { what: 'complete', ready: () => this.#inFlight.landedBefore(mark) };
  }

  /** Takes the device away, after a run of what has been posted. */
  close(): void {
    const op = 'device.close';
    this.#core.slot(this.handle, op);
    this.#ring.run();
    this.#core.check(this.#core.raw.deviceDestroy(this.#core.base, this.handle), op);
    this.#stream = layout.NO_STREAM;
  }
}
