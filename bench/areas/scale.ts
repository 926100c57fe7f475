import { READ, WRITE, open, type Domain } from 'wasm-iommu';
import type { Area, Bench } from '../case.ts';
import type { Sweep, SweepRun } from '../sweep.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PAGE = 4096;
const LARGE_PAGE = 2 * MIB;
const TABLE = 4096;
const ENTRIES = 512;

/** Bytes of tables that AMD v1 needs for `leaves` of one size from IOVA 0 on, below a root of three levels. */
function tablesFor(leaves: number, leafBytes: number): number {
  const levels = leafBytes === PAGE ? 3 : 2;
  let bytes = 0;
  for (let level = 0, count = leaves; level < levels; level++) bytes += (count = Math.ceil(count / ENTRIES)) * TABLE;
  // Beyond 512 GiB the root has one more above it.
  return leaves * leafBytes > ENTRIES * GIB ? bytes + TABLE : bytes;
}

/** All of `length` mapped, read while clean, translated through at every leaf of a sample, and unmapped. */
async function openLength(length: number, leafBytes: number): Promise<SweepRun> {
  const leaves = length / leafBytes;
  const needed = tablesFor(leaves, leafBytes);
  const core = await open({ memory: Math.ceil((needed * 1.02) / MIB + length / PAGE / 8 / MIB + 4) * MIB });
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [leafBytes] });
  const into = core.bitmap({ length, pageSize: leafBytes });
  const steps = {
    map: () => (domain.map({ iova: 0, pa: 0, length, access: READ | WRITE }), 1),
    'read and clear': () => (domain.readAndClearDirty({ iova: 0, length, into }), into.count()),
    unmap: () => Number(domain.unmap(0, length)),
  };
  return { steps, memory: () => ({ bytes: domain.usage.tableBytes, needed }) };
}

function lengths(leafBytes: number, label: string, sizes: readonly number[]): Sweep {
  return {
    name: `IOVA mapped by ${label}`,
    unit: 'leaf',
    sizes: sizes.map((gib) => ({
      label: gib < 1024 ? `${gib} GiB` : `${gib / 1024} TiB`,
      work: (gib * GIB) / leafBytes,
      open: () => openLength(gib * GIB, leafBytes),
    })),
  };
}

const DEVICE_LENGTH = 64 * MIB;
const DEVICE_REQUESTS = 256;
const DEVICES = [1, 4, 16, 64, 256];

/** Devices in domains of their own, of 64 MiB by 4K; each writes to one page, which stays in the IOTLB. */
async function openDevices(count: number): Promise<SweepRun> {
  const leaves = DEVICE_LENGTH / PAGE;
  const needed = count * tablesFor(leaves, PAGE);
  const core = await open({ memory: Math.ceil((needed * 1.02) / MIB + 8) * MIB });
  const iommu = core.iommu({ requests: 65536 });
  const domains: Domain[] = [];
  const devices = Array.from({ length: count }, (_, i) => {
    domains.push(iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [PAGE] }));
    return iommu.attach(i, domains[i]);
  });
  const into = core.bitmap({ length: DEVICE_LENGTH });
  const map = () => {
    for (const domain of domains) domain.map({ iova: 0, pa: 0, length: DEVICE_LENGTH, access: READ | WRITE });
    return count;
  };
  const post = () => {
    devices.forEach((device, i) => {
      for (let k = 0; k < DEVICE_REQUESTS; k++) device.post(i * PAGE + k * 8, 8, WRITE);
    });
    return count;
  };
  const run = () => {
    if (iommu.run() > 0) throw new Error('a request faulted; all of them are mapped');
    return 1;
  };
  const read = () => {
    for (const domain of domains) domain.readAndClearDirty({ iova: 0, length: DEVICE_LENGTH, into });
    return into.count();
  };
  const unmap = () => domains.reduce((sum, domain) => sum + Number(domain.unmap(0, DEVICE_LENGTH)), 0);
  const bytes = () => domains.reduce((sum, domain) => sum + domain.usage.tableBytes, 0);
  return {
    steps: { map, 'post 256 requests': post, 'run 256 requests': run, 'read and clear': read, unmap },
    memory: () => ({ bytes: bytes(), needed }),
  };
}

async function openScale(): Promise<Bench> {
  const devices: Sweep = {
    name: 'devices, each with 64 MiB by 4K',
    unit: 'device',
    sizes: DEVICES.map((count) => ({ label: String(count), work: count, open: () => openDevices(count) })),
  };
  const sweeps = [
    lengths(PAGE, '4K', [1, 8, 64, 512, 1024]),
    lengths(LARGE_PAGE, '2M', [1, 8, 64, 512, 1024]),
    devices,
  ];
  return { cases: [], claims: [], sweeps };
}

/** Cost against work. */
export const scale: Area = {
  name: 'scale',
  about: 'the same operations from 1 GiB to 1 TiB of IOVA and from 1 to 256 devices, with the line through each',
  open: openScale,
};
