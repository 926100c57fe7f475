/** VFIO type1 (Linux 6.12): an open /dev/vfio/vfio, its groups, and what drivers do with it. */
export { Type1Container, type DirtyPagesOptions, type MapDmaOptions, type UnmapDmaOptions } from './container.ts';
export type { Type1Group } from './group.ts';
export type { BackedGroupOptions, EmulatedGroupOptions, GroupOptions, ReservedRegion } from './group-options.ts';
export type { Type1Info } from './info.ts';
export { TYPE1_QUIRKS, type Type1QuirkName } from './quirks.ts';
export type { OpenDeviceOptions, Type1Device } from './type1-device.ts';
export type { Type1Options } from './type1-options.ts';
export type { IovaSpan } from './valid-ranges.ts';
