import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import { InFlight } from '../schedule/in-flight.ts';
import { checkAddress, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import type { AttachOptions } from './attach-options.ts';
import { Domain } from './domain.ts';
import type { DomainOptions } from './domain-options.ts';
import { readEvent, type Fault } from './fault.ts';
import {
  readCacheCounters,
  readCounters,
  readFaultCounters,
  type CacheCounters,
  type FaultCounters,
  type IommuCounters,
} from './iommu-counters.ts';
import { iommuShape, type IommuOptions } from './iommu-options.ts';
import { NestedDomain, type NestedOptions } from './nested-domain.ts';
import { RequestRing } from './request-ring.ts';
import { Requester } from './requester.ts';
import { tableEntry } from './table-entry.ts';
import { answerCode, Waiting, type PageAnswer, type PageRequest, type StallAnswer } from './waiting.ts';

/** An IOMMU as hardware: an IOTLB, domains with their page tables, the devices behind it, and the batch of their requests. */
export class Iommu {
  readonly handle: number;
  /** DMA under way in step-by-step operation; empty where everything runs whole. @internal */
  readonly inFlight = new InFlight();
  readonly #core: Instance;
  readonly #ring: RequestRing;
  readonly #slot: number;
  readonly #waiting: Waiting;

  /** @internal */
  constructor(core: Instance, options: IommuOptions = {}) {
    const op = 'iommu';
    const shape = iommuShape(op, options);
    const { iotlb, walkCache, requests, events, stalls, pageRequests, mode } = shape;
    const { raw, base } = core;
    this.handle = core.check(
      raw.iommuCreate(base, iotlb.sets, iotlb.ways, requests, events, stalls, pageRequests, mode),
      op,
    );
    this.#core = core;
    this.#slot = core.slot(this.handle, op);
    this.#waiting = new Waiting(core, this.handle, this.#slot);
    this.#ring = new RequestRing(core, this.handle, this.#slot);
    if (walkCache) this.#giveWalkCache(op, walkCache.sets, walkCache.ways);
    if (options.ram) core.check(raw.iommuRam(base, this.handle, options.ram.handleIn(core, op)), op);
  }

  #giveWalkCache(op: string, sets: number, ways: number): void {
    try {
      this.#core.check(this.#core.raw.iommuWalkCache(this.#core.base, this.handle, sets, ways), op);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A domain behind this IOMMU. EINVAL: what the format lacks; ENOMEM. */
  domain(options: DomainOptions): Domain {
    return new Domain(this.#core, this.inFlight, this.handle, options);
  }

  /**
   * A domain of stage 1 whose tables a guest keeps in the IOMMU's `ram`, over `parent` as stage 2. EINVAL: formats that no hardware
   * nests, a root that is not aligned, no `ram`; ENOMEM.
   */
  nested(parent: Domain, options: NestedOptions): NestedDomain {
    return new NestedDomain(this.#core, this.#slot, parent, options);
  }

  /** Whether it was made with `ram`, so that nested domains can translate. */
  get readsGuestTables(): boolean {
    return this.#core.load32(this.#slot + layout.IOMMU_RAM) !== 0;
  }

  /** The 8 bytes of its `ram` at physical address `pa`, little endian, as it reads tables; undefined where there is none. */
  tableEntry(pa: Address): bigint | undefined {
    return tableEntry(this.#core, this.#slot, checkAddress('iommu.tableEntry', 'pa', pa));
  }

  /**
   * Has the IOMMU mark in `bitmap`, by physical address, the pages with tables of guests that it makes entries dirty in: writes to
   * memory that no device does. Null: no more.
   */
  logTableWrites(bitmap: Bitmap | null): void {
    const op = 'iommu.logTableWrites';
    const into = bitmap?.handleIn(this.#core, op) ?? 0;
    this.#core.check(this.#core.raw.iommuTableWrites(this.#core.base, this.handle, into), op);
  }

  /**
   * Puts a device behind this IOMMU, in `domain` or untranslated. Several devices may bear one requester id. EINVAL: options that
   * exclude each other; ENOMEM.
   */
  attach(requesterId: number, domain: Domain | NestedDomain | null = null, options: AttachOptions = {}): Requester {
    const behind = { ring: this.#ring, inFlight: this.inFlight, waiting: this.#waiting };
    return Requester.open(this.#core, behind, this.handle, requesterId, domain, options);
  }

  /** Runs all posted requests. Returns how many faults wait in the event queue. */
  run(): number {
    return this.#ring.run();
  }

  /**
   * Takes the faults out of the event queue, oldest first, and how many found it full. A stall that did is recorded now, for the
   * next time.
   */
  takeFaults(): { readonly faults: Fault[]; readonly lost: number } {
    const core = this.#core;
    const slot = core.slot(this.handle, 'iommu.takeFaults');
    const count = core.load32(slot + layout.IOMMU_EVENT_COUNT);
    const queue = core.load32(slot + layout.IOMMU_EVENTS);
    const op = 'iommu.takeFaults';
    const faults = Array.from({ length: count }, (_, i) => readEvent(core, op, queue + i * layout.EVENT_BYTES));
    const lost = core.load32(slot + layout.IOMMU_EVENTS_LOST);
    core.check(core.raw.iommuEventsTaken(core.base, this.handle), op);
    return { faults, lost };
  }

  /**
   * Answers a stalled request (CMD_RESUME): `retry` posts what is left of it as if it had newly arrived, `abort` ends it, and so
   * does `terminate`, in stage 1 alone, where the device reads zero or its write vanishes. ENOENT: no request has that stall
   * tag; EINVAL.
   */
  resume(stallTag: number, answer: StallAnswer): void {
    this.#answer('iommu.resume', layout.QUEUE_STALLS, stallTag, answer);
  }

  /**
   * Aborts all stalled requests of a device and of its PASIDs (CMD_STALL_TERM); returns how many there were. EINVAL: a device
   * behind another IOMMU.
   */
  stallTerminate(device: Requester): number {
    const op = 'iommu.stallTerminate';
    const core = this.#core;
    const slot = core.slot(device.handleIn(core, op), op);
    if (core.load32(slot + layout.DEVICE_IOMMU) !== this.handle) {
      throw new IommuError('EINVAL', op, 'the device is behind another IOMMU');
    }
    return core.check(core.raw.deviceEndStalls(core.base, device.handle), op);
  }

  /** The page requests of devices that have no answer yet, older ones first. */
  pageRequests(): PageRequest[] {
    this.#core.slot(this.handle, 'iommu.pageRequests');
    return this.#waiting.pageRequests();
  }

  /** Answers a page request: after `success` the device asks again, after `failure` it gives up. ENOENT, EINVAL. */
  answerPageRequest(index: number, answer: PageAnswer): void {
    this.#answer('iommu.answerPageRequest', layout.QUEUE_PAGES, index, answer);
  }

  #answer(op: string, queue: number, index: number, answer: string): void {
    const core = this.#core;
    const code = answerCode(op, queue, answer);
    const number = Number.isInteger(index) && index >= 0 && index < 2 ** 32 ? index : 2 ** 32 - 1;
    const send = () => core.raw.iommuAnswer(core.base, this.handle, queue, number, code);
    let status = send();
    if (status === -layout.ENOSPC) {
      this.run();
      status = send();
    }
    core.check(status, op, (errno) => {
      if (errno === layout.ENOENT) return `no request waits under ${index}`;
      return errno === layout.EINVAL ? `a request that stalled in stage 2 can't be ignored; abort it` : undefined;
    });
  }

  /** One command that empties the IOTLB and the walk cache, and then, unless `atc` is false, the caches of devices (ATS). */
  invalidateAll(options: { readonly atc?: boolean } = {}): void {
    const flags = (options.atc ?? true) ? 0 : layout.INVALIDATE_NO_ATC;
    this.#core.check(this.#core.raw.iommuInvalidate(this.#core.base, this.handle, flags), 'iommu.invalidateAll');
  }

  get counters(): IommuCounters {
    return readCounters(this.#core, this.#core.slot(this.handle, 'iommu.counters'));
  }

  get cacheCounters(): CacheCounters {
    return readCacheCounters(this.#core, this.#core.slot(this.handle, 'iommu.cacheCounters'));
  }

  get faultCounters(): FaultCounters {
    return readFaultCounters(this.#core, this.#core.slot(this.handle, 'iommu.faultCounters'));
  }

  /** Frees it. EBUSY: it has domains or devices. */
  close(): void {
    this.#core.check(this.#core.raw.iommuDestroy(this.#core.base, this.handle), 'iommu.close');
    this.#ring.close();
  }
}
