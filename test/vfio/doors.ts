import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { errnoName } from '../../src/errno/errno.ts';
import type { AnyStruct } from '../../src/uapi/struct.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import { DEVICE_FEATURES, type FeatureData } from '../../src/vfio/device-feature.ts';
import { codeOf } from '../core/builds.ts';

export const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];
export const DEVICE_FEATURE = 0x3b75;
export const DEVICE_RESET = 0x3b6f;

/** Where requests lie in user memory; the page behind is read-only, the one behind that is missing. */
export const WRITABLE = 0x10000n;
export const READ_ONLY = 0x11000n;
export const MISSING = 0x12000n;

/** User memory with those pages. */
export function userMemory(): PlainAddressSpace {
  const space = new PlainAddressSpace();
  space.mmap({ va: WRITABLE, length: 4096 });
  space.mmap({ va: READ_ONLY, length: 4096, writable: false });
  return space;
}

/** Writes `bytes` to user memory, read-only pages included. */
export function poke(space: PlainAddressSpace, va: bigint, bytes: Uint8Array): void {
  space.mprotect({ va: READ_ONLY, length: 4096, writable: true });
  if (!space.write(va, bytes)) throw new Error(`nothing is mapped at ${va}`);
  space.mprotect({ va: READ_ONLY, length: 4096, writable: false });
}

/** The bytes of a request: header, then the feature's data. */
export function request(flags: number, data: FeatureData = {}, argsz?: number): Uint8Array {
  const struct = DEVICE_FEATURES.find(({ id }) => id === (flags & 0xffff))?.data as (AnyStruct & Encode) | undefined;
  const bytes = new Uint8Array(8 + (struct?.size ?? 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, argsz ?? bytes.length, true);
  view.setUint32(4, flags, true);
  struct?.encode(data, bytes.subarray(8));
  return bytes;
}

interface Encode {
  encode(value: FeatureData, into: Uint8Array): void;
}

/** The name of the errno that an ioctl returned; `none` for 0. */
export function codeOfResult(result: number): string {
  return result === 0 ? 'none' : (errnoName(-result) ?? String(result));
}

/** What came of a request. */
export interface Outcome {
  readonly code: string;
  /** What was written back; undefined after an error. */
  readonly out: FeatureData | undefined;
}

/** The request through the typed door. */
export function typed(device: VfioDevice, flags: number, data: FeatureData = {}): Outcome {
  let out: FeatureData | undefined;
  const code = codeOf(() => (out = device.deviceFeature(flags, data)));
  return { code, out };
}

/** The request through the binary door, its bytes handed over; what it wrote back as the typed door would return it. */
export function binary(device: VfioDevice, flags: number, data: FeatureData = {}): Outcome {
  const bytes = request(flags, data);
  const code = codeOfResult(device.ioctl(DEVICE_FEATURE, bytes));
  const feature = DEVICE_FEATURES.find(({ id }) => id === (flags & 0xffff));
  if (code !== 'none') return { code, out: undefined };
  return { code, out: flags & PROBE || !feature?.writes ? {} : feature.data!.decode(bytes.subarray(8)) };
}
