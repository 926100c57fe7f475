import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, isWord, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess } from './access.ts';

const NEAR = 2 ** 53 - 2 ** 32;

/** The ring of an IOMMU: what its devices post, one call runs. @internal */
export class RequestRing {
  readonly #core: Instance;
  readonly #iommu: number;
  readonly #slot: number;
  readonly #posted: number;
  readonly #ring: number;
  #capacity: number;

  /** The ring of the IOMMU with handle `iommu`, whose slot lies at `slot`. */
  constructor(core: Instance, iommu: number, slot: number) {
    this.#core = core;
    this.#iommu = iommu;
    this.#slot = slot;
    this.#posted = core.wordAt(slot + layout.IOMMU_RING_POSTED);
    this.#ring = core.wordAt(core.load32(slot + layout.IOMMU_RING));
    this.#capacity = core.load32(slot + layout.IOMMU_RING_CAPACITY);
  }

  /** Runs all posted requests. Returns how many faults wait in the event queue. */
  run(): number {
    const core = this.#core;
    let status: number;
    do status = core.raw.iommuRun(core.base, this.#iommu, core.budget);
    while (status === layout.MORE);
    core.check(status, 'iommu.run');
    return core.load32(this.#slot + layout.IOMMU_EVENT_COUNT);
  }

  /** Puts an access into the ring, and runs it first where it is full. EINVAL; EOVERFLOW: beyond 2^64. */
  post(iova: Address, length: number, stream: number, access: number): void {
    const op = 'device.post';
    if (!isWord(length)) {
      const right = 'it must be an integer from 0 to 2^32 - 1';
      throw new IommuError('EINVAL', op, `length of ${hex(iova)} is ${length}; ${right}`);
    }
    // The common case first: a number that ends below 2^53 whatever its length.
    if (!(typeof iova === 'number' && iova >= 0 && iova <= NEAR && Math.floor(iova) === iova)) {
      checkAddress(op, 'iova', iova);
      if (length > 0) lastOf(op, iova, length);
    }
    checkAccess(op, 'access', access);
    const core = this.#core;
    if (core.pushRequest(this.#posted, this.#capacity, this.#ring, iova, length, stream, access)) return;
    this.run();
    core.pushRequest(this.#posted, this.#capacity, this.#ring, iova, length, stream, access);
  }

  /** The ring's memory belongs to something else now: a post finds it full, and run() refuses. */
  close(): void {
    this.#capacity = 0;
  }
}
