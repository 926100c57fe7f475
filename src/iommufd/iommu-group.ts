import type { Context } from './context.ts';
import type { Device } from './device.ts';
import type { Hwpt } from './nested-hwpt.ts';

/** What the devices of a group are attached to, by one PASID or by their requester ids. */
export interface Attachment {
  hwpt: Hwpt;
  readonly devices: Set<Device>;
}

/** No PASID: what is attached by requester id (IOMMU_NO_PASID). */
export const NO_PASID = 0;

/** Devices that an IOMMU cannot tell apart: they are owned together, and share what they are attached to. */
export class IommuGroup {
  /** The iommufd that owns the group's DMA, while a device of it is bound. @internal */
  owner: Context | undefined;
  /** Bound devices. @internal */
  bound = 0;
  /** By PASID. @internal */
  readonly attachments = new Map<number, Attachment>();
}
