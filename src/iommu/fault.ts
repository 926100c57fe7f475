import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { faultReason, faultResponse, type FaultReason, type FaultResponse } from './access.ts';

/** A refused access, with what hardware records of it (SMMUv3, IHI 0070, 7.3). */
export interface Fault {
  readonly reason: FaultReason;
  /** The first byte that was not translated. */
  readonly iova: Address;
  /** The device's requester id. */
  readonly requesterId: number;
  /** The address space that the request named, if it named one. */
  readonly pasid?: number;
  /** READ, WRITE or both: what the request wanted. */
  readonly access: number;
  /** The stage of translation that refused; absent where none was begun. */
  readonly stage?: 1 | 2;
  /** What stage 2 was asked for, where it refused under a stage 1: a table of the guest's, or where its leaf leads. */
  readonly ipa?: Address;
  /** What the device got. */
  readonly response: FaultResponse;
  /** For `iommu.resume`, where it stalled: 16 bits. */
  readonly stallTag?: number;
  /** For `iommu.answerPageRequest`, where the device has asked for the page. */
  readonly pageRequest?: number;
}

const NO_IPA = 2n ** 64n - 1n;

/** The parts of a fault as the core has them. */
export interface FaultParts {
  readonly reason: number;
  readonly iova: Address;
  readonly requesterId: number;
  readonly pasid: number;
  readonly access: number;
  readonly stage: number;
  readonly ipa: Address;
  readonly response: number;
  readonly tag: number;
}

/** The fault with these parts. */
export function faultOf(op: string, parts: FaultParts): Fault {
  const { iova, requesterId, pasid, access, stage, tag } = parts;
  const reason = faultReason(parts.reason);
  if (!reason) throw new IommuError('EIO', op, `there is no fault reason ${parts.reason}`);
  const response = faultResponse(parts.response);
  return {
    reason,
    iova,
    requesterId,
    ...(pasid === layout.NO_PASID ? {} : { pasid }),
    access,
    ...(stage === 1 || stage === 2 ? { stage } : {}),
    ...(parts.ipa === NO_IPA ? {} : { ipa: parts.ipa }),
    response,
    ...(response === 'stalled' ? { stallTag: tag } : {}),
    ...(response === 'page-request' ? { pageRequest: tag } : {}),
  };
}

/** The event at core offset `at`. */
export function readEvent(core: Instance, op: string, at: number): Fault {
  return faultOf(op, {
    reason: core.load32(at + layout.EVENT_REASON),
    iova: core.loadAddress(at + layout.EVENT_IOVA),
    requesterId: core.load32(at + layout.EVENT_REQUESTER),
    pasid: core.load32(at + layout.EVENT_PASID),
    access: core.load32(at + layout.EVENT_ACCESS),
    stage: core.load32(at + layout.EVENT_STAGE),
    ipa: core.loadAddress(at + layout.EVENT_IPA),
    response: core.load32(at + layout.EVENT_RESPONSE),
    tag: core.load32(at + layout.EVENT_TAG),
  });
}
