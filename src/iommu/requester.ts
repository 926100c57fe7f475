import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import type { Steps } from '../schedule/step.ts';
import { checkAddress, hex, isWord, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess } from './access.ts';
import { deviceKinds, type AtsOptions, type AttachOptions } from './attach-options.ts';
import { checkGeometry } from './geometry.ts';
import { faultOf, type Fault } from './fault.ts';
import type { RequestRing } from './request-ring.ts';
import type { Waiting } from './waiting.ts';

const MOST_PASIDS = 2 ** 20;

/** A stretch of output addresses. */
export interface Extent {
  readonly address: Address;
  /** Bytes. */
  readonly length: number;
}

/** What a device needs of its IOMMU. @internal */
export interface Behind {
  readonly ring: RequestRing;
  readonly inFlight: InFlight;
  readonly waiting: Waiting;
}

/** A domain, of one stage or two, as a requester needs it. */
export interface TranslationDomain {
  readonly handle: number;
  /** @internal */
  handleIn(core: Instance, op: string): number;
}

/** A device's dirty log, as a requester needs it. */
export interface WriteLog {
  readonly handle: number;
  /** @internal */
  handleIn(core: Instance, op: string): number;
}

/**
 * A device as the IOMMU sees it, or an address space of a device: a requester id (and PASID), the domain that it is in, and the
 * dirty log that it keeps itself, if any.
 */
export class Requester {
  readonly handle: number;
  /** PCI requester id: bus, device, function. */
  readonly id: number;
  /** The PASID that its requests bear, undefined for none. */
  readonly ownPasid: number | undefined;
  readonly #core: Instance;
  readonly #ring: RequestRing;
  readonly #behind: Behind;
  #stream: number;

  /** @internal */
  constructor(core: Instance, behind: Behind, handle: number, id: number, pasid?: number) {
    this.handle = handle;
    this.id = id;
    this.ownPasid = pasid;
    this.#core = core;
    this.#behind = behind;
    this.#ring = behind.ring;
    this.#stream = core.stream(handle);
  }

  /**
   * An address space of this device with a PASID, 0 to 2^20 - 1, in `domain`: a requester of its own with the same id. It shares
   * the device's cache, and must be closed before the device. EINVAL; EEXIST: the device has that PASID.
   */
  pasid(pasid: number, domain: TranslationDomain | null): Requester {
    const op = 'device.pasid';
    const core = this.#core;
    if (!Number.isInteger(pasid) || pasid < 0 || pasid >= MOST_PASIDS) {
      throw new IommuError('EINVAL', op, `pasid is ${pasid}; it must be an integer from 0 to 0xfffff`);
    }
    const handle = core.check(core.raw.devicePasid(core.base, this.handle, pasid), op, (errno) => {
      if (errno === layout.EEXIST) return `the device has PASID ${pasid} already; close that one first`;
      return errno === layout.EINVAL ? 'an address space with a PASID has no PASIDs; ask the device' : undefined;
    });
    const space = new Requester(core, this.#behind, handle, this.id, pasid);
    return space.#in(domain);
  }

  /** Itself, put into its first domain; gone where that fails. */
  #in(domain: TranslationDomain | null): Requester {
    try {
      if (domain) this.attachTo(domain);
    } catch (error) {
      this.close();
      throw error;
    }
    return this;
  }

  /** A device behind the IOMMU with handle `iommu`. @internal */
  static open(
    core: Instance,
    behind: Behind,
    iommu: number,
    id: number,
    domain: TranslationDomain | null,
    options: AttachOptions,
  ): Requester {
    const op = 'iommu.attach';
    if (!Number.isInteger(id) || id < 0 || id > 0xffff) {
      throw new IommuError('EINVAL', op, `requester id is ${id}; it must be an integer from 0 to 0xffff`);
    }
    const kinds = deviceKinds(op, options);
    const handle = core.check(core.raw.deviceCreate(core.base, iommu, id, kinds.device), op);
    const device = new Requester(core, behind, handle, id);
    if (options.ats) device.#giveCache(op, options.ats, kinds.cache);
    return device.#in(domain);
  }

  #giveCache(op: string, { sets, ways }: AtsOptions, kind: number): void {
    const core = this.#core;
    try {
      checkGeometry(op, 'ats', sets, ways);
      core.check(core.raw.deviceCache(core.base, this.handle, sets, ways, kind), op);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Puts the device into a domain; null: its DMA goes untranslated. What it has posted and was not run yet goes there too, as
   * does what waits; its own cache is emptied. Its PASIDs stay where they are.
   * EINVAL: a domain of another IOMMU.
   */
  attachTo(domain: TranslationDomain | null): void {
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
   * not, and what the device got. At most 15.9 MiB: E2BIG. What precedes a fault has been accessed, and its extents are there
   * (`extents`). What is left of one that stalls, or asks for a page, is posted once software answers `retry`, `success`.
   */
  access(iova: Address, length: number, access: number): number {
    // What the IOTLB has is one call that knows nothing else; of the rest, bad input included, it only says that it is none.
    if (typeof iova === 'number' && isWord(length) && isWord(access)) {
      const core = this.#core;
      if (core.raw.deviceHit(core.base, this.handle, iova, length, access) === 1) return 1;
    }
    return this.#try(iova, length, access, 0);
  }

  #try(iova: Address, length: number, access: number, waits: number): number {
    const op = 'device.access';
    const core = this.#core;
    const last = lastOf(op, checkAddress(op, 'iova', iova), checkAddress(op, 'length', length));
    checkAccess(op, 'access', access);
    core.store64(layout.MAIL0, iova);
    core.store64(layout.MAIL1, last);
    const status = core.raw.deviceAccess(core.base, this.handle, access | waits);
    if (status === -layout.EFAULT) {
      this.#access = access;
      return -1;
    }
    if (status < 0) this.#refuse(op, status, length);
    return core.load32(layout.MAIL1);
  }

  /** Apart from what it explains: a function that makes a closure allocates at each call. */
  #refuse(op: string, status: number, length: number): void {
    this.#core.check(status, op, (errno) =>
      errno === layout.E2BIG
        ? `length is ${length}; one access has at most ${layout.ACCESS_MAX_BYTES} bytes, half of that with leaves of 2 KiB`
        : undefined,
    );
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
    const core = this.#core;
    const reason = core.load32(slot + layout.DEVICE_FAULT_REASON);
    if (reason === layout.FAULT_NONE) return undefined;
    return faultOf('device.fault', {
      reason,
      iova: core.loadAddress(slot + layout.DEVICE_FAULT_IOVA),
      requesterId: this.id,
      pasid: this.ownPasid ?? layout.NO_PASID,
      access: this.#access,
      stage: core.load32(slot + layout.DEVICE_FAULT_STAGE),
      ipa: core.loadAddress(slot + layout.DEVICE_FAULT_IPA),
      response: core.load32(slot + layout.DEVICE_FAULT_RESPONSE),
      tag: core.load32(slot + layout.DEVICE_FAULT_TAG),
    });
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
   * whether it landed. Where it stalls, or asks for a page, it waits for the answer and is translated again as a whole; any other
   * fault ends it, and then nothing lands.
   */
  *dmaSteps(iova: Address, length: number, access: number, land: (extents: readonly Extent[]) => void): Steps<boolean> {
    const where = `${hex(iova)} + ${length}`;
    let count: number;
    while (true) {
      yield { what: `translate ${where}` };
      count = this.#try(iova, length, access, layout.ACCESS_WAITS);
      if (count >= 0) break;
      if (!(yield* this.#answerSteps(where))) return false;
    }
    // Other DMA is translated before this one lands, and would overwrite the list.
    const extents = Array.from({ length: count }, (_, i) => ({
      address: this.extentAddress(i),
      length: this.extentLength(i),
    }));
    const ticket = this.#behind.inFlight.translated();
    yield { what: `land ${where}` };
    land(extents);
    this.#behind.inFlight.land(ticket);
    return true;
  }

  /** Waits for the answer to the fault that has just been, if it may have one; whether to try again. */
  *#answerSteps(where: string): Steps<boolean> {
    const slot = this.#core.slot(this.handle, 'device.dmaSteps');
    const response = this.#core.load32(slot + layout.DEVICE_FAULT_RESPONSE);
    const stalled = response === layout.RESPONSE_STALLED;
    if (!stalled && response !== layout.RESPONSE_PAGE_REQUEST) return false;
    const queue = stalled ? layout.QUEUE_STALLS : layout.QUEUE_PAGES;
    const index = this.#core.load32(slot + layout.DEVICE_FAULT_TAG);
    const what = `${stalled ? 'stalled' : 'page request'} ${where}`;
    yield { what, ready: () => this.#behind.waiting.answered(queue, index) };
    return this.#behind.waiting.takeAnswer(queue, index);
  }

  /** `logTo`, step by step: it completes once the DMA that was translated without the log has landed. */
  *logToSteps(log: WriteLog | null): Steps<void> {
    yield { what: 'log' };
    this.logTo(log);
    const mark = this.#behind.inFlight.now();
    yield { what: 'complete', ready: () => this.#behind.inFlight.landedBefore(mark) };
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Takes the device away, after a run of what has been posted; what waits for an answer is dropped. EBUSY: it has PASIDs. */
  close(): void {
    const op = 'device.close';
    this.#core.slot(this.handle, op);
    this.#ring.run();
    this.#core.check(this.#core.raw.deviceDestroy(this.#core.base, this.handle), op, (errno) =>
      errno === layout.EBUSY ? 'the device has PASIDs; close those first' : undefined,
    );
    this.#stream = layout.NO_STREAM;
  }
}
