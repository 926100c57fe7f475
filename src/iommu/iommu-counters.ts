import * as layout from '../../assembly/layout.ts';
import type { Instance } from '../wasm/instance.ts';

/** What an IOMMU has counted since it was made. */
export interface IommuCounters {
  readonly hits: number;
  readonly misses: number;
  /** Invalidation commands. */
  readonly invalidations: number;
  readonly evictions: number;
  /** Page-table entries read by walks. */
  readonly walkReads: number;
  /** Entries that hardware made dirty. */
  readonly dirtyUpdates: number;
}

/** What its walk cache and the caches of its devices have counted. */
export interface CacheCounters {
  /** Walks that began at a cached table, and those that began at the root, where there is a walk cache. */
  readonly walkCacheHits: number;
  readonly walkCacheMisses: number;
  /** Of all devices with ATS; a miss is a translation request. */
  readonly atcHits: number;
  readonly atcMisses: number;
  /** Invalidation requests sent to devices. */
  readonly atcInvalidations: number;
}

/** Requests that faulted, by what became of them. */
export interface FaultCounters {
  /** Aborted and recorded, or meant to be. */
  readonly aborts: number;
  /** Aborted without a record; translation requests of devices without PRI are among them. */
  readonly silentAborts: number;
  /** Read as zero, or write ignored. */
  readonly ignored: number;
  /** Stalled; each is retried, terminated, or waits. */
  readonly stalls: number;
  readonly stallRetries: number;
  readonly stallTerminates: number;
  readonly pageRequests: number;
  /** Records that found the event queue full, since the IOMMU was made. */
  readonly recordsLost: number;
}

/** The counters of the IOMMU whose slot is at core offset `slot`. */
export function readCounters(core: Instance, slot: number): IommuCounters {
  return {
    hits: core.load64(slot + layout.IOMMU_HITS),
    misses: core.load64(slot + layout.IOMMU_MISSES),
    invalidations: core.load64(slot + layout.IOMMU_INVALIDATIONS),
    evictions: core.load64(slot + layout.IOMMU_EVICTIONS),
    walkReads: core.load64(slot + layout.IOMMU_WALK_READS),
    dirtyUpdates: core.load64(slot + layout.IOMMU_DIRTY_UPDATES),
  };
}

/** The same of its other caches. */
export function readCacheCounters(core: Instance, slot: number): CacheCounters {
  return {
    walkCacheHits: core.load64(slot + layout.IOMMU_WALK_HITS),
    walkCacheMisses: core.load64(slot + layout.IOMMU_WALK_MISSES),
    atcHits: core.load64(slot + layout.IOMMU_ATC_HITS),
    atcMisses: core.load64(slot + layout.IOMMU_ATC_MISSES),
    atcInvalidations: core.load64(slot + layout.IOMMU_ATC_INVALIDATIONS),
  };
}

/** The same of its faults. */
export function readFaultCounters(core: Instance, slot: number): FaultCounters {
  const at = core.load32(slot + layout.IOMMU_WAITING);
  return {
    aborts: core.load64(at + layout.OUTCOME_ABORTS),
    silentAborts: core.load64(at + layout.OUTCOME_SILENT_ABORTS),
    ignored: core.load64(at + layout.OUTCOME_IGNORED),
    stalls: core.load64(at + layout.OUTCOME_STALLS),
    stallRetries: core.load64(at + layout.OUTCOME_STALL_RETRIES),
    stallTerminates: core.load64(at + layout.OUTCOME_STALL_TERMINATES),
    pageRequests: core.load64(at + layout.OUTCOME_PAGE_REQUESTS),
    recordsLost: core.load64(at + layout.OUTCOME_RECORDS_LOST),
  };
}
