import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { InFlight } from '../schedule/in-flight.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess, faultReason } from './access.ts';
import { Domain } from './domain.ts';
import type { DomainOptions } from './domain-options.ts';
import { Requester, type Fault } from './requester.ts';

/** Geometry of an IOMMU. */
export interface IommuOptions {
  /** Default 64 sets (a power of two) x 8 ways; replacement is least recently used. */
  readonly iotlb?: { readonly sets: number; readonly ways: number };
  /** Requests that the ring holds, 1 .. 65,536. Default 4096. */
  readonly requests?: number;
  /** Faults that the event queue holds, 1 .. 65,536. Default 256. */
  readonly events?: number;
}

/** What an IOMMU has counted since it was made. */
export interface IommuCounters {
  readonly hits: number;
  readonly misses: number;
  /** Invalidation commands. */
  readonly invalidations: number;
  readonly evictions: number;
  /** Page-table entries read by walks. */
  readonly walkReads: number;
  /** Entries that hardware made dirty. */
  readonly dirtyUpdates: number;
}

/** An IOMMU as hardware: an IOTLB, domains with their page tables, the devices behind it, and the batch of their requests. */
export class Iommu {
  readonly handle: number;
  /** DMA under way in step-by-step operation; empty where everything runs whole. */
  readonly inFlight = new InFlight();
  readonly #core: Instance;
  readonly #ring: number;
  readonly #slot: number;
  #capacity: number;

  /** @internal */
  constructor(core: Instance, options: IommuOptions = {}) {
    const { sets, ways } = options.iotlb ?? { sets: 64, ways: 8 };
    const { requests = 4096, events = 256 } = options;
    for (const [name, value] of Object.entries({ sets, ways, requests, events })) {
      if (Number.isInteger(value) && value >= 1 && value <= 65536) continue;
      throw new IommuError('EINVAL', 'iommu', `${name} is ${value}; it must be an integer from 1 to 65536`);
    }
    this.handle = core.check(core.raw.iommuCreate(core.base, sets, ways, requests, events), 'iommu', (errno) =>
      errno === layout.EINVAL
        ? `iotlb is ${sets} sets x ${ways} ways; sets must be a power of two, and all entries at most 65536`
        : undefined,
    );
    this.#core = core;
    this.#slot = core.slot(this.handle, 'iommu');
    this.#ring = core.load32(this.#slot + layout.IOMMU_RING);
    this.#capacity = requests;
  }

  /** A domain behind this IOMMU. EINVAL: what the format lacks; ENOMEM. */
  domain(options: DomainOptions): Domain {
    return new Domain(this.#core, this.inFlight, this.handle, options);
  }

  /** Puts a device behind this IOMMU, in `domain` or untranslated. Several devices may bear one requester id. */
  attach(requesterId: number, domain: Domain | null = null): Requester {
    const ring = { post: this.#post.bind(this), run: this.run.bind(this) };
    const device = new Requester(this.#core, ring, this.inFlight, this.handle, requesterId);
    try {
      if (domain) device.attachTo(domain);
    } catch (error) {
      device.close();
      throw error;
    }
    return device;
  }

  /** Runs all posted requests. Returns how many faults wait in the event queue. */
  run(): number {
    const core = this.#core;
    let status: number;
    do status = core.raw.iommuRun(core.base, this.handle, core.budget);
    while (status === layout.MORE);
    core.check(status, 'iommu.run');
    return core.load32(this.#slot + layout.IOMMU_EVENT_COUNT);
  }

  /** Takes the faults out of the event queue, oldest first, and how many found it full. */
  takeFaults(): { readonly faults: Fault[]; readonly lost: number } {
    const core = this.#core;
    const slot = core.slot(this.handle, 'iommu.takeFaults');
    const count = core.load32(slot + layout.IOMMU_EVENT_COUNT);
    const queue = core.load32(slot + layout.IOMMU_EVENTS);
    const faults: Fault[] = [];
    for (let i = 0; i < count; i++) {
      const at = queue + i * layout.EVENT_BYTES;
      const reason = faultReason(core.load32(at + layout.EVENT_REASON));
      if (!reason) throw new IommuError('EIO', 'iommu.takeFaults', `event ${i} has no known reason`);
      const iova = core.loadAddress(at + layout.EVENT_IOVA);
      const requesterId = core.load32(at + layout.EVENT_REQUESTER);
      faults.push({ reason, iova, requesterId, access: core.load32(at + layout.EVENT_ACCESS) });
    }
    const lost = core.load32(slot + layout.IOMMU_EVENTS_LOST);
    core.words(slot + layout.IOMMU_EVENT_COUNT, 2).fill(0);
    return { faults, lost };
  }

  get counters(): IommuCounters {
    const core = this.#core;
    const slot = core.slot(this.handle, 'iommu.counters');
    return {
      hits: core.load64(slot + layout.IOMMU_HITS),
      misses: core.load64(slot + layout.IOMMU_MISSES),
      invalidations: core.load64(slot + layout.IOMMU_INVALIDATIONS),
      evictions: core.load64(slot + layout.IOMMU_EVICTIONS),
      walkReads: core.load64(slot + layout.IOMMU_WALK_READS),
      dirtyUpdates: core.load64(slot + layout.IOMMU_DIRTY_UPDATES),
    };
  }

  /** Frees it. EBUSY: it has domains or devices. */
  close(): void {
    this.#core.check(this.#core.raw.iommuDestroy(this.#core.base, this.handle), 'iommu.close');
    // The ring's memory belongs to something else now: a post finds it full, and run() refuses.
    this.#capacity = 0;
  }

  #post(iova: Address, length: number, stream: number, access: number): void {
    const op = 'device.post';
    if (!(length >= 0 && length <= 0xffffffff && Number.isInteger(length))) {
      const right = 'it must be an integer from 0 to 2^32 - 1';
      throw new IommuError('EINVAL', op, `length of ${hex(iova)} is ${length}; ${right}`);
    }
    // The common case first: a number that ends below 2^53.
    if (!(typeof iova === 'number' && iova >= 0 && Number.isSafeInteger(iova + length))) {
      checkAddress(op, 'iova', iova);
      if (length > 0) lastOf(op, iova, length);
    }
    checkAccess(op, 'access', access);
    const core = this.#core;
    const posted = this.#slot + layout.IOMMU_RING_POSTED;
    if (core.pushRequest(posted, this.#capacity, this.#ring, iova, length, stream, access)) return;
    this.run();
    core.pushRequest(posted, this.#capacity, this.#ring, iova, length, stream, access);
  }
}
