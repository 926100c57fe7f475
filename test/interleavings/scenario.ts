import type { AtsOptions } from '../../src/iommu/attach-options.ts';
import type { IommuOptions } from '../../src/iommu/iommu-options.ts';
import type { ReadOrder } from '../../src/iommu/dirty-read.ts';
import type { FormatName, GranuleName } from '../../src/iommu/formats.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { QuirkName } from '../../src/iommu/quirks.ts';
import type { UpdatePolicy } from '../../src/iommu/update-policy.ts';
import { Prng } from '../../src/random/prng.ts';

export const PAGE = 4096;
const KIB = 1024;
const MIB = 1024 * KIB;

/** What finds the written pages: the I/O page table's dirty bits, or a log that the device keeps. */
export type TrackerKind = 'iommu' | 'device-log';

/** A migration's order of work: `safe`, one of the wrong orders, or `no-clear`, which loses nothing and reports too much. */
export type Order = ReadOrder | 'copy-before-return' | 'final-read-while-running' | 'no-clear';

/** A format and the leaves that the memory is mapped with. */
export interface Mapping {
  readonly name: string;
  readonly format: FormatName;
  readonly granule?: GranuleName;
  readonly leafBytes: number;
  /** What leaves are split into and merged from, while everything runs. */
  readonly partBytes?: number;
  /** Leaves are split by the reads that find them dirty, instead of by whoever merges them. */
  readonly lazy?: boolean;
  readonly update?: UpdatePolicy;
  readonly leaves: number;
}

/** Every format, with each leaf size of which a few make a small memory. */
export const MAPPINGS: readonly Mapping[] = [
  { name: 'amdv1 4K', format: 'amdv1', leafBytes: 4 * KIB, leaves: 4 },
  { name: 'amdv1 8K', format: 'amdv1', leafBytes: 8 * KIB, leaves: 3 },
  { name: 'amdv1 32K', format: 'amdv1', leafBytes: 32 * KIB, leaves: 2 },
  { name: 'amdv1 2M', format: 'amdv1', leafBytes: 2 * MIB, leaves: 2 },
  { name: 'vtdss 4K', format: 'vtdss', leafBytes: 4 * KIB, leaves: 4 },
  { name: 'vtdss 2M', format: 'vtdss', leafBytes: 2 * MIB, leaves: 2 },
  { name: 'armv8-s1 4K', format: 'armv8-s1', granule: '4K', leafBytes: 4 * KIB, leaves: 4 },
  { name: 'armv8-s1 2M', format: 'armv8-s1', granule: '4K', leafBytes: 2 * MIB, leaves: 2 },
  { name: 'armv8-s1 64K', format: 'armv8-s1', granule: '64K', leafBytes: 64 * KIB, leaves: 2 },
  { name: 'armv8-s2 4K', format: 'armv8-s2', granule: '4K', leafBytes: 4 * KIB, leaves: 4 },
  { name: 'armv8-s2 16K', format: 'armv8-s2', granule: '16K', leafBytes: 16 * KIB, leaves: 3 },
  { name: 'x86_64 4K', format: 'x86_64', leafBytes: 4 * KIB, leaves: 4 },
  { name: 'riscv 4K', format: 'riscv', leafBytes: 4 * KIB, leaves: 4 },
];

/** Leaves that change size, each by the rule of its format. */
const SIZES: readonly Mapping[] = [
  { name: 'amdv1 32K in 4K', format: 'amdv1', leafBytes: 32 * KIB, partBytes: 4 * KIB, leaves: 2 },
  { name: 'amdv1 32K in 16K', format: 'amdv1', leafBytes: 32 * KIB, partBytes: 16 * KIB, leaves: 3 },
  { name: 'amdv1 2M in 512K', format: 'amdv1', leafBytes: 2 * MIB, partBytes: 512 * KIB, leaves: 2 },
  { name: 'vtdss 2M in 4K', format: 'vtdss', leafBytes: 2 * MIB, partBytes: 4 * KIB, leaves: 1 },
  { name: 'x86_64 2M in 4K', format: 'x86_64', leafBytes: 2 * MIB, partBytes: 4 * KIB, leaves: 1 },
  { name: 'riscv 2M in 4K', format: 'riscv', leafBytes: 2 * MIB, partBytes: 4 * KIB, leaves: 1 },
  { name: 'mock2k 1M in 2K', format: 'mock2k', leafBytes: MIB, partBytes: 2 * KIB, leaves: 1 },
];

const ARM: readonly Mapping[] = [
  { name: 'armv8-s1 2M in 4K', format: 'armv8-s1', leafBytes: 2 * MIB, partBytes: 4 * KIB, leaves: 1 },
  { name: 'armv8-s1 64K in 4K', format: 'armv8-s1', leafBytes: 64 * KIB, partBytes: 4 * KIB, leaves: 2 },
  { name: 'armv8-s2 2M in 4K', format: 'armv8-s2', leafBytes: 2 * MIB, partBytes: 4 * KIB, leaves: 1 },
];

function withUpdate(mapping: Mapping, update: UpdatePolicy): Mapping {
  return { ...mapping, update, name: `${mapping.name} ${update}` };
}

/** Leaves that change size by every sound policy, split by whoever merges them or by reads. */
export const RESIZED: readonly Mapping[] = [
  ...SIZES.map((mapping) => withUpdate(mapping, 'direct')),
  ...SIZES.slice(0, 4).map((mapping) => withUpdate(mapping, 'bbm')),
  ...ARM.flatMap((mapping) => (['bbm', 'nt', 'direct2'] as const).map((update) => withUpdate(mapping, update))),
].flatMap((mapping) => [mapping, { ...mapping, lazy: true, name: `${mapping.name} lazily` }]);

/** What a machine has beside an IOTLB, and how commands are encoded. */
export interface Hardware {
  readonly name: string;
  readonly iommu?: Pick<IommuOptions, 'walkCache' | 'invalidation' | 'rangeInvalidation'>;
  /** Each device has such a cache. */
  readonly ats?: AtsOptions;
}

const WALK_CACHE = { sets: 1, ways: 2 };
const SMALL_ATC = { sets: 1, ways: 2 };

/** Small caches, so that entries come and go. */
export const HARDWARE: readonly Hardware[] = [
  { name: 'a walk cache', iommu: { walkCache: WALK_CACHE } },
  { name: 'vendor commands', iommu: { walkCache: WALK_CACHE, invalidation: 'vendor' } },
  { name: 'vendor commands without ranges', iommu: { invalidation: 'vendor', rangeInvalidation: false } },
  { name: 'ATS', ats: SMALL_ATC },
  { name: 'ATS that always asks for write', ats: { ...SMALL_ATC, requestWrite: 'always' } },
  { name: 'ATS, vendor commands', iommu: { walkCache: WALK_CACHE, invalidation: 'vendor' }, ats: SMALL_ATC },
];

/**
 * Somebody takes leaves of the memory itself away and gives them back, while DMA to them waits. What they say of dirtiness goes into
 * the next report: read before, with or without clearing it; or it is forgotten.
 */
export type Swapping = 'read' | 'read-and-clear' | 'forget';

/** A DMA; offsets from the start of the memory. Beyond its end lies one leaf that comes and goes. */
export interface Dma {
  readonly offset: number;
  readonly length: number;
  readonly access: number;
}

/** What devices and migration do; the interleaving is left open. */
export interface Scenario {
  readonly mapping: Mapping;
  readonly tracker: TrackerKind;
  /** Devices, their queues, the DMA of each queue in order. */
  readonly devices: readonly (readonly (readonly Dma[])[])[];
  /** Reads of the dirty state before the final one. */
  readonly rounds: number;
  readonly iotlb: NonNullable<IommuOptions['iotlb']>;
  /** True: the migration enables tracking and copies everything, against running devices; false: both lie behind it. */
  readonly fromStart: boolean;
  /** Pages that one step of a copy may take: those reported among that many, from a multiple of it on. */
  readonly copyPages: number;
  /** How often the leaf behind the memory is mapped and unmapped. */
  readonly remaps: number;
  /** The leaf behind the memory lies in a table of its own, and takes turns with another one. */
  readonly far?: boolean;
  readonly hardware?: Hardware;
  readonly quirks?: readonly QuirkName[];
  /** Reads go in queries of so many bytes. Default: one. */
  readonly queryBytes?: number;
  readonly swapping?: Swapping;
}

/** Few pages, at the borders of leaves, so that DMA, clearing and copying meet. */
function randomDma(prng: Prng, mapping: Mapping, remaps: number): Dma {
  const { leafBytes, leaves } = mapping;
  const access = prng.below(4) === 0 ? READ : WRITE;
  if (remaps > 0 && prng.below(6) === 0) return { offset: leaves * leafBytes, length: 64, access };
  const pagesOfLeaf = leafBytes / PAGE;
  const page = [0, 1 % pagesOfLeaf, pagesOfLeaf - 1][prng.below(3)];
  const offset = prng.below(leaves) * leafBytes + page * PAGE + prng.below(PAGE);
  const length = [1, 1 + prng.below(PAGE), 2 * PAGE][prng.below(3)];
  return { offset, length: Math.min(length, leaves * leafBytes - offset), access };
}

/** The scenario of a seed: one to two devices, two to four queues together, one to three rounds. */
export function randomScenario(seed: number, mapping: Mapping, tracker: TrackerKind): Scenario {
  const prng = new Prng(seed);
  const remaps = prng.below(3);
  const queue = () => Array.from({ length: 1 + prng.below(4) }, () => randomDma(prng, mapping, remaps));
  const queues = (most: number) => Array.from({ length: 1 + prng.below(most) }, queue);
  return {
    mapping,
    tracker,
    devices: [queues(2), queues(2)].slice(prng.below(2)),
    rounds: 1 + prng.below(3),
    iotlb: { sets: 2 ** prng.below(3), ways: 1 + prng.below(3) },
    // Rare, as it goes through every entry of the tables.
    fromStart: prng.below(12) === 0,
    copyPages: mapping.leafBytes * mapping.leaves > 32 * PAGE ? 32 : 1,
    remaps,
  };
}

function write(offset: number, length: number): Dma {
  return { offset, length, access: WRITE };
}

/** Three writes of one page from two queues, in one leaf: few enough interleavings to run them all. */
export function smallScenario(mapping: Mapping, tracker: TrackerKind): Scenario {
  return {
    mapping: { ...mapping, leaves: 1 },
    tracker,
    devices: [[[write(0, 64), write(64, 64)]], [[write(100, 1)]]],
    rounds: 1,
    iotlb: { sets: 1, ways: 2 },
    fromStart: false,
    copyPages: mapping.leafBytes / PAGE,
    remaps: 0,
  };
}

/** As `smallScenario`, in two leaves that one write straddles, with a read that fills the IOTLB. For a soak. */
export function largerScenario(mapping: Mapping, tracker: TrackerKind): Scenario {
  const small = smallScenario(mapping, tracker);
  const read: Dma = { offset: 0, length: 8, access: READ };
  return {
    ...small,
    mapping: { ...mapping, leaves: 2 },
    devices: [[[write(mapping.leafBytes - 8, 16), read]], [[write(100, 1)]]],
  };
}
