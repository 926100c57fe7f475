import type { FormatName } from '../iommu/formats.ts';
import { updatePolicies, type UpdatePolicy } from '../iommu/update-policy.ts';
import { UsageError } from '../units/usage-error.ts';

/** How a system-IOMMU tracker comes to track the smallest leaves although larger ones are mapped. */
export interface ResizeStrategy {
  /** How an entry changes while devices use it. */
  readonly update: UpdatePolicy;
  /** `eager`: all leaves, from the moment that tracking starts. `lazy`: those that a read finds dirty, a level at a time. */
  readonly split: 'eager' | 'lazy';
  /** Whether everything is merged back after the last round, as for a guest that stays because its migration is given up. */
  readonly merge: boolean;
  /** What becomes of DMA that meets a broken leaf: it ends there, or (Arm) waits for the leaf and is tried again. */
  readonly fault: 'abort' | 'stall';
}

/** A suffix of a tracker's name, without its `+`. */
export interface Suffix {
  readonly name: string;
  /** What it does, as `wasm-iommu trackers` says it. */
  readonly about: string;
  readonly says: Partial<ResizeStrategy>;
}

const POLICIES: Record<Exclude<UpdatePolicy, 'wrong'>, string> = {
  direct: 'entries are swapped at once, then invalidated (AMD, x86; inferred for VT-d and RISC-V)',
  bbm: 'break before make: not present until the invalidation has completed; DMA in this window faults (SMMU BBML 0)',
  nt: 'kept out of the IOTLB by nT while it changes, two invalidations, no fault (SMMU BBML 1)',
  direct2: 'swapped at once; hardware resolves what is cached twice (SMMU BBML 2)',
};

const OTHERS: readonly Suffix[] = [
  {
    name: 'split=eager',
    about: 'all leaves are split to the smallest when tracking starts, step by step while the first round runs',
    says: { split: 'eager' },
  },
  {
    name: 'split=lazy',
    about:
      'a read splits the leaves that it finds dirty, one level at a time, with the flush that clearing needs anyway',
    says: { split: 'lazy' },
  },
  {
    name: 'merge',
    about: 'after the last round all is merged back under the DMA that goes on, as where a migration is given up',
    says: { merge: true },
  },
  {
    name: 'fault=abort',
    about: 'DMA that meets a broken leaf ends there, its bytes are lost',
    says: { fault: 'abort' },
  },
  {
    name: 'fault=stall',
    about:
      'DMA that meets a broken leaf waits and is tried again when the leaf is there (Arm; PCIe devices must not stall)',
    says: { fault: 'stall' },
  },
];

function isArm(format: FormatName): boolean {
  return format === 'armv8-s1' || format === 'armv8-s2';
}

/** The suffixes that a format's tracker has, policies first, its own policy before others. */
export function suffixesOf(format: FormatName): readonly Suffix[] {
  // Swapping where the hardware forbids it is no strategy: what comes of it is not defined, so there is nothing to compare.
  const policies = updatePolicies(format).filter((policy) => policy !== 'wrong');
  return [
    ...policies.map((update) => ({ name: update, about: POLICIES[update], says: { update } })),
    ...OTHERS.filter(({ says }) => says.fault !== 'stall' || isArm(format)),
  ];
}

function suffixNamed(tracker: string, format: FormatName, name: string): Suffix {
  const suffixes = suffixesOf(format);
  const found = suffixes.find((suffix) => suffix.name === name);
  if (found) return found;
  const has = suffixes.map((suffix) => `+${suffix.name}`).join(', ');
  throw new UsageError(`trackers: '${tracker}': iommu:${format} has no suffix '+${name}'; it has ${has}`);
}

/** The strategy that the suffixes of `tracker` ask for, in any order. UsageError: an unknown one, or one without effect. */
export function parseResizeStrategy(tracker: string, format: FormatName, names: readonly string[]): ResizeStrategy {
  const refuse = (why: string) => new UsageError(`trackers: '${tracker}': ${why}`);
  const asked: Partial<ResizeStrategy> = {};
  for (const { name, says } of names.map((name) => suffixNamed(tracker, format, name))) {
    const [field] = Object.keys(says) as (keyof ResizeStrategy)[];
    if (field in asked) throw refuse(`'+${name}' comes after another suffix that says the same or its opposite`);
    Object.assign(asked, says);
  }
  const { update = updatePolicies(format)[0], split, merge = false, fault } = asked;
  if (split === undefined) {
    throw refuse(`without '+split=eager' or '+split=lazy' no leaf changes, and the other suffixes have no effect`);
  }
  if (fault !== undefined && update !== 'bbm') {
    throw refuse(`'+fault=${fault}' has no effect with '${update}', which breaks no leaf; it goes with '+bbm'`);
  }
  return { update, split, merge, fault: fault ?? 'abort' };
}
