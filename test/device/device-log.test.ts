import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { BitmapModel } from '../bitmap/page-set-model.ts';
import { PLACES, Site, codeOf, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';

const MIB = 2 ** 20;
const WRITE = 2;

/** A device's log: one set of pages per range. */
class LogModel {
  readonly ranges: BitmapModel[];

  constructor(ranges: readonly { iova: bigint; length: bigint }[], pageSize: bigint) {
    this.ranges = ranges.map(({ iova, length }) => new BitmapModel(iova, length, pageSize));
  }

  write(first: bigint, last: bigint): void {
    for (const range of this.ranges) range.markRange(first, last);
  }

  report(into: BitmapModel, first: bigint, last: bigint, clear: boolean): number {
    return this.ranges.reduce((met, range) => met + range.drain(into, first, last, clear), 0);
  }
}

// Gaps and lengths in log pages.
const ranges = fc.array(fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 5 });
const operation = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      at: fc.nat(10 * MIB),
      length: fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 2 * MIB })),
      access: fc.constantFrom(1, 2, 2, 3),
      posted: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('report' as const),
      page: fc.nat(500),
      pages: fc.nat(600),
      clear: fc.boolean(),
    }),
  },
);

describe.each(PLACES)('device log: $name', (place) => {
  const site = new Site(place, 2);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('logs what is written inside its ranges, and reports it as sets of pages do', () => {
    const shifts = fc.tuple(fc.constantFrom(11, 12, 13, 16), fc.constantFrom(11, 12, 14, 17));
    fc.assert(
      fc.property(
        ranges,
        shifts,
        fc.boolean(),
        fc.array(operation, { maxLength: 16 }),
        (parts, shifts, high, operations) => {
          const { core } = site.core();
          const iommu = core.iommu();
          const device = iommu.attach(1);
          const [pageSize, reportPage] = shifts.map((shift) => 2n ** BigInt(shift));
          // High: around 2^63, where addresses are bigints.
          const origin = high ? 2n ** 63n : 0n;
          let end = origin;
          const list = parts.map(([gap, pages]) => {
            const iova = end + BigInt(gap) * pageSize;
            end = iova + BigInt(pages) * pageSize;
            return { iova, length: BigInt(pages) * pageSize };
          });
          const log = core.deviceLog({ ranges: [...list].reverse(), pageSize });
          device.logTo(log);
          const model = new LogModel(list, pageSize);
          const covers = { start: origin, length: 600n * reportPage, pageSize: reportPage };
          const into = core.bitmap(covers);
          const intoModel = new BitmapModel(covers.start, covers.length, covers.pageSize);
          let met = 0;
          for (const step of operations) {
            if (step.op === 'write') {
              const iova = origin + BigInt(step.at);
              if (step.posted) device.post(iova, step.length, step.access);
              else device.access(iova, step.length, step.access);
              iommu.run();
              if (step.access & WRITE) model.write(iova, iova + BigInt(step.length) - 1n);
            } else {
              const iova = origin + BigInt(step.page) * reportPage;
              const length = BigInt(Math.min(step.pages, 599 - step.page) + 1) * reportPage;
              log.report({ iova, length, into, clear: step.clear });
              met += model.report(intoModel, iova, iova + length - 1n, step.clear);
            }
          }
          expect([[...into.pageRuns()], log.pagesReported]).toEqual([intoModel.runs, met]);
        },
      ),
      { numRuns: runs(50) },
    );
  });

  it('logs by IOVA what a device in a domain writes, page by page up to a fault', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    const domain = iommu.domain({ format: 'vtdss' });
    domain.map({ iova: 0x10000, pa: 0x900000, length: 3 * 4096, access: 3 });
    const device = iommu.attach(1, domain);
    const log = core.deviceLog({ ranges: [{ iova: 0, length: MIB }] });
    device.logTo(log);
    device.access(0x11000, 4096 * 10, WRITE);
    device.access(0x10000, 10, 1);
    const into = core.bitmap({ length: MIB });
    log.report({ iova: 0, length: MIB, into });
    expect([...into.pageRuns()]).toEqual([{ page: 0x11, pages: 2 }]);
  });

  it('reports a log page that is cut by the query clipped, and keeps it', () => {
    const { core } = site.core();
    const device = core.iommu().attach(1);
    const log = core.deviceLog({ ranges: [{ iova: 0, length: MIB }], pageSize: 65536 });
    device.logTo(log);
    device.access(0x1ffff, 2, WRITE);
    const into = core.bitmap({ length: MIB });
    const report = (iova: number, length: number) => {
      into.clear();
      log.report({ iova, length, into });
      return [...into.pageRuns()];
    };
    expect(report(0x18000, 0x10000)).toEqual([{ page: 0x18, pages: 16 }]);
    expect(report(0, MIB)).toEqual([{ page: 0x10, pages: 32 }]);
    expect(report(0, MIB)).toEqual([]);
  });

  it('is one per device, or one for several', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    const [a, b] = [iommu.attach(1), iommu.attach(2)];
    const log = core.deviceLog({ ranges: [{ iova: 0, length: MIB }] });
    a.logTo(log);
    b.logTo(log);
    a.access(0, 1, WRITE);
    b.access(8192, 1, WRITE);
    b.logTo(null);
    b.access(16384, 1, WRITE);
    const into = core.bitmap({ length: MIB });
    log.report({ iova: 0, length: MIB, into });
    expect([...into.pageRuns()].map(({ page }) => page)).toEqual([0, 2]);
  });

  it('has up to 2048 ranges, each found', () => {
    const { core } = siteAt(place, 4).core();
    const device = core.iommu().attach(1);
    const list = Array.from({ length: 2048 }, (_, i) => ({ iova: i * 16384, length: 8192 }));
    const log = core.deviceLog({ ranges: list });
    device.logTo(log);
    for (let i = 0; i < 2048; i += 97) device.access(i * 16384 + 8191, 8194, WRITE);
    const into = core.bitmap({ length: 2048 * 16384 });
    log.report({ iova: 0, length: 2048 * 16384, into });
    const pages = [...into.pageRuns()].flatMap(({ page, pages }) => Array.from({ length: pages }, (_, i) => page + i));
    const wanted = Array.from({ length: 22 }, (_, i) => i * 97).flatMap((i) => [
      4 * i + 1,
      ...(i < 2047 ? [4 * i + 4] : []),
    ]);
    expect(pages).toEqual(wanted);
    expect(codeOf(() => core.deviceLog({ ranges: [...list, { iova: 2 ** 40, length: 4096 }] }))).toBe('EINVAL');
  });

  it('says what does not fit', () => {
    const { core } = site.core();
    const log = core.deviceLog({ ranges: [{ iova: 0, length: MIB }] });
    const into = core.bitmap({ start: 65536, length: 65536, pageSize: 65536 });
    const errors: [() => unknown, RegExp][] = [
      [() => core.deviceLog({ ranges: [] }), /there are 0 ranges; a log has 1 to 2048 \(EINVAL\)/],
      [() => core.deviceLog({ ranges: [{ iova: 0, length: 0 }] }), /length is 0/],
      [
        () => core.deviceLog({ ranges: [{ iova: 0, length: 100 }] }),
        /disjoint and whole log pages of 4096 bytes \(EINVAL\)/,
      ],
      [() => core.deviceLog({ ranges: [{ iova: 100, length: 4096 }] }), /EINVAL/],
      [() => core.deviceLog({ ranges: [{ iova: 0, length: 4096 }], pageSize: 3000 }), /pageSize is 3000.*EINVAL/],
      [() => core.deviceLog({ ranges: [{ iova: 0, length: 4096 }], pageSize: 1024 }), /pageSize is 1024/],
      [() => core.deviceLog({ ranges: [{ iova: 2n ** 64n - 4096n, length: 8192 }] }), /EOVERFLOW/],
      [
        () =>
          core.deviceLog({
            ranges: [
              { iova: 4096, length: 8192 },
              { iova: 0, length: 8192 },
            ],
          }),
        /disjoint/,
      ],
      [() => log.report({ iova: 65536, length: 4096, into }), /pages of 65536 \(EINVAL\)/],
      [() => log.report({ iova: 0, length: 65536, into }), /beyond the target bitmap.*ERANGE/],
      [() => log.report({ iova: 65536, length: 131072, into }), /ERANGE/],
      [() => log.report({ iova: 65536, length: 0, into }), /length is 0/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
  });
});
