import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import type { Core } from '../../src/core/core.ts';
import { runWhole } from '../../src/schedule/step.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { IDEAL_DEVICE, MLX5_DEVICE, logPageSize, type DeviceProfile } from '../../src/vfio/device-profile.ts';
import { BitmapModel } from '../bitmap/page-set-model.ts';
import { PLACES, Site, codeOf, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';

const MIB = 2 ** 20;
const WRITE = 2;
const USER = 0x40000000n;
const USER_BYTES = 16384;

/** A device that logs, and its user's memory. */
function deviceIn(core: Core, profile: DeviceProfile = IDEAL_DEVICE) {
  const iommu = core.iommu();
  const requester = iommu.attach(1);
  const addressSpace = new PlainAddressSpace();
  addressSpace.mmap({ va: USER, length: USER_BYTES });
  const vfio = new VfioDevice({ logging: { core, requester, iommu, profile }, addressSpace });
  return { iommu, requester, addressSpace, vfio };
}

/** The bits that a REPORT sets in a bitmap of zeros. */
function reported(vfio: VfioDevice, iova: number, length: number, pageSize = 4096): number[] {
  const bitmap = new Uint8Array(Math.ceil(length / pageSize / 8));
  vfio.dmaLoggingReport({ iova, length, pageSize, bitmap });
  return [...bitmap].flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * i + bit),
  );
}

const ranges = fc.array(fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 4 });
const write = fc.record({
  op: fc.constant('write' as const),
  at: fc.nat(MIB),
  length: fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: MIB })),
});
const report = fc.record({
  op: fc.constant('report' as const),
  // Mostly whole pages, as users ask; any byte is allowed.
  at: fc.oneof(
    fc.nat(600).map((page) => page * 4096),
    fc.nat(3 * MIB),
  ),
  length: fc.oneof(
    fc.nat(600).map((page) => (page + 1) * 4096),
    fc.nat(3 * MIB),
  ),
  pageShift: fc.constantFrom(12, 12, 13, 14, 16, 21),
  pointer: fc.nat(4200),
});

describe.each(PLACES)('DMA logging: $name', (place) => {
  const site = new Site(place, 2);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('sets bits of the user bitmap as a plain model does, and no other bit', () => {
    fc.assert(
      fc.property(
        ranges,
        fc.constantFrom(12, 13, 16),
        fc.boolean(),
        fc.array(fc.oneof(write, report), { maxLength: 10 }),
        (parts, shift, high, operations) => {
          const { requester, addressSpace, vfio } = deviceIn(site.core().core);
          const page = 2n ** BigInt(shift);
          const origin = high ? 2n ** 63n : 0n;
          let end = origin;
          const list = parts.map(([gap, pages]) => {
            const iova = end + BigInt(gap) * page;
            end = iova + BigInt(pages) * page;
            return { iova, length: BigInt(pages) * page };
          });
          vfio.dmaLoggingStart({ pageSize: page, ranges: [...list].reverse() });
          const logs = list.map(({ iova, length }) => new BitmapModel(iova, length, page));
          const garbage = Uint8Array.from({ length: USER_BYTES }, (_, i) => (i * 37) & 0xff & (i >> 3));
          const wanted = garbage.slice();
          addressSpace.write(USER, garbage);
          for (const step of operations) {
            const iova = origin + BigInt(step.at);
            if (step.op === 'write') {
              requester.access(iova, step.length, WRITE);
              logs.forEach((log) => log.markRange(iova, iova + BigInt(step.length) - 1n));
              continue;
            }
            const [length, pageSize] = [BigInt(step.length), 2n ** BigInt(step.pageShift)];
            vfio.dmaLoggingReport({ iova, length, pageSize, bitmap: USER + BigInt(step.pointer) });
            if (length === 0n) continue;
            const bits = new BitmapModel(iova, length, pageSize);
            logs.forEach((log) => log.drain(bits, iova, iova + length - 1n, true));
            for (const bit of bits.marked) wanted[step.pointer + (bit >> 3)] |= 1 << (bit & 7);
          }
          const found = new Uint8Array(USER_BYTES);
          addressSpace.read(USER, found);
          const firstWrong = found.findIndex((byte, i) => byte !== wanted[i]);
          expect([firstWrong, addressSpace.pinnedBytes]).toEqual([-1, 0n]);
        },
      ),
      { numRuns: runs(40) },
    );
  });

  it('reports the same into bytes, into user memory, and into a bitmap of the core', () => {
    const doors = (fill: (vfio: VfioDevice, core: Core, space: PlainAddressSpace) => Uint8Array) => {
      const { core } = site.core();
      const { vfio, requester, addressSpace } = deviceIn(core);
      vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: MIB, length: MIB }] });
      for (let i = 0; i < 200; i += 3) requester.access(MIB + i * 4096 + 4095, (i % 7) * 4096 + 1, WRITE);
      return fill(vfio, core, addressSpace);
    };
    const range = { iova: MIB, length: MIB, pageSize: 4096 };
    const intoBytes = doors((vfio) => {
      const bitmap = new Uint8Array(32);
      vfio.dmaLoggingReport({ ...range, bitmap });
      return bitmap;
    });
    const intoMemory = doors((vfio, _, space) => {
      vfio.dmaLoggingReport({ ...range, bitmap: USER + 4090n });
      const bitmap = new Uint8Array(32);
      space.read(USER + 4090n, bitmap);
      return bitmap;
    });
    const intoCore = doors((vfio, core) => {
      const bitmap = core.bitmap({ start: MIB, length: MIB });
      vfio.dmaLoggingReport({ ...range, bitmap });
      return new Uint8Array(bitmap.words().slice().buffer);
    });
    expect([intoMemory, intoCore]).toEqual([intoBytes, intoBytes]);
    expect(intoBytes.some((byte) => byte !== 0 && byte !== 255)).toBe(true);
  });

  it('reads through windows where the query is larger than one', () => {
    const { core } = site.core();
    const { requester, vfio } = deviceIn(core);
    const GIB = 2 ** 30;
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 2 * GIB }] });
    for (const page of [0, 2 ** 18 - 1, 2 ** 18, 2 ** 19 - 1]) requester.access(page * 4096, 1, WRITE);
    expect(reported(vfio, 0, 2 * GIB)).toEqual([0, 2 ** 18 - 1, 2 ** 18, 2 ** 19 - 1]);
    expect([reported(vfio, 0, 2 * GIB), vfio.logging!.records]).toEqual([[], 4]);
  });
});

describe('DMA logging of a device', () => {
  const fresh = (profile?: DeviceProfile) => deviceIn(siteAt(PLACES[0], 2).core().core, profile);

  it('answers START with the page size in use, and logs in it', () => {
    const profile = { ...IDEAL_DEVICE, minPageSize: 16384, maxPageSize: 65536 };
    const pageSizes = [4096, 16384, 32768, 65536, MIB].map((pageSize) => {
      const { vfio } = fresh(profile);
      return vfio.dmaLoggingStart({ pageSize, ranges: [{ iova: 0, length: MIB }] }).pageSize;
    });
    expect(pageSizes).toEqual([16384n, 16384n, 32768n, 65536n, 65536n]);
    const { vfio, requester } = fresh(profile);
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 4096, length: 4096 }] });
    expect(vfio.logging!.ranges).toEqual([{ iova: 0n, last: 16383n }]);
    requester.access(8192, 1, WRITE);
    expect([reported(vfio, 0, MIB), reported(vfio, 0, MIB)]).toEqual([[0, 1, 2, 3], []]);
  });

  it('rounds hints down to powers of two', () => {
    const hints = [0, 1, 4095, 4096, 8191n, 8192n, 2 ** 21 - 1, 2 ** 21, 2n ** 63n, 2n ** 64n - 1n];
    expect(hints.map((hint) => logPageSize(MLX5_DEVICE, hint))).toEqual([
      4096,
      4096,
      4096,
      4096,
      4096,
      8192,
      2 ** 20,
      2 ** 21,
      2 ** 21,
      2 ** 21,
    ]);
  });

  it('combines ranges by smallest gap to what the device takes, and reports what is asked for only', () => {
    const { vfio, requester } = fresh({ ...IDEAL_DEVICE, maxRanges: 2 });
    const page = (n: number, pages: number) => ({ iova: n * 4096, length: pages * 4096 });
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [page(40, 8), page(0, 8), page(12, 4), page(200, 1)] });
    expect(vfio.logging!.ranges).toEqual([
      { iova: 0n, last: 48n * 4096n - 1n },
      { iova: 200n * 4096n, last: 201n * 4096n - 1n },
    ]);
    for (const n of [7, 9, 100, 200]) requester.access(n * 4096, 1, WRITE);
    expect([reported(vfio, 0, 8 * 4096), reported(vfio, 0, MIB)]).toEqual([[7], [9, 200]]);
  });

  it('is EOPNOTSUPP for more or less space than the device tracks, and ENOMEM for more than there is room for', () => {
    const start = (profile: DeviceProfile, length: number) => {
      const { vfio } = fresh(profile);
      return [
        codeOf(() => vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length }] })),
        vfio.logging!.active,
      ];
    };
    const profile = { ...IDEAL_DEVICE, minSpace: 65536, maxSpace: MIB };
    expect([4096, 32768, 36864, 65536, MIB, MIB + 4096].map((length) => start(profile, length))).toEqual([
      ['EOPNOTSUPP', false],
      ['EOPNOTSUPP', false],
      ['none', true],
      ['none', true],
      ['none', true],
      ['EOPNOTSUPP', false],
    ]);
    expect([2 ** 40, 2 ** 44, 2 ** 50].map((length) => start(IDEAL_DEVICE, length))).toEqual(
      Array(3).fill(['ENOMEM', false]),
    );
  });

  it('logs writes only, only while it is on, and whatever the migration state', () => {
    const { vfio, requester } = fresh();
    const start = () => vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: MIB }] });
    requester.access(0, 1, WRITE);
    start();
    requester.access(4096, 1, 1);
    requester.access(8192, 1, WRITE);
    vfio.dmaLoggingStop();
    requester.access(12288, 1, WRITE);
    expect([vfio.logging!.active, vfio.logging!.pageSize, vfio.logging!.ranges]).toEqual([false, undefined, []]);
    start();
    expect(reported(vfio, 0, MIB)).toEqual([]);
    requester.access(16384, 1, WRITE);
    expect(reported(vfio, 0, MIB)).toEqual([4]);
  });

  it('takes a query that begins and ends anywhere, and keeps the pages that it cuts', () => {
    const { vfio, requester } = fresh();
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: MIB }] });
    requester.access(0, 5 * 4096, WRITE);
    // Bytes 100 .. 12387: pages 0 and 3 are cut, and pages of the query lie across two pages of the log.
    expect(reported(vfio, 100, 12288)).toEqual([0, 1, 2]);
    expect(reported(vfio, 0, MIB)).toEqual([0, 3, 4]);
    requester.access(8192, 1, WRITE);
    expect([reported(vfio, 8292, 100), reported(vfio, 4097, 8192), reported(vfio, 0, MIB)]).toEqual([[0], [0, 1], []]);
  });

  it('gives all of its memory back with STOP', () => {
    const { core } = siteAt(PLACES[0], 2).core();
    const { vfio } = deviceIn(core);
    const before = core.usage.usedBytes;
    for (let i = 0; i < 3; i++) {
      vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 2 ** 30 }] });
      expect(reported(vfio, 4095, 2 ** 30 - 4096, 8192)).toEqual([]);
      vfio.dmaLoggingStop();
    }
    expect(core.usage.usedBytes).toBe(before);
  });

  it('refuses a bitmap of the core that does not fit', () => {
    const { core } = siteAt(PLACES[0], 2).core();
    const { vfio } = deviceIn(core);
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: MIB }] });
    const into = core.bitmap({ length: MIB, pageSize: 8192 });
    const report = (iova: number, length: number, pageSize: number) =>
      codeOf(() => vfio.dmaLoggingReport({ iova, length, pageSize, bitmap: into }));
    expect([report(0, MIB, 4096), report(4096, 8192, 8192), report(0, 2 * MIB, 8192), report(0, MIB, 8192)]).toEqual([
      'EINVAL',
      'EINVAL',
      'ERANGE',
      'none',
    ]);
    expect([report(0, MIB, 2048), report(0, 2 ** 53 - 1, 8192)]).toEqual(['EINVAL', 'EINVAL']);
  });

  it('is EFAULT where the bitmap goes away between two steps of a REPORT', () => {
    const { vfio, requester, addressSpace } = fresh();
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
    requester.access(0, 1, WRITE);
    const report = vfio.dmaLoggingReportSteps({ iova: 0, length: 65536, pageSize: 4096, bitmap: USER });
    report.next();
    addressSpace.munmap({ va: USER, length: USER_BYTES });
    expect(codeOf(() => runWhole(report))).toBe('EFAULT');
  });

  it('waits for DMA that is under way: at START for what goes unlogged, at REPORT for what was logged', () => {
    const { vfio, requester } = fresh();
    const landed: string[] = [];
    const dma = (name: string, iova: number) => requester.dmaSteps(iova, 1, WRITE, () => landed.push(name));
    const before = dma('before', 0);
    before.next();
    before.next();
    const start = vfio.deviceFeatureSteps((1 << 17) | 6, {
      pageSize: 4096n,
      numRanges: 1,
      ranges: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0),
    });
    start.next();
    const waits = start.next().value as { ready(): boolean };
    expect([waits.ready(), runWhole(before), waits.ready()]).toEqual([false, true, true]);
    runWhole(start);
    const after = dma('after', 4096);
    after.next();
    after.next();
    const bitmap = new Uint8Array(2);
    const report = vfio.dmaLoggingReportSteps({ iova: 0, length: 65536, pageSize: 4096, bitmap });
    let step = report.next().value;
    while (step && !step.ready) step = report.next().value;
    expect([step!.ready!(), [...bitmap], runWhole(after), step!.ready!()]).toEqual([false, [0, 0], true, true]);
    runWhole(report);
    expect([[...bitmap], landed]).toEqual([
      [2, 0],
      ['before', 'after'],
    ]);
  });
});

describe('DMA logging, overflow', () => {
  const PAGES = 64;
  const start = (overflow: DeviceProfile['overflow'], queueRecords = 4) => {
    const device = deviceIn(siteAt(PLACES[0], 2).core().core, { ...IDEAL_DEVICE, queueRecords, overflow });
    device.vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: PAGES * 4096 }] });
    const touch = (...pages: number[]) => pages.forEach((page) => device.requester.access(page * 4096, 1, WRITE));
    return { ...device, touch };
  };
  const all = Array.from({ length: PAGES }, (_, i) => i);

  it('stall: loses nothing, and counts how often the queue had to be drained', () => {
    const { vfio, touch } = start('stall');
    touch(1, 2, 3, 4, 5, 6, 7, 8, 9);
    expect(reported(vfio, 0, PAGES * 4096)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([vfio.logging!.records, vfio.logging!.stalls]).toEqual([9, 2]);
    touch(1, 2, 3, 4);
    reported(vfio, 0, PAGES * 4096);
    expect(vfio.logging!.stalls).toBe(2);
  });

  it('report-all: exact while the ring has room, else everything once, and exact again', () => {
    const { vfio, touch } = start('report-all');
    touch(1, 2, 3, 3, 4);
    expect(reported(vfio, 0, PAGES * 4096)).toEqual([1, 2, 3, 4]);
    touch(1, 2, 3, 4, 5);
    expect(reported(vfio, 0, 10 * 4096)).toEqual(all.slice(0, 10));
    touch(3, 40);
    expect(reported(vfio, 0, 10 * 4096)).toEqual([3]);
    expect(reported(vfio, 8 * 4096, 56 * 4096)).toEqual(all.slice(2, 56));
    touch(7);
    expect([reported(vfio, 0, PAGES * 4096), reported(vfio, 0, PAGES * 4096)]).toEqual([[7], []]);
    expect(vfio.logging!.stalls).toBe(0);
    touch(1, 2, 3, 4, 5);
    const rest = () => reported(vfio, 8 * 4096, 56 * 4096);
    expect([rest(), rest(), reported(vfio, 0, 8 * 4096)]).toEqual([all.slice(0, 56), [], all.slice(0, 8)]);
  });

  it('report-all: a log page that lies only partly in the query stays owed', () => {
    const { vfio, requester } = deviceIn(siteAt(PLACES[0], 2).core().core, {
      ...IDEAL_DEVICE,
      queueRecords: 1,
      overflow: 'report-all',
      minPageSize: 16384,
    });
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
    requester.access(0, 20000, WRITE);
    expect(reported(vfio, 4096, 16384)).toEqual([0, 1, 2, 3]);
    expect(reported(vfio, 0, 65536)).toEqual(all.slice(0, 16));
    expect(reported(vfio, 0, 65536)).toEqual([]);
  });

  it('error: EIO from then on, until it is started again', () => {
    const { vfio, touch } = start('error');
    touch(1, 2, 3, 4);
    expect(reported(vfio, 0, PAGES * 4096)).toEqual([1, 2, 3, 4]);
    touch(1, 2, 3, 4, 5);
    const report = () => reported(vfio, 0, 4096);
    expect(report).toThrow(/5 records did not fit into the device's ring of 4; all memory counts as dirty.*EIO/);
    expect(codeOf(report)).toBe('EIO');
    vfio.dmaLoggingStop();
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: PAGES * 4096 }] });
    touch(5);
    expect(reported(vfio, 0, PAGES * 4096)).toEqual([5]);
  });

  it('is sound with every policy: what was written is reported, or a REPORT fails', () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ page: fc.nat(PAGES - 1), pages: fc.integer({ min: 1, max: 3 }) }) },
      { weight: 1, arbitrary: fc.record({ from: fc.nat(PAGES - 1), length: fc.integer({ min: 1, max: PAGES }) }) },
    );
    fc.assert(
      fc.property(
        fc.constantFrom('stall' as const, 'report-all' as const, 'error' as const),
        fc.integer({ min: 1, max: 6 }),
        fc.array(operation, { maxLength: 40 }),
        (overflow, queueRecords, operations) => {
          const { vfio, requester } = start(overflow, queueRecords);
          const dirty = new Set<number>();
          const missed: number[] = [];
          const over: number[] = [];
          let full = false;
          for (const step of operations) {
            if ('page' in step) {
              const end = Math.min(PAGES, step.page + step.pages);
              requester.access(step.page * 4096, (end - step.page) * 4096, WRITE);
              for (let page = step.page; page < end; page++) dirty.add(page);
              continue;
            }
            const end = Math.min(PAGES, step.from + step.length);
            full ||= dirty.size > queueRecords;
            let bits: number[] = [];
            const code = codeOf(() => (bits = reported(vfio, step.from * 4096, (end - step.from) * 4096)));
            if (code === 'none') {
              const seen = new Set(bits.map((bit) => bit + step.from));
              for (let page = step.from; page < end; page++) {
                if (dirty.has(page) && !seen.has(page)) missed.push(page);
                if (!dirty.has(page) && seen.has(page)) over.push(page);
                dirty.delete(page);
              }
            } else if (code !== 'EIO' || overflow !== 'error' || !full) missed.push(-1);
          }
          const exact = overflow === 'stall' || !full;
          expect([missed, exact ? over : []]).toEqual([[], []]);
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
