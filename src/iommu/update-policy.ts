import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { FormatInfo, FormatName } from './formats.ts';

/**
 * How a driver changes the size of a leaf, a leaf against a table that translates the same, while devices use it.
 *
 * - `direct`: the entry is swapped, then invalidated. AMD and x86 tables allow it (Linux generic_pt marks both so); for VT-d second stage and
 *   RISC-V, whose specifications let hardware use either translation until the invalidation, it is inferred.
 * - `bbm`: break before make. The entry is made not present, invalidated, and only then written anew: what every SMMU allows, and the
 *   only way at level 0 of IDR3.BBML. DMA in between meets an entry that is not present.
 * - `nt`: level 1. The block is kept out of the TLB by its nT bit, invalidated, swapped, invalidated. No DMA faults; until the
 *   swap each of them walks.
 * - `direct2`: level 2. Swapped, then invalidated; hardware resolves what it has cached twice.
 * - `wrong`: swapped at level 0 all the same, to show what that breaks (`conflict`).
 *
 * Arm ARM (DDI 0487) D8.17; SMMUv3 (IHI 0070) 3.21.1; Linux drivers/iommu/generic_pt.
 */
export type UpdatePolicy = 'direct' | 'bbm' | 'nt' | 'direct2' | 'wrong';

const CODES: Record<UpdatePolicy, number> = {
  direct: layout.UPDATE_DIRECT,
  bbm: layout.UPDATE_BBM,
  nt: layout.UPDATE_NT,
  direct2: layout.UPDATE_DIRECT2,
  wrong: layout.UPDATE_WRONG,
};

const ARM: readonly FormatName[] = ['armv8-s1', 'armv8-s2'];

/** The policies that a format has, its own first. Anybody may break before make; the levels of BBML are Arm's. */
export function updatePolicies(format: FormatName): readonly UpdatePolicy[] {
  return ARM.includes(format) ? ['bbm', 'nt', 'direct2', 'wrong'] : ['direct', 'bbm'];
}

/** The policy asked for, the format's own where none is. EINVAL: one that the format lacks. */
export function checkUpdatePolicy(op: string, format: FormatInfo, policy: UpdatePolicy | undefined): UpdatePolicy {
  const policies = updatePolicies(format.name);
  if (policy === undefined) return policies[0];
  if (policies.includes(policy)) return policy;
  throw new IommuError('EINVAL', op, `update is '${policy}'; ${format.name} has ${policies.join(', ')}`);
}

/** The core's number of a policy. */
export function updateCode(policy: UpdatePolicy): number {
  return CODES[policy];
}

/**
 * What hardware does with a request that meets a leaf in the IOTLB and another in the tables, where the update was `wrong` (SMMUv3 3.21.1:
 * constrained unpredictable). `any`, the default, is one of the others each time, by a fixed sequence.
 *
 * - `old`: goes on with what is cached; a dirty update is lost.
 * - `new`: takes what the tables say.
 * - `amalgam`: mixes both; what it then caches says dirty, and memory does not.
 * - `abort`: F_TLB_CONFLICT.
 * - `dirty-missed`: takes the new leaf without a dirty update.
 */
export type ConflictOutcome = 'any' | 'old' | 'new' | 'amalgam' | 'abort' | 'dirty-missed';

const CONFLICTS: Record<ConflictOutcome, number> = {
  any: layout.CONFLICT_ANY,
  old: layout.CONFLICT_OLD,
  new: layout.CONFLICT_NEW,
  amalgam: layout.CONFLICT_AMALGAM,
  abort: layout.CONFLICT_ABORT,
  'dirty-missed': layout.CONFLICT_DIRTY_MISSED,
};

/** The core's number of an outcome. EINVAL: none, or one where nothing conflicts. */
export function conflictCode(op: string, update: UpdatePolicy, outcome: ConflictOutcome | undefined): number {
  if (outcome === undefined) return layout.CONFLICT_ANY;
  if (update !== 'wrong') {
    throw new IommuError(
      'EINVAL',
      op,
      `conflict is '${outcome}'; only update 'wrong' has conflicts, and this is '${update}'`,
    );
  }
  if (Object.hasOwn(CONFLICTS, outcome)) return CONFLICTS[outcome];
  throw new IommuError('EINVAL', op, `conflict is '${outcome}'; there are ${Object.keys(CONFLICTS).join(', ')}`);
}
