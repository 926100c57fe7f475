import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';

/** A mapping lets reads through, or an access reads. */
export const READ = layout.ACCESS_READ;
/** A mapping lets writes through, or an access writes. */
export const WRITE = layout.ACCESS_WRITE;

/** READ, WRITE or READ | WRITE; else EINVAL that names `name`. */
export function checkAccess(op: string, name: string, access: number): number {
  if (access === READ || access === WRITE || access === (READ | WRITE)) return access;
  throw new IommuError('EINVAL', op, `${name} is ${access}; it must be READ, WRITE or READ | WRITE`);
}

/** Why a DMA request was refused. */
export type FaultReason = 'translation' | 'permission' | 'address-size' | 'bad-stream';

const REASONS: readonly (FaultReason | undefined)[] = [
  undefined,
  'translation',
  'permission',
  'address-size',
  'bad-stream',
];

/** The reason with the core's number `code`, undefined for none. */
export function faultReason(code: number): FaultReason | undefined {
  return REASONS[code];
}
