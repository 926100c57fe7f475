import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { AttachOptions } from '../../src/iommu/attach-options.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';

const MIB = 2 ** 20;
const RAM = 4 * MIB;
const ATS: AttachOptions = { ats: { sets: 4, ways: 4 } };
const EAGER: AttachOptions = { ats: { sets: 4, ways: 4, requestWrite: 'always' } };

function machine(place: Place, options: AttachOptions = ATS, invalidation: 'exact' | 'vendor' = 'exact') {
  const { core } = siteAt(place, 4).core();
  const iommu = core.iommu({ invalidation });
  const domain = iommu.domain({ format: 'vtdss', dirtyTracking: true });
  domain.map({ iova: 0, pa: 2 ** 32, length: RAM, access: READ | WRITE, leafSizes: [4096] });
  domain.map({ iova: RAM, pa: 0, length: 4096, access: READ });
  const device = iommu.attach(7, domain, options);
  const into = core.bitmap({ length: RAM });
  const dirty = () => {
    into.clear();
    domain.readAndClearDirty({ iova: 0, length: RAM, into });
    return [...into.pageRuns()].map(({ page, pages }) => [page, pages]);
  };
  return { core, iommu, domain, device, dirty };
}

describe.each(PLACES)('the cache of a device (ATS): $name', (place) => {
  it('keeps what the IOMMU has answered, and asks again for write alone', () => {
    const { iommu, device } = machine(place);
    const counts = (access: number, iova = 0) => {
      device.access(iova, 1, access);
      const { atcHits, atcMisses } = iommu.cacheCounters;
      const { hits, misses } = iommu.counters;
      return [atcHits, atcMisses, hits, misses];
    };
    expect(counts(READ)).toEqual([0, 1, 0, 1]);
    expect(counts(READ)).toEqual([1, 1, 0, 1]);
    // Clean: it was granted for reads only.
    expect(counts(WRITE)).toEqual([1, 2, 1, 1]);
    expect(counts(WRITE)).toEqual([2, 2, 1, 1]);
    expect(counts(READ | WRITE)).toEqual([3, 2, 1, 1]);
  });

  it('is granted write with a read where the page is dirty already', () => {
    const { iommu, domain, device } = machine(place);
    domain.setDirty(0);
    device.access(0, 1, READ);
    device.access(0, 1, WRITE);
    expect([iommu.cacheCounters.atcMisses, iommu.counters.dirtyUpdates]).toEqual([1, 0]);
  });

  it('T9: a request for write makes the page dirty, written or not', () => {
    const { device, dirty, iommu } = machine(place, EAGER);
    device.access(0, 4096 * 3, READ);
    expect(iommu.counters.walkReads).toBe(12);
    expect(dirty()).toEqual([[0, 3]]);
    // The page that may not be written is read all the same.
    expect([device.access(RAM, 1, READ), device.access(RAM, 1, WRITE)]).toEqual([1, -1]);
    expect(machine(place).dirty()).toEqual([]);
    const lazy = machine(place);
    lazy.device.access(0, 4096 * 3, READ);
    expect(lazy.dirty()).toEqual([]);
  });

  it('T9: a clear without its invalidation loses what is written through it; with it, nothing', () => {
    for (const atc of [false, true]) {
      const { core, domain, device, iommu } = machine(place);
      const into = core.bitmap({ length: RAM });
      device.access(0, 1, WRITE);
      domain.readAndClearDirty({ iova: 0, length: RAM, into, order: 'no-invalidate' });
      domain.invalidate(0, RAM, { atc });
      into.clear();
      device.access(0, 1, WRITE);
      domain.readAndClearDirty({ iova: 0, length: RAM, into });
      expect([atc, into.count(), iommu.cacheCounters.atcInvalidations]).toEqual([atc, atc ? 1 : 0, atc ? 2 : 0]);
    }
  });

  it('is invalidated after the IOTLB: for the devices of the domain, and of those alone', () => {
    const { iommu, domain, device } = machine(place);
    const second = iommu.attach(8, domain, ATS);
    const other = iommu.domain({ format: 'vtdss' });
    other.map({ iova: 0, pa: 0, length: 4096, access: READ });
    const third = iommu.attach(9, other, ATS);
    const plain = iommu.attach(10, domain);
    const misses = () => {
      const before = iommu.cacheCounters.atcMisses;
      return [device, second, third]
        .map((one) => {
          const { atcMisses } = iommu.cacheCounters;
          one.access(0, 1, READ);
          return iommu.cacheCounters.atcMisses - atcMisses;
        })
        .concat(iommu.cacheCounters.atcMisses - before);
    };
    plain.access(0, 1, READ);
    expect(misses()).toEqual([1, 1, 1, 3]);
    domain.invalidate(0, 1);
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([[1, 1, 0, 2], 2]);
    domain.invalidate(4096, 4096);
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([[0, 0, 0, 0], 4]);
    other.invalidateDomain();
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([[0, 0, 1, 1], 5]);
    iommu.invalidateAll({ atc: false });
    expect(misses()).toEqual([0, 0, 0, 0]);
    iommu.invalidateAll();
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([[1, 1, 1, 3], 8]);
    second.close();
    domain.invalidateAsid();
    expect(iommu.cacheCounters.atcInvalidations).toBe(9);
  });

  it('gets a power-of-two block where vendors encode', () => {
    const { iommu, domain, device } = machine(place, ATS, 'vendor');
    const pages = [0, 1, 2, 3, 4];
    const missed = () =>
      pages.filter((page) => {
        const { atcMisses } = iommu.cacheCounters;
        device.access(page * 4096, 1, READ);
        return iommu.cacheCounters.atcMisses > atcMisses;
      });
    missed();
    domain.invalidate(4096, 8192);
    expect(missed()).toEqual([0, 1, 2, 3]);
  });

  it('is emptied when the device changes its domain', () => {
    const { iommu, domain, device } = machine(place);
    device.access(0, 1, WRITE);
    const other = iommu.domain({ format: 'vtdss' });
    other.map({ iova: 0, pa: 0x5000, length: 4096, access: READ });
    device.attachTo(other);
    expect([device.access(0, 1, READ), device.extentAddress(0)]).toEqual([1, 0x5000]);
    device.attachTo(domain);
    expect([device.access(0, 1, READ), device.extentAddress(0)]).toEqual([1, 2 ** 32]);
  });

  it('a device without PRI gives up what it misses, and nothing is recorded', () => {
    const { iommu, device } = machine(place);
    expect(device.access(2 ** 30, 1, READ)).toBe(-1);
    expect(device.fault).toMatchObject({ reason: 'translation', response: 'abort', stage: 2 });
    device.post(2 ** 30, 1, READ);
    expect([iommu.run(), iommu.takeFaults()]).toEqual([0, { faults: [], lost: 0 }]);
    expect(iommu.faultCounters).toMatchObject({ aborts: 0, silentAborts: 2, pageRequests: 0, recordsLost: 0 });
  });

  it('memory goes with the device', () => {
    const { core, iommu, device } = machine(place);
    const used = core.usage.usedBytes;
    const large = iommu.attach(1, null, { ats: { sets: 64, ways: 64 } });
    // 32 bytes per way, 32 per eight ways, up to a power of two.
    expect(core.usage.usedBytes - used).toBe(2 * 64 * 64 * 32);
    large.close();
    expect(core.usage.usedBytes).toBe(used);
    device.close();
  });

  it('options are checked', () => {
    const { iommu, core } = machine(place);
    const used = core.usage.usedBytes;
    const bad: [AttachOptions, RegExp][] = [
      [{ pri: true }, /pri is true without ats; .*EINVAL/],
      [{ pcie: false, ats: { sets: 1, ways: 1 } }, /not PCIe.*EINVAL/],
      [{ ats: { sets: 3, ways: 1 } }, /ats is 3 sets x 1 ways; .*EINVAL/],
      [{ ats: { sets: 1, ways: 0 } }, /ways of ats is 0/],
      [{ ats: { sets: 1, ways: 1, requestWrite: 'never' as 'always' } }, /requestWrite is 'never'/],
    ];
    for (const [options, message] of bad) expect(() => iommu.attach(1, null, options)).toThrow(message);
    expect(core.usage.usedBytes).toBe(used);
  });

  it('changes no translation and forgets no page, as long as it is invalidated', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          op: fc.constant('access' as const),
          page: fc.nat(7),
          access: fc.integer({ min: 1, max: 3 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ op: fc.constant('read' as const) }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('remap' as const), page: fc.nat(7), pa: fc.nat(9) }) },
    );
    fc.assert(
      fc.property(fc.constantFrom(ATS, EAGER), fc.array(step, { maxLength: 40 }), (options, steps) => {
        const [plain, cached] = [{}, options].map((own) => {
          const { domain, device, dirty } = machine(place, own);
          const said: unknown[] = [];
          const reports: number[][][] = [];
          for (const one of steps) {
            if (one.op === 'access') {
              const done = device.access(one.page * 4096, 1, one.access);
              said.push(done < 0 ? device.fault!.reason : device.extentAddress(0));
            } else if (one.op === 'read') {
              reports.push(dirty());
            } else {
              domain.unmap(one.page * 4096, 4096);
              domain.map({ iova: one.page * 4096, pa: one.pa * 4096, length: 4096, access: READ | WRITE });
            }
          }
          reports.push(dirty());
          return { said, reports };
        });
        const pagesOf = (runs: number[][]) =>
          runs.flatMap(([page, pages]) => Array.from({ length: pages }, (_, i) => page + i));
        const forgotten = plain.reports.map((report, i) =>
          pagesOf(report).filter((page) => !pagesOf(cached.reports[i]).includes(page)),
        );
        expect([cached.said, forgotten.flat()]).toEqual([plain.said, []]);
      }),
      { numRuns: runs(40) },
    );
  });
});

describe.each(PLACES)('PASIDs: $name', (place) => {
  it('are address spaces of one device, each with its own stream', () => {
    const { iommu, device, domain } = machine(place, {});
    const other = iommu.domain({ format: 'x86_64' });
    other.map({ iova: 0, pa: 0x8000, length: 4096, access: READ });
    const space = device.pasid(0xfffff, other);
    expect([space.id, space.ownPasid, device.ownPasid]).toEqual([7, 0xfffff, undefined]);
    expect([space.access(0, 1, READ), space.extentAddress(0)]).toEqual([1, 0x8000]);
    expect([device.access(0, 1, READ), device.extentAddress(0)]).toEqual([1, 2 ** 32]);
    space.post(4096, 1, WRITE);
    device.post(2 ** 40, 1, READ);
    device.pasid(0, domain).post(2 ** 41, 1, READ);
    iommu.run();
    const common = { reason: 'translation', requesterId: 7, response: 'abort' };
    expect(iommu.takeFaults().faults).toEqual([
      { ...common, iova: 4096, access: WRITE, pasid: 0xfffff, stage: 1 },
      { ...common, iova: 2 ** 40, access: READ, stage: 2 },
      { ...common, iova: 2 ** 41, access: READ, pasid: 0, stage: 2 },
    ]);
    expect(space.access(4096, 1, WRITE)).toBe(-1);
    expect(space.fault).toEqual({ ...common, iova: 4096, access: WRITE, pasid: 0xfffff, stage: 1 });
  });

  it('share the cache of the device, and each keeps to its own entries', () => {
    const { iommu, device, domain } = machine(place);
    const other = iommu.domain({ format: 'vtdss' });
    other.map({ iova: 0, pa: 0x8000, length: 4096, access: READ });
    const spaces = [device, device.pasid(0, other), device.pasid(1, domain)];
    const first = spaces.map((space) => [space.access(0, 1, READ), space.extentAddress(0)]);
    expect(first).toEqual([
      [1, 2 ** 32],
      [1, 0x8000],
      [1, 2 ** 32],
    ]);
    const misses = () => {
      const before = iommu.cacheCounters.atcMisses;
      spaces.forEach((space) => space.access(0, 1, READ));
      return iommu.cacheCounters.atcMisses - before;
    };
    expect(misses()).toBe(0);
    other.invalidate(0, 4096);
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([1, 1]);
    domain.invalidate(0, 4096);
    expect([misses(), iommu.cacheCounters.atcInvalidations]).toEqual([2, 3]);
    spaces[1].close();
    other.unmap(0, 4096);
    expect(iommu.cacheCounters.atcInvalidations).toBe(3);
    const again = device.pasid(0, other);
    expect(again.access(0, 1, READ)).toBe(-1);
  });

  it('are taken once, closed before the device, and numbers of 20 bits', () => {
    const { core, iommu, device, domain } = machine(place, {});
    const elsewhere = core.iommu().domain({ format: 'vtdss' });
    const space = device.pasid(5, domain);
    const errors: [() => unknown, RegExp][] = [
      [() => device.pasid(5, domain), /has PASID 5 already; .*EEXIST/],
      [() => device.pasid(2 ** 20, domain), /pasid is 1048576; it must be an integer from 0 to 0xfffff \(EINVAL\)/],
      [() => device.pasid(-1, domain), /EINVAL/],
      [() => device.pasid(0.5, domain), /EINVAL/],
      [() => space.pasid(1, domain), /has no PASIDs; ask the device \(EINVAL\)/],
      [() => device.pasid(6, elsewhere), /another IOMMU \(EINVAL\)/],
      [() => device.close(), /has PASIDs; close those first \(EBUSY\)/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect(iommu.attach(7, domain).pasid(5, domain).ownPasid).toBe(5);
    space.close();
    device.pasid(5, null).close();
    device.close();
  });
});
