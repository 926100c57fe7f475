/** Memory of a user process, as the kernel's interfaces see it: pins, and bytes by address. */
export { PAGE_SIZE, type AddressSpace, type FrameRun } from './address-space.ts';
export type { GuestRam, GuestRamOptions } from './guest-ram.ts';
export type { PinnedRun } from './pin-counts.ts';
export { PlainAddressSpace, type MmapOptions, type VirtualRange } from './plain-address-space.ts';
export { WasmAddressSpace, type WasmAddressSpaceOptions } from './wasm-address-space.ts';
