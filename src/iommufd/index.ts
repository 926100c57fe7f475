/** iommufd (Linux 6.12): an open /dev/iommu, and what drivers do with it. */
export type { Access as IommufdAccess, AccessOptions, PinOptions } from './access.ts';
export type { BindOptions, Capabilities, NestingKind } from './bind-options.ts';
export type { IommufdOptions, UapiLevel } from './context.ts';
export type { Device as IommufdDevice } from './device.ts';
export type { FaultQueue, PageFault, PageResponse } from './fault-queue.ts';
export { IommuGroup } from './iommu-group.ts';
export type { Interval as IovaInterval } from './interval.ts';
export { Iommufd } from './iommufd.ts';
export type { IommufdObject, ObjectKind } from './object-table.ts';
export type { NestedState } from './nested-hwpt.ts';
export { IOMMUFD_QUIRKS } from './quirks.ts';
export type { CompatInfo, VfioCompat } from './vfio-compat.ts';
