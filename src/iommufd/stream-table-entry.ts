import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import type { Endpoint } from './bind-options.ts';
import { CD_BYTES, contextDescriptor } from './context-descriptor.ts';
import type { ReadGuest, Stage1 } from './stage1.ts';

/** The first two double words of a stream table entry: all that a guest sets. */
export type StreamTableEntry = readonly [bigint, bigint];

// What a guest may set in its stream table entry (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h): V, Config, S1Fmt,
// S1ContextPtr, S1CDMax in the first double word; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS in the second.
const ALLOWED = [0xf80fffffffffffffn, 0x380000ffn] as const;
const VALID = 1n;
const CONFIG = { abort: 0, bypass: 4, translate: 5 } as const;
/** Values of S1DSS other than to terminate. */
const DSS = { bypass: 1, first: 2 } as const;
const CONTEXT_PTR = 0xff_ffff_ffff_ffc0n;
const L2_PTR = 0xf_ffff_ffff_f000n;
const STALLD = 1n << 27n;

function configOf(ste: StreamTableEntry): number {
  return Number((ste[0] >> 1n) & 7n);
}

/** Whether a guest may set this (arm_smmu_validate_vste); of EATS, no ATS or full ATS. */
function isGuestEntry(ste: readonly bigint[]): boolean {
  const known = ste.every((word, i) => (word & ~ALLOWED[i]) === 0n);
  const config = Number((ste[0] >> 1n) & 7n);
  return known && Object.values<number>(CONFIG).includes(config) && ((ste[1] >> 28n) & 3n) <= 1n;
}

/** The entry that the driver takes: what is not valid becomes all zeros. EIO: one that a guest may not set. */
export function checkEntry(op: string, ste: readonly bigint[]): StreamTableEntry {
  if ((ste[0] & VALID) === 0n) return [0n, 0n];
  if (isGuestEntry(ste)) return [ste[0], ste[1]];
  const shown = ste.map((word) => hex(word)).join(', ');
  throw new IommuError('EIO', op, `the stream table entry ${shown} is not one that a guest may set`);
}

/**
 * What the entry means for requests without a PASID (SMMUv3, IHI 0070, 5.2): nothing passes, stage 2 alone, or the
 * context descriptor at S1ContextPtr. SMMU_IDR1.SSIDSIZE is the device's `pasidBits`. Descriptors of other substreams
 * have no effect, and neither has EATS: a device does ATS if it was bound so. EOPNOTSUPP: see contextDescriptor.
 */
export function stage1Of(op: string, ste: StreamTableEntry, endpoint: Endpoint, read: ReadGuest): Stage1 {
  const abort = (why: string): Stage1 => ({ kind: 'abort', why });
  if ((ste[0] & VALID) === 0n) return abort('STE.V is 0');
  if (configOf(ste) === CONFIG.abort) return abort('STE.Config is 0');
  if (configOf(ste) === CONFIG.bypass) return { kind: 'bypass' };
  const { pasidBits } = endpoint.capabilities;
  const cdMax = pasidBits === 0 ? 0 : Number(ste[0] >> 59n);
  if (cdMax > pasidBits) return abort(`STE.S1CDMax is ${cdMax}; the device has PASIDs of ${pasidBits} bits`);
  const dss = Number(ste[1] & 3n);
  if (cdMax > 0 && dss === DSS.bypass) return { kind: 'bypass' };
  if (cdMax > 0 && dss !== DSS.first) return abort(`STE.S1DSS is ${dss}: requests without a PASID are terminated`);
  const at = descriptorAt(ste, cdMax > 0, read);
  if (typeof at === 'string') return abort(at);
  const words = [read(at), read(at + 8n)];
  if (words.some((word) => word === undefined)) {
    return abort(`the context descriptor at ${hex(at)}, ${CD_BYTES} bytes, cannot be read through stage 2`);
  }
  return contextDescriptor(op, words[0]!, words[1]!, (ste[1] & STALLD) !== 0n);
}

/** Guest-physical address of descriptor 0, or why there is none. */
function descriptorAt(ste: StreamTableEntry, several: boolean, read: ReadGuest): bigint | string {
  const pointer = ste[0] & CONTEXT_PTR;
  const format = Number((ste[0] >> 4n) & 3n);
  if (!several || format === 0 || format === 3) return pointer;
  const first = read(pointer);
  if (first === undefined) return `the table of context descriptors at ${hex(pointer)} cannot be read through stage 2`;
  return first & 1n ? first & L2_PTR : 'the first entry of the table of context descriptors is not valid';
}
