import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';

/** A mapping lets reads through, or an access reads. */
export const READ = layout.ACCESS_READ;
/** A mapping lets writes through, or an access writes. */
export const WRITE = layout.ACCESS_WRITE;

/** What a device gets for a request that faults: see FaultPolicy; 'page-request' where it has ATS and PRI. */
export type FaultResponse = 'abort' | 'ignored' | 'stalled' | 'page-request';

const RESPONSES: readonly FaultResponse[] = ['abort', 'ignored', 'stalled', 'page-request'];

/** The response with the core's number `code`. */
export function faultResponse(code: number): FaultResponse {
  return RESPONSES[code];
}

/** READ, WRITE or READ | WRITE; else EINVAL that names `name`. */
export function checkAccess(op: string, name: string, access: number): number {
  if (access === READ || access === WRITE || access === (READ | WRITE)) return access;
  throw new IommuError('EINVAL', op, `${name} is ${access}; it must be READ, WRITE or READ | WRITE`);
}

/** Why a DMA request was refused. */
export type FaultReason = 'translation' | 'permission' | 'address-size' | 'bad-stream' | 'tlb-conflict' | 'walk-abort';

const REASONS: readonly (FaultReason | undefined)[] = [
  undefined,
  'translation',
  'permission',
  'address-size',
  'bad-stream',
  'tlb-conflict',
  'walk-abort',
];

/** The reason with the core's number `code`, undefined for none. */
export function faultReason(code: number): FaultReason | undefined {
  return REASONS[code];
}
