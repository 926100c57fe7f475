import { IommuError } from '../errno/error.ts';
import type { Domain } from '../iommu/domain.ts';
import type { NestedDomain } from '../iommu/nested-domain.ts';
import type { Requester } from '../iommu/requester.ts';
import { attach, detach, replace } from './attach.ts';
import { endpointOf, type BindOptions, type Endpoint } from './bind-options.ts';
import type { Context } from './context.ts';
import { IommuGroup, NO_PASID } from './iommu-group.ts';
import type { IommufdObject } from './object-table.ts';

/**
 * A device bound to an iommufd: a DEVICE object, and what its kernel driver does with it
 * (drivers/iommu/iommufd/device.c). From bind on its DMA is translated; while nothing is attached, all of it faults.
 */
export class Device implements IommufdObject {
  readonly kind = 'device';
  readonly id: number;
  /** The table's, and the driver's: a user cannot destroy it. */
  users = 2;
  /** @internal */
  readonly context: Context;
  /** @internal */
  readonly endpoint: Endpoint;
  /** @internal */
  readonly group: IommuGroup;
  /** Its DMA: `access` and `post`. */
  readonly requester: Requester;
  /** Where its DMA goes while nothing is attached: nothing is mapped there. */
  readonly #blocked: Domain;
  readonly #pasids = new Map<number, Requester>();
  #bound = true;

  /** @internal */
  constructor(context: Context, id: number, options: BindOptions) {
    const op = 'bind';
    this.context = context;
    this.id = id;
    this.endpoint = endpointOf(op, context, options);
    this.group = options.group ?? new IommuGroup();
    if (options.cacheCoherent === false) {
      throw new IommuError('EINVAL', op, 'cacheCoherent is false; iommufd takes devices with coherent DMA only');
    }
    if (options.isolatedMsi === false) {
      throw new IommuError('EPERM', op, 'isolatedMsi is false; the device could raise the interrupts of others');
    }
    if (this.group.owner && this.group.owner !== context) {
      throw new IommuError('EBUSY', op, 'a device of its IOMMU group is bound to another iommufd');
    }
    context.mayFail(op, 'allocate', 'allocating the device');
    const { iommu, requesterId, domain, device } = this.endpoint;
    this.#blocked = iommu.domain(domain);
    try {
      this.requester = iommu.attach(requesterId, this.#blocked, device);
    } catch (error) {
      this.#blocked.close();
      throw error;
    }
    this.group.owner = context;
    this.group.bound++;
  }

  /** Its id, as HWPT_ALLOC and GET_HW_INFO take it. */
  get devId(): number {
    return this.id;
  }

  /** The HWPT that it is attached to; undefined: none. */
  get hwptId(): number | undefined {
    const attachment = this.group.attachments.get(NO_PASID);
    return attachment?.devices.has(this) ? attachment.hwpt.id : undefined;
  }

  /**
   * Attaches it to an IOAS, by an HWPT that the kernel finds or makes, or to an HWPT; returns the id of the HWPT.
   * ENOENT: no such id; EINVAL: neither of these, an HWPT that does not fit, or something else is attached to the
   * device's group; EADDRINUSE: its reserved regions or the aperture are in use; EFAULT, ENOMEM: the areas cannot be
   * mapped. Nothing is changed where it throws.
   */
  attach(ptId: number): number {
    return attach('attach', this.#live('attach'), NO_PASID, ptId);
  }

  /** Attaches the device's group to something else, at once. EINVAL: nothing is attached; else as `attach`. */
  replace(ptId: number): number {
    return replace('replace', this.#live('replace'), NO_PASID, ptId);
  }

  /** EINVAL: it is not attached. */
  detach(): void {
    detach('detach', this.#live('detach'), NO_PASID);
  }

  /** `attach` for requests with a PASID; the HWPT must be made for PASIDs. ENOTTY: only with uapi 'next'. */
  attachPasid(pasid: number, ptId: number): number {
    return attach('attachPasid', this.#withPasid('attachPasid', pasid), pasid, ptId);
  }

  replacePasid(pasid: number, ptId: number): number {
    return replace('replacePasid', this.#withPasid('replacePasid', pasid), pasid, ptId);
  }

  detachPasid(pasid: number): void {
    detach('detachPasid', this.#withPasid('detachPasid', pasid), pasid);
  }

  /** The DMA that it does with this PASID; undefined: nothing is attached to the PASID. */
  pasidRequester(pasid: number): Requester | undefined {
    return this.#pasids.get(pasid);
  }

  /** Detaches it and takes it out of the iommufd. */
  unbind(): void {
    this.#live('unbind');
    for (const [pasid, { devices }] of [...this.group.attachments]) {
      if (devices.has(this)) detach('unbind', this, pasid);
    }
    this.users--;
    this.context.objects.destroy('unbind', this);
  }

  /** Leads its DMA, of this PASID, into a domain; null: nowhere. @internal */
  lead(pasid: number, domain: Domain | NestedDomain | null): void {
    if (pasid === NO_PASID) {
      this.requester.attachTo(domain ?? this.#blocked);
      return;
    }
    const own = this.#pasids.get(pasid);
    if (domain && own) own.attachTo(domain);
    else if (domain) this.#pasids.set(pasid, this.requester.pasid(pasid, domain));
    else {
      own?.close();
      this.#pasids.delete(pasid);
    }
  }

  /** @internal */
  destroy(): void {
    this.#bound = false;
    this.requester.close();
    this.#blocked.close();
    if (--this.group.bound === 0) this.group.owner = undefined;
  }

  #live(op: string): this {
    if (this.#bound) return this;
    throw new IommuError('ENODEV', op, 'the device was unbound');
  }

  #withPasid(op: string, pasid: number): this {
    this.#live(op);
    if (!this.context.next)
      throw new IommuError('ENOTTY', op, "attaching PASIDs came after Linux 6.12; use uapi: 'next'");
    const { pasidBits } = this.endpoint.capabilities;
    if (Number.isInteger(pasid) && pasid > NO_PASID && pasid < 2 ** pasidBits) return this;
    const right = pasidBits > 0 ? `from 1 to ${2 ** pasidBits - 1}` : 'none: the device was bound with pasidBits 0';
    throw new IommuError('EINVAL', op, `pasid is ${pasid}; this device has ${right}`);
  }
}
