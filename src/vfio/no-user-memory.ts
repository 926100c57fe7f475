import type { AddressSpace } from '../address-space/address-space.ts';

/** Memory of a process that has none: every user address is a fault. For who hands over bytes only. */
export const NO_USER_MEMORY: AddressSpace = {
  pin: () => undefined,
  unpin: () => undefined,
  read: () => false,
  write: () => false,
  readFrame: () => false,
  writeFrame: () => false,
};
