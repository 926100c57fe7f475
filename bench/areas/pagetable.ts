import { FORMATS, READ, WRITE, open, type Core, type FormatInfo } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';
import { Random } from '../random.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const SHARES = [0, 1, 10, 50, 100];
/** Of a format with the usual 4 KiB granule; the encoded 64 KiB leaf of AMD v1 lies in 16 entries. */
const LEAVES = [4 * KIB, 64 * KIB, 2 * MIB];
const LEAF_NAMES = new Map([
  [4 * KIB, '4K'],
  [64 * KIB, '64K'],
  [2 * MIB, '2M'],
]);
/** How much is mapped by each of them: so much that a call is long enough to be timed. */
const LENGTHS = new Map([
  [4 * KIB, GIB],
  [64 * KIB, 16 * GIB],
  [2 * MIB, 64 * GIB],
]);

/** What all cases of one format and leaf work on: an empty domain with leaves of one size. */
function makeDomain(core: Core, format: FormatInfo, leafBytes: number) {
  const iommu = core.iommu({ requests: 65536 });
  const domain = iommu.domain({
    format: format.name,
    ...(format.granule ? { granule: format.granule } : {}),
    dirtyTracking: true,
    leafSizes: [leafBytes],
  });
  const length = LENGTHS.get(leafBytes)!;
  const map = () => domain.map({ iova: 0, pa: 0, length, access: READ | WRITE });
  return { iommu, domain, map, length, leaves: length / leafBytes };
}

function mapping(core: Core, format: FormatInfo, leafBytes: number, label: string): Case[] {
  const { domain, map, length, leaves } = makeDomain(core, format, leafBytes);
  const clear = () => {
    if (domain.usage.mappedBytes !== 0) domain.unmap(0, length);
  };
  const fill = () => {
    if (domain.usage.mappedBytes === 0) map();
  };
  const shared = { unit: 'leaf', work: leaves };
  // A table that goes whole need not be touched, so that an unmap has no bytes.
  return [
    { ...shared, name: `map ${label}`, bytes: 8 * leaves, before: clear, run: () => (map(), 1) },
    { ...shared, name: `unmap ${label}`, before: fill, run: () => Number(domain.unmap(0, length)) },
  ];
}

function translating(core: Core, format: FormatInfo, leafBytes: number, label: string): Case {
  const { domain, map, leaves } = makeDomain(core, format, leafBytes);
  map();
  const addresses = Array.from(new Random(6).list(4096, leaves), (leaf) => leaf * leafBytes + 64);
  const run = () => {
    let sum = 0;
    for (const iova of addresses) sum += domain.translate(iova)!.pa as number;
    return sum;
  };
  return { name: `translate ${label}`, unit: 'address', work: addresses.length, run };
}

function readingDirty(core: Core, format: FormatInfo, leafBytes: number, label: string): Case[] {
  const { iommu, domain, map, length, leaves: work } = makeDomain(core, format, leafBytes);
  map();
  const device = iommu.attach(0, domain);
  const into = core.bitmap({ length });
  domain.clearDirty();
  return SHARES.map((share) => {
    const written = new Random(7).distinct((work * share) / 100, work).sort();
    const before = () => {
      for (const leaf of written) device.post(leaf * leafBytes, 1, WRITE);
      iommu.run();
      into.clear();
    };
    const run = () => (domain.readAndClearDirty({ iova: 0, length, into }), 1);
    return { name: `read and clear ${label}, ${share} % dirty`, unit: 'leaf', work, bytes: 8 * work, before, run };
  });
}

function labelOf(format: FormatInfo, leafBytes: number): string {
  const granule = format.granule === '64K' ? '/64K' : '';
  return `${format.name}${granule} ${LEAF_NAMES.get(leafBytes)}`;
}

async function openPagetable(): Promise<Bench> {
  const kinds = FORMATS.flatMap((format) =>
    LEAVES.filter((leaf) => format.leafSizes.includes(leaf)).map((leaf) => ({ format, leaf })),
  );
  const cases: Case[] = [];
  for (const { format, leaf } of kinds) {
    const core = await open({ memory: '160MiB' });
    const label = labelOf(format, leaf);
    cases.push(...mapping(core, format, leaf, label), translating(core, format, leaf, label));
    cases.push(...readingDirty(core, format, leaf, label));
  }
  const labels = kinds.filter(({ leaf }) => leaf === 4 * KIB).map(({ format, leaf }) => labelOf(format, leaf));
  const densities = SHARES.map((share) => `read and clear amdv1 4K, ${share} % dirty`);
  const claims = [
    { name: 'map by format', cases: labels.map((label) => `map ${label}`) },
    { name: 'unmap by format', cases: labels.map((label) => `unmap ${label}`) },
    { name: 'translate by format', cases: labels.map((label) => `translate ${label}`) },
    { name: 'read and clear by format', cases: labels.map((label) => `read and clear ${label}, 10 % dirty`) },
    { name: 'read and clear by density', cases: densities },
  ];
  return { cases, claims };
}

/** I/O page tables in every format. */
export const pagetable: Area = {
  name: 'pagetable',
  about: 'map, unmap, translate and read-and-clear in every format, 1 GiB by 4K, 16 GiB by 64K, 64 GiB by 2M',
  open: openPagetable,
};
