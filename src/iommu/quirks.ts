import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { FormatName } from './formats.ts';

/** How closely a domain follows Linux: as the hardware could be driven, or as Linux 6.12 drives it. */
export type Quirks = 'strict' | 'linux-6.12';

/** A mistake of a driver, or a thing that hardware may do and a driver may overlook. `strict` has none of them. */
export interface QuirkInfo {
  readonly name: string;
  readonly what: string;
  /** What comes of it. */
  readonly loses: string;
  /** Formats whose driver in Linux 6.12 does it. */
  readonly linux: readonly FormatName[];
}

/** Every quirk. Linux: drivers/iommu/{amd/io_pgtable.c, intel/iommu.c, io-pgtable-arm.c} and arm/arm-smmu-v3 of 6.12. */
export const QUIRKS = [
  {
    name: 'skip-flush-after-clear',
    what: 'the IOTLB is not invalidated after dirty bits were cleared',
    loses: 'writes through what is still cached as dirty',
    // The gather never gets a page size, and the driver's sync returns at once then: read in the source, acknowledged nowhere.
    linux: ['armv8-s1'],
  },
  {
    name: 'unaligned-query-start',
    what: 'a query that starts inside a leaf takes the leaf to begin there, and goes on as far behind its end',
    loses: 'leaves that are stepped over',
    linux: ['amdv1', 'vtdss', 'armv8-s1'],
  },
  {
    name: 'clear-whole-leaf',
    what: 'a leaf that lies partly outside the query is cleared whole',
    loses: 'what was written outside',
    linux: ['amdv1', 'vtdss', 'armv8-s1'],
  },
  {
    name: 'clear-one-replica',
    what: 'only the first entry of a leaf in several entries is cleaned',
    loses: 'nothing: the leaf is reported again and again',
    linux: [],
  },
  {
    name: 'split-forgets-dirty',
    what: 'the parts of a dirty leaf begin clean',
    loses: 'what was written since the last read',
    linux: [],
  },
  {
    name: 'enable-without-flush',
    what: 'nothing is invalidated when tracking is switched on',
    loses: 'writes through what was cached before',
    linux: [],
  },
  {
    name: 'flush-other-domain',
    what: 'invalidations name another domain (VMID)',
    loses: 'what is invalidated: writes through what is still cached as dirty, and what is unmapped is still reached',
    linux: [],
  },
  {
    name: 'flush-leaf-only',
    what: 'invalidations keep the walk cache, also where tables were replaced or freed',
    loses: 'writes through a table that nothing leads to any more, and DMA that lands by the table that has its place',
    linux: [],
  },
  {
    name: 'flush-smaller-than-leaf',
    what: 'a command per smallest leaf is sent for up to 512 of them, whatever the size of what is cached',
    loses:
      'with vendor commands of AMD, which need not find larger leaves: writes through those, also from before a split',
    linux: [],
  },
  {
    name: 'skip-device-flush',
    what: 'the caches that devices have themselves (ATS) are not invalidated',
    loses: 'writes through what a device has cached as dirty',
    linux: [],
  },
  {
    name: 'flush-devices-first',
    what: 'the caches that devices have themselves (ATS) are invalidated before the IOTLB',
    loses: 'writes of a device that fetches again what the IOTLB still has as dirty',
    linux: [],
  },
] as const satisfies readonly QuirkInfo[];

export type QuirkName = (typeof QUIRKS)[number]['name'];

const CODES: Partial<Record<QuirkName, number>> = {
  'unaligned-query-start': layout.QUIRK_UNALIGNED_START,
  'clear-whole-leaf': layout.QUIRK_CLEAR_WHOLE_LEAF,
  'clear-one-replica': layout.QUIRK_CLEAR_ONE_REPLICA,
  'split-forgets-dirty': layout.QUIRK_SPLIT_FORGETS_DIRTY,
};

/** The quirks that a profile or a list stands for. EINVAL: a name that is none. */
export function quirksOf(
  op: string,
  format: FormatName,
  quirks: Quirks | readonly QuirkName[],
): ReadonlySet<QuirkName> {
  if (quirks === 'strict') return new Set();
  if (quirks === 'linux-6.12') {
    const all: readonly QuirkInfo[] = QUIRKS;
    return new Set(all.filter(({ linux }) => linux.includes(format)).map(({ name }) => name as QuirkName));
  }
  for (const name of quirks) {
    if (QUIRKS.some((quirk) => quirk.name === name)) continue;
    const known = QUIRKS.map((quirk) => quirk.name).join(', ');
    throw new IommuError(
      'EINVAL',
      op,
      `quirks holds '${name}'; it must be 'strict', 'linux-6.12' or a list of ${known}`,
    );
  }
  return new Set(quirks);
}

/** Those that the core itself must know, as its flags. */
export function quirkFlags(quirks: ReadonlySet<QuirkName>): number {
  let flags = 0;
  for (const name of quirks) flags |= CODES[name] ?? 0;
  return flags;
}
