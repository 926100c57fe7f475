import { IommuError } from '../errno/error.ts';
import type { Domain } from '../iommu/domain.ts';
import type { Requester } from '../iommu/requester.ts';
import type { BackingDomain } from './backing-domain.ts';
import type { BackedGroupOptions, GroupOptions } from './group-options.ts';
import type { Type1State } from './state.ts';
import { Type1Device, type OpenDeviceOptions } from './type1-device.ts';

/** What a group needs of its container. @internal */
export interface GroupHome {
  /** Undefined before SET_IOMMU, and once the group has left. */
  stateOf(group: Type1Group): Type1State | undefined;
  remove(group: Type1Group): void;
}

/** A group in a container (VFIO_GROUP_SET_CONTAINER). */
export class Type1Group {
  /** Undefined: emulated. @internal */
  readonly backed: BackedGroupOptions | undefined;
  /** Whether it writes only what it has pinned, as far as it has told. @internal */
  pinnedScope: boolean;
  /** @internal */
  backing: BackingDomain | undefined;
  /** @internal */
  readonly devices = new Set<Type1Device>();
  readonly #home: GroupHome;
  #requesters: Requester[] = [];

  /** @internal */
  constructor(home: GroupHome, options: GroupOptions) {
    this.#home = home;
    this.backed = 'emulated' in options ? undefined : options;
    this.pinnedScope = this.backed === undefined;
  }

  /** Opens a device (VFIO_GROUP_GET_DEVICE_FD). EINVAL: no IOMMU type is set, or the group left; ENODEV: no such device. */
  openDevice(options: OpenDeviceOptions = {}): Type1Device {
    const op = 'type1.openDevice';
    const state = this.#home.stateOf(this);
    if (!state) {
      throw new IommuError('EINVAL', op, 'the group is in no container whose IOMMU type is set');
    }
    const { requesterId } = options;
    const requester = this.#requesters.find(({ id }) => requesterId === undefined || id === requesterId);
    if (!requester && (this.backed || requesterId !== undefined)) {
      throw new IommuError('ENODEV', op, `requesterId is ${requesterId}, which the group does not have`);
    }
    const device = new Type1Device(state, this, requester, options);
    this.devices.add(device);
    return device;
  }

  /** Takes it out of its container (VFIO_GROUP_UNSET_CONTAINER). EBUSY: a device is open; EINVAL: it left before. */
  detach(): void {
    const op = 'type1.detach';
    if (this.devices.size > 0) {
      throw new IommuError('EBUSY', op, `${this.devices.size} devices of the group are open; close them first`);
    }
    this.#home.remove(this);
  }

  /** Puts its devices behind their IOMMU, into `domain`. @internal */
  enterDomain({ iommu, requesterIds }: BackedGroupOptions, domain: Domain): void {
    for (const id of requesterIds) this.#requesters.push(iommu.attach(id, domain));
  }

  /** @internal */
  moveTo(domain: Domain): void {
    for (const requester of this.#requesters) requester.attachTo(domain);
  }

  /** @internal */
  leaveDomain(): void {
    for (const requester of this.#requesters) requester.close();
    this.#requesters = [];
    this.backing = undefined;
  }
}
