import { READ, WRITE, open, type Iommu, type Requester } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';
import { Random } from '../random.ts';

const LENGTH = 2 ** 30;
const PAGE = 4096;
const PAGES = LENGTH / PAGE;
const REQUESTS = 16384;
/** Half of what the IOTLB holds (64 sets x 8 ways). */
const HOT_PAGES = 256;

async function setUp() {
  const core = await open({ memory: '64MiB' });
  const iommu = core.iommu({ requests: REQUESTS });
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [PAGE] });
  domain.map({ iova: 0, pa: 0, length: LENGTH, access: READ | WRITE });
  const device = iommu.attach(0, domain);
  const random = new Random(8);
  const hot = random.list(REQUESTS, HOT_PAGES).map((page) => page * PAGE + 64);
  const cold = random.list(REQUESTS, PAGES).map((page) => page * PAGE + 64);
  return { core, iommu, domain, device, hot, cold };
}

type Parts = Awaited<ReturnType<typeof setUp>>;

function post(device: Requester, addresses: Uint32Array, length: number, access: number): void {
  for (const iova of addresses) device.post(iova, length, access);
}

/** Runs what is posted. A fault would be measured instead of what is meant, so it is an error. */
function runAll(iommu: Iommu): number {
  const faults = iommu.run();
  if (faults > 0) throw new Error(`${faults} requests faulted; all of them are mapped`);
  return iommu.counters.hits;
}

function batches({ iommu, device, hot, cold }: Parts): Case[] {
  const shared = { unit: 'request', work: REQUESTS };
  const batch = (addresses: Uint32Array, access: number, length = 64) => {
    return () => (post(device, addresses, length, access), runAll(iommu));
  };
  const blocks = cold.map((iova) => iova - (iova % 65536));
  return [
    { ...shared, name: 'batch, reads that hit the IOTLB', run: batch(hot, READ) },
    { ...shared, name: 'batch, writes that hit the IOTLB', run: batch(hot, WRITE) },
    { ...shared, name: 'batch, reads that miss the IOTLB', run: batch(cold, READ) },
    { ...shared, name: 'batch, writes of 64 KiB', run: batch(blocks, WRITE, 65536) },
    {
      ...shared,
      name: 'batch, writes that hit the IOTLB, run alone',
      before: () => post(device, hot, 64, WRITE),
      run: () => runAll(iommu),
    },
  ];
}

function cleanPages({ iommu, domain, device }: Parts): Case {
  const pages = new Random(9).distinct(REQUESTS, PAGES).map((page) => page * PAGE);
  return {
    name: 'batch, writes to clean pages',
    unit: 'request',
    work: REQUESTS,
    before: () => domain.clearDirty(),
    run: () => (post(device, pages, 64, WRITE), runAll(iommu)),
  };
}

function single({ device, hot, cold }: Parts): Case[] {
  const access = (addresses: Uint32Array, kind: number) => () => {
    let extents = 0;
    for (const iova of addresses) extents += device.access(iova, 64, kind);
    return extents;
  };
  const shared = { unit: 'request', work: REQUESTS };
  return [
    { ...shared, name: 'one by one, writes that hit the IOTLB', run: access(hot, WRITE) },
    { ...shared, name: 'one by one, reads that miss the IOTLB', run: access(cold, READ) },
  ];
}

/** What stands for the IOMMU where there is none: a table of pages and a bit per page, in plain TypeScript. */
function plain({ hot }: Parts): Case {
  const table = Float64Array.from({ length: PAGES }, (_, page) => page * PAGE);
  const dirty = new Uint32Array(PAGES / 32);
  const run = () => {
    let sum = 0;
    for (const iova of hot) {
      const page = iova >>> 12;
      sum += table[page];
      dirty[page >>> 5] |= 1 << (page & 31);
    }
    return sum + dirty[0];
  };
  return { name: 'a flat table in plain TypeScript, writes', unit: 'request', work: REQUESTS, run };
}

async function openDma(): Promise<Bench> {
  const parts = await setUp();
  const cases = [...batches(parts), cleanPages(await setUp()), ...single(parts), plain(parts)];
  const claims = [
    {
      name: 'batch against single accesses, hits',
      cases: ['one by one, writes that hit the IOTLB', 'batch, writes that hit the IOTLB'],
    },
    {
      name: 'batch against single accesses, misses',
      cases: ['one by one, reads that miss the IOTLB', 'batch, reads that miss the IOTLB'],
    },
    {
      name: 'what a request meets',
      cases: [
        'batch, writes that hit the IOTLB',
        'batch, writes that hit the IOTLB, run alone',
        'batch, reads that miss the IOTLB',
        'batch, writes to clean pages',
        'batch, writes of 64 KiB',
        'a flat table in plain TypeScript, writes',
      ],
    },
  ];
  return { cases, claims };
}

/** DMA requests through IOTLB, page table and dirty bits. */
export const dma: Area = {
  name: 'dma',
  about: 'DMA requests through IOTLB, page table (AMD v1, 1 GiB by 4K) and dirty bits, as a batch and one by one',
  open: openDma,
};
