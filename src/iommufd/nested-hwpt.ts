import { IommuError } from '../errno/error.ts';
import type { Domain } from '../iommu/domain.ts';
import type { NestedDomain } from '../iommu/nested-domain.ts';
import type { Endpoint } from './bind-options.ts';
import type { FaultQueue } from './fault-queue.ts';
import { checkPageFaults, type PagingHwpt } from './hwpt.ts';
import type { Ioas } from './ioas.ts';
import type { IommufdObject } from './object-table.ts';
import type { Stage1, Stage1Driver } from './stage1.ts';

/** What a device may be attached to. */
export type Hwpt = PagingHwpt | NestedHwpt;

/** A nested HWPT as devices behind it meet it. */
export type NestedState =
  /** Through both stages. */
  | { readonly kind: 'translate'; readonly domain: NestedDomain }
  /** Through stage 2 alone. */
  | { readonly kind: 'bypass' }
  /** Not at all; `why` in words. */
  | { readonly kind: 'abort'; readonly why: string };

/**
 * A guest's page table on top of a nest parent: an HWPT_NESTED object. What the guest keeps in memory besides its tables
 * is read when the first device is attached, as an IOMMU caches it then, and forgotten with the last one.
 */
export class NestedHwpt implements IommufdObject {
  readonly kind = 'hwpt-nested';
  readonly id: number;
  users = 1;
  readonly auto = false;
  readonly parent: PagingHwpt;
  readonly driver: Stage1Driver;
  /** Devices may use it by PASID, and beside PASIDs. */
  readonly pasid: boolean;
  fault: FaultQueue | undefined;
  #state: NestedState | undefined;

  constructor(id: number, parent: PagingHwpt, driver: Stage1Driver, pasid: boolean) {
    this.id = id;
    this.parent = parent;
    this.driver = driver;
    this.pasid = pasid;
    parent.users++;
  }

  /** The IOAS that its stage 2 maps: what devices reserve, they reserve there. */
  get ioas(): Ioas {
    return this.parent.ioas;
  }

  /** How devices behind it translate; undefined while there are none. */
  get state(): NestedState | undefined {
    return this.#state;
  }

  /** As PagingHwpt.checkFits for its parent. EINVAL also: the device has no such stage 1; EOPNOTSUPP: nor the model. */
  checkFits(op: string, endpoint: Endpoint): void {
    this.parent.checkFits(op, endpoint);
    const { nesting } = endpoint.capabilities;
    if (nesting !== this.driver.kind) {
      const has = nesting ? `that of ${nesting}` : 'none';
      throw new IommuError('EINVAL', op, `HWPT ${this.id} is of ${this.driver.kind}; the device's stage 1 is ${has}`);
    }
    if (!endpoint.iommu.readsGuestTables) {
      throw new IommuError(
        'EOPNOTSUPP',
        op,
        `HWPT ${this.id} is nested, and the IOMMU has no ram with tables of guests`,
      );
    }
    this.driver.check(op, endpoint);
    checkPageFaults(op, this, endpoint);
  }

  /** What a device is led into; null: nowhere. EINVAL, EOPNOTSUPP: what the model lacks; ENOMEM. */
  translation(op: string, endpoint: Endpoint): Domain | NestedDomain | null {
    this.#state ??= this.#enter(op, endpoint);
    if (this.#state.kind === 'translate') return this.#state.domain;
    return this.#state.kind === 'bypass' ? this.parent.domain.domain : null;
  }

  #enter(op: string, endpoint: Endpoint): NestedState {
    const { iommu } = endpoint;
    const stage1: Stage1 = this.driver.stage1(op, endpoint, (ipa) => this.#readGuest(endpoint, ipa));
    if (stage1.kind !== 'translate') return stage1;
    return { kind: 'translate', domain: iommu.nested(this.parent.domain.domain, stage1.options) };
  }

  #readGuest({ iommu }: Endpoint, ipa: bigint): bigint | undefined {
    const { domain } = this.parent.domain;
    if (!domain.inputRanges.some(({ first, last }) => ipa >= first && ipa <= last)) return undefined;
    const pa = domain.translate(ipa)?.pa;
    return pa === undefined ? undefined : iommu.tableEntry(pa);
  }

  /** Lets go of stage 1 where no device is attached any more. */
  settle(): void {
    if (this.users > 1) return;
    if (this.#state?.kind === 'translate') this.#state.domain.close();
    this.#state = undefined;
  }

  destroy(): void {
    this.settle();
    this.parent.users--;
    if (this.fault) this.fault.users--;
  }
}
