import { WRITE, open, type Core, type IovaRange } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';
import { Random } from '../random.ts';

const LENGTH = 2 ** 30;
/** What is reported: in less there is not enough work to be timed where nothing is dirty. */
const REPORTED = 4 * LENGTH;
const REQUESTS = 16384;
const SHARES = [0, 1, 10, 50, 100];
/** For 64K pages: fewer leave a call without enough work to be timed. */
const COARSE_SHARES = [10, 50, 100];

/** A device that logs, without a domain. */
function makeDevice(core: Core, ranges: readonly IovaRange[], pageSize: number) {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: REQUESTS });
  const log = core.deviceLog({ ranges, pageSize });
  const device = iommu.attach(0);
  device.logTo(log);
  return { iommu, log, device };
}

/** `count` ranges that together leave out every other stretch of 1 GiB; one range leaves out nothing. */
function rangesOf(count: number): IovaRange[] {
  if (count === 1) return [{ iova: 0, length: LENGTH }];
  const length = LENGTH / count / 2;
  return Array.from({ length: count }, (_, i) => ({ iova: 2 * i * length, length }));
}

function writes(core: Core, ranges: number, length: number, name: string): Case {
  const { iommu, device } = makeDevice(core, rangesOf(ranges), 4096);
  const addresses = new Random(10).list(REQUESTS, LENGTH - length);
  const run = () => {
    for (const iova of addresses) device.post(iova, length, WRITE);
    return iommu.run() + 1;
  };
  return { name, unit: 'request', work: REQUESTS, run };
}

function reports(core: Core, pageSize: number, label: string, shares: readonly number[]): Case[] {
  const { iommu, log, device } = makeDevice(core, [{ iova: 0, length: REPORTED }], pageSize);
  const into = core.bitmap({ length: REPORTED });
  const work = REPORTED / pageSize;
  return shares.map((share) => {
    const written = new Random(11).distinct((work * share) / 100, work);
    const before = () => {
      for (const page of written) device.post(page * pageSize, 1, WRITE);
      iommu.run();
      into.clear();
    };
    const run = () => (log.report({ iova: 0, length: REPORTED, into }), 1);
    return { name: `report ${label}, ${share} % dirty`, unit: 'page', work, bytes: work / 8, before, run };
  });
}

async function openLog(): Promise<Bench> {
  const core = await open({ memory: '64MiB' });
  const cases = [
    writes(core, 1, 64, 'write 64 B, 1 range'),
    writes(core, 16, 64, 'write 64 B, 16 ranges'),
    writes(core, 2048, 64, 'write 64 B, 2048 ranges'),
    writes(core, 1, 65536, 'write 64 KiB, 1 range'),
    ...reports(core, 4096, '4K', SHARES),
    ...reports(core, 65536, '64K into 4K', COARSE_SHARES),
  ];
  const claims = [
    {
      name: 'what a write costs',
      cases: ['write 64 B, 1 range', 'write 64 B, 16 ranges', 'write 64 B, 2048 ranges', 'write 64 KiB, 1 range'],
    },
    { name: 'report by density', cases: SHARES.map((share) => `report 4K, ${share} % dirty`) },
  ];
  return { cases, claims };
}

/** The dirty log that a device keeps itself. */
export const log: Area = {
  name: 'log',
  about: "a device's own dirty log: writes over 1 GiB, reports over 4 GiB",
  open: openLog,
};
