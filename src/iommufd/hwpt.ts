import { IommuError } from '../errno/error.ts';
import type { ReadOrder } from '../iommu/dirty-read.ts';
import type { Domain } from '../iommu/domain.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import type { Endpoint } from './bind-options.ts';
import type { Context } from './context.ts';
import type { FaultQueue } from './fault-queue.ts';
import type { Ioas } from './ioas.ts';
import { IoasDomain } from './ioas-domain.ts';
import type { IommufdObject } from './object-table.ts';

/** What a paging HWPT is made with. */
export interface HwptOptions {
  readonly ioas: Ioas;
  /** The device for whose IOMMU it is. */
  readonly endpoint: Endpoint;
  /** Made by attaching a device to an IOAS, and gone with its last device. */
  readonly auto?: boolean;
  readonly dirtyTracking?: boolean;
  readonly nestParent?: boolean;
  /** Devices may use it by PASID, and beside PASIDs. */
  readonly pasid?: boolean;
}

/** A page table of an IOAS: an HWPT_PAGING object, and the domain behind it (drivers/iommu/iommufd/hw_pagetable.c). */
export class PagingHwpt implements IommufdObject {
  readonly kind = 'hwpt-paging';
  readonly id: number;
  users = 1;
  readonly context: Context;
  readonly ioas: Ioas;
  readonly domain: IoasDomain;
  readonly auto: boolean;
  /** Whether it has dirty operations. */
  readonly dirtyTracking: boolean;
  readonly nestParent: boolean;
  readonly pasid: boolean;
  fault: FaultQueue | undefined;
  readonly #endpoint: Endpoint;
  #tracking = false;
  /** Whether the areas of the IOAS are mapped in it. */
  #onIoas = false;

  /** Makes its domain, not on the IOAS yet. EOPNOTSUPP: a flag that the IOMMU lacks; ENOMEM. */
  constructor(op: string, context: Context, id: number, options: HwptOptions) {
    const { ioas, endpoint, auto = false, dirtyTracking = false, nestParent = false, pasid = false } = options;
    this.context = context;
    this.id = id;
    this.ioas = ioas;
    this.auto = auto;
    this.dirtyTracking = dirtyTracking;
    this.nestParent = nestParent;
    this.pasid = pasid;
    this.#endpoint = endpoint;
    context.mayFail(op, 'allocate', 'allocating the HWPT');
    context.mayFail(op, 'driver', 'allocating the domain');
    const domain = endpoint.iommu.domain({ ...endpoint.domain, dirtyTracking });
    // A domain tracks from the start on; an HWPT only once it is told to.
    if (dirtyTracking && !this.#alwaysLogs) domain.setDirtyTracking(false);
    this.domain = new IoasDomain(context, domain, endpoint.leafSizes);
    ioas.users++;
  }

  /** Whether SET_DIRTY_TRACKING has switched it on. */
  get tracking(): boolean {
    return this.#tracking;
  }

  /** Whether the hardware logs: what a read finds is what was written. */
  get logs(): boolean {
    return this.#tracking || this.#alwaysLogs;
  }

  /** How its driver reads and clears. */
  get readPolicy(): { readonly order: ReadOrder; readonly splitTo?: number } {
    const { readOrder, splitTo } = this.#endpoint;
    return { order: readOrder, ...(splitTo === undefined ? {} : { splitTo }) };
  }

  get #alwaysLogs(): boolean {
    return this.dirtyTracking && !this.context.strict && this.#endpoint.format.name.startsWith('armv8');
  }

  /** Maps all areas of its IOAS in it. Errors as Ioas.addDomain. */
  enterIoas(op: string): void {
    this.ioas.addDomain(op, this.domain);
    this.#onIoas = true;
  }

  /** EINVAL: a device whose IOMMU cannot use its table. ENODEV: it has a fault queue, and the device no page faults. */
  checkFits(op: string, endpoint: Endpoint): void {
    const own = this.#endpoint;
    const reason =
      endpoint.iommu !== own.iommu
        ? 'sits behind another IOMMU'
        : endpoint.format !== own.format || endpoint.domain.inputBits !== own.domain.inputBits
          ? 'has another page-table format'
          : !own.leafSizes.every((size) => endpoint.leafSizes.includes(size))
            ? 'lacks some of its page sizes'
            : this.dirtyTracking && !endpoint.capabilities.dirtyTracking
              ? 'has no dirty tracking'
              : undefined;
    if (reason) throw new IommuError('EINVAL', op, `HWPT ${this.id} does not fit: the device ${reason}`);
    checkPageFaults(op, this, endpoint);
  }

  /** What a device is led into. */
  translation(): Domain {
    return this.domain.domain;
  }

  /** Whether `endpoint` is behind the driver that made its domain. */
  sameDriver(endpoint: Endpoint): boolean {
    return endpoint.iommu === this.#endpoint.iommu && endpoint.format === this.#endpoint.format;
  }

  setDirtyTracking(op: string, enable: boolean): void {
    runWhole(this.setDirtyTrackingSteps(op, enable));
  }

  /**
   * Switches tracking. On begins clean; strict: what is on already stays as it is; linux-6.12: it is wiped again. Off
   * leaves the dirty state in the table.
   */
  *setDirtyTrackingSteps(op: string, enable: boolean): Steps<void> {
    if (this.context.strict && enable === this.#tracking) return;
    const { domain } = this.domain;
    if (enable) {
      for (let areas = this.ioas.areas.size; areas > 0; areas--)
        this.context.mayFail(op, 'driver', 'wiping the dirty state');
    }
    this.context.mayFail(op, 'driver', 'switching the tracking');
    if (enable || !this.#alwaysLogs) yield* domain.setDirtyTrackingSteps(enable);
    this.#tracking = enable;
  }

  destroy(): void {
    if (this.#onIoas) this.ioas.removeDomain(this.domain);
    this.domain.domain.close();
    this.ioas.users--;
    if (this.fault) this.fault.users--;
  }
}

/** ENODEV: the HWPT has a fault queue, and the device no page faults (iommufd_fault_iopf_enable). */
export function checkPageFaults(
  op: string,
  hwpt: { readonly id: number; readonly fault: FaultQueue | undefined },
  endpoint: Endpoint,
): void {
  if (!hwpt.fault || endpoint.capabilities.faults) return;
  throw new IommuError('ENODEV', op, `HWPT ${hwpt.id} has a fault queue, and the device no I/O page faults`);
}
