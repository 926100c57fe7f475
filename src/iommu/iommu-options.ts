import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkGeometry } from './geometry.ts';

/** Sets (a power of two) x ways of a cache; replacement is least recently used. */
export interface CacheGeometry {
  readonly sets: number;
  readonly ways: number;
}

/** Geometry of an IOMMU. */
export interface IommuOptions {
  /** Default 64 sets x 8 ways. */
  readonly iotlb?: CacheGeometry;
  /** A cache of page tables, in which walks begin. Default none. */
  readonly walkCache?: CacheGeometry;
  /** Requests that the ring holds, 1 .. 65,536. Default 4096. */
  readonly requests?: number;
  /** Faults that the event queue holds, 1 .. 65,536. Default 256. */
  readonly events?: number;
  /** Requests that can stall at a time, 1 .. 65,536 (SMMU_IDR5.STALL_MAX). Default 64. */
  readonly stalls?: number;
  /** Page requests that can wait at a time, 1 .. 65,536. Default 32. */
  readonly pageRequests?: number;
  /**
   * What an invalidation of a range drops, and counts as. `exact` (default): what overlaps the range, as one command. `vendor`: as
   * the format's vendor encodes it: amdv1 by blocks, vtdss and x86_64 by address masks, Arm by ranges, riscv by pages; mock2k
   * is of no vendor and stays exact.
   */
  readonly invalidation?: 'exact' | 'vendor';
  /** Whether an SMMU has range commands (SMMU_IDR3.RIL); with `invalidation: 'vendor'` only. Default true. */
  readonly rangeInvalidation?: boolean;
  /** Memory in which guests keep tables of their own (`core.ram`), for nested domains. Default none. */
  readonly ram?: TableMemory;
}

/** Memory with tables of guests, as an IOMMU needs it. */
export interface TableMemory {
  readonly handle: number;
  /** @internal */
  handleIn(core: Instance, op: string): number;
}

/** The options with defaults filled in, as the core takes them. */
export interface IommuShape {
  readonly iotlb: CacheGeometry;
  readonly walkCache: CacheGeometry | undefined;
  readonly requests: number;
  readonly events: number;
  readonly stalls: number;
  readonly pageRequests: number;
  /** INVALIDATION_*. */
  readonly mode: number;
}

function modeOf(op: string, { invalidation = 'exact', rangeInvalidation }: IommuOptions): number {
  if (invalidation !== 'exact' && invalidation !== 'vendor') {
    throw new IommuError('EINVAL', op, `invalidation is '${String(invalidation)}'; it must be 'exact' or 'vendor'`);
  }
  if (invalidation === 'vendor') {
    return layout.INVALIDATION_VENDOR | ((rangeInvalidation ?? true) ? layout.INVALIDATION_RANGES : 0);
  }
  if (rangeInvalidation === undefined) return 0;
  throw new IommuError('EINVAL', op, "rangeInvalidation is given; it needs invalidation: 'vendor'");
}

/** Works the options out. EINVAL names the one that is wrong. */
export function iommuShape(op: string, options: IommuOptions): IommuShape {
  const { iotlb = { sets: 64, ways: 8 }, walkCache } = options;
  const { requests = 4096, events = 256, stalls = 64, pageRequests = 32 } = options;
  checkGeometry(op, 'iotlb', iotlb.sets, iotlb.ways);
  if (walkCache) checkGeometry(op, 'walkCache', walkCache.sets, walkCache.ways);
  for (const [name, value] of Object.entries({ requests, events, stalls, pageRequests })) {
    if (Number.isInteger(value) && value >= 1 && value <= 65536) continue;
    throw new IommuError('EINVAL', op, `${name} is ${value}; it must be an integer from 1 to 65536`);
  }
  return { iotlb, walkCache, requests, events, stalls, pageRequests, mode: modeOf(op, options) };
}
