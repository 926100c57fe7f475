import * as layout from '../../assembly/layout.ts';
import type { Tables } from './flush.ts';

/** What has come of changes of leaf sizes since a domain was made. */
export interface ResizeCounts {
  /** Leaves, and blocks to merge, that were made not present for a while. */
  readonly broken: number;
  /** Leaves that were split, those in passing included. */
  readonly split: number;
  /** Leaves that merges have made. */
  readonly merged: number;
}

export function resizeCounts({ core, domain }: Pick<Tables, 'core' | 'domain'>): ResizeCounts {
  const slot = core.slot(domain, 'domain.resizes');
  return {
    broken: core.load32(slot + layout.DOMAIN_BROKEN),
    split: core.load32(slot + layout.DOMAIN_SPLIT),
    merged: core.load32(slot + layout.DOMAIN_FUSED),
  };
}
