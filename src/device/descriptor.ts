import type { Address } from '../wasm/address.ts';

/** Bytes of a descriptor in a queue. All fields are little-endian. */
export const DESCRIPTOR_BYTES = 32;
/** Where in a descriptor the device writes its completion: status u32, bytes moved u32. */
export const COMPLETION_OFFSET = 24;
export const COMPLETION_BYTES = 8;

/** Flag: from local memory to `iova`; without it from `iova` to local memory. */
export const TO_IOVA = 1;
/** Flag: an interrupt when it is done. */
export const INTERRUPT = 2;

/** Most bytes that one descriptor moves. */
export const MAX_TRANSFER = 2 ** 20;

/** What a descriptor's status says once the device has executed it; 0 before. */
export const COMPLETION = {
  done: 1,
  /** The IOMMU refused it; nothing was moved. */
  fault: 2,
  /**
   * Its length is 0 or above MAX_TRANSFER, it reaches beyond local memory or 2^64, or has unknown flags; nothing was
   * moved.
   */
  invalid: 3,
  /**
   * Nobody had some of the bytes that were to be read: they read as 0xff. What nobody takes is lost and is `done`:
   * writes are posted.
   */
  unclaimed: 4,
} as const;

/** One order to a queue: move `length` bytes between `iova` and byte `local` of local memory. */
export interface Descriptor {
  readonly iova: Address;
  readonly local: number;
  readonly length: number;
  /** TO_IOVA, INTERRUPT. */
  readonly flags: number;
}

/**
 * A descriptor as bytes, not executed yet.
 *
 *     0         8         12        16        20        24        28        32
 *     ┌─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────┐
 *     │ iova u64│ local   │ length  │ flags   │ 0       │ status  │ moved   │
 *     └─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┘
 */
export function descriptorBytes(descriptor: Descriptor): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(descriptor.iova), true);
  view.setUint32(8, descriptor.local, true);
  view.setUint32(12, descriptor.length, true);
  view.setUint32(16, descriptor.flags, true);
  return bytes;
}
