import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { ACCESS_MAX_BYTES } from '../../assembly/layout.ts';
import type { Requester } from '../../src/iommu/requester.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';

const MIB = 2 ** 20;
const RAM = 4 * MIB;
const WRITE = 2;

/** Two domains of different formats, four devices: one in each, one in both's stead untranslated, one without anything. */
function machine(place: Place, events = 64, requests = 16) {
  const { core, instance } = siteAt(place, 4).core();
  const iommu = core.iommu({ iotlb: { sets: 2, ways: 2 }, requests, events });
  const first = iommu.domain({ format: 'amdv1', dirtyTracking: true, inputBits: 39 });
  first.map({ iova: 0, pa: 2 ** 32, length: 3 * MIB, access: 3 });
  first.map({ iova: 3 * MIB, pa: 0, length: 65536, access: 1 });
  first.map({ iova: 2 ** 39 - 65536, pa: 65536, length: 65536, access: 3 });
  const second = iommu.domain({ format: 'armv8-s1', granule: '64K', dirtyTracking: true, inputBits: 32 });
  second.map({ iova: 0, pa: 2 ** 33, length: RAM, access: 3 });
  second.clearDirty();
  const devices = [iommu.attach(1, first), iommu.attach(2, second), iommu.attach(3), iommu.attach(4, first)];
  const ranges = [
    { iova: 0, length: 2 * MIB },
    { iova: 2 ** 39 - 65536, length: 131072 },
  ];
  const logs = devices.map(() => core.deviceLog({ ranges }));
  devices.forEach((device, i) => (i === 3 ? undefined : device.logTo(logs[i])));
  return { core, instance, iommu, first, second, devices, logs };
}

/** All that DMA leaves behind. */
function traces({ core, iommu, first, second, logs }: ReturnType<typeof machine>): unknown {
  const low = core.bitmap({ length: RAM });
  const high = core.bitmap({ start: 2 ** 39 - 65536, length: 65536 });
  const read = (run: () => void) => {
    low.clear();
    high.clear();
    run();
    return [[...low.pageRuns()], [...high.pageRuns()]];
  };
  const counters = iommu.counters;
  return {
    counters,
    first: read(() => {
      first.readAndClearDirty({ iova: 0, length: RAM, into: low });
      first.readAndClearDirty({ iova: 2 ** 39 - 65536, length: 65536, into: high });
    }),
    second: read(() => second.readAndClearDirty({ iova: 0, length: RAM, into: low })),
    logs: logs.map((log) =>
      read(() => {
        log.report({ iova: 0, length: RAM, into: low });
        log.report({ iova: 2 ** 39 - 65536, length: 65536, into: high });
      }),
    ),
  };
}

const request = fc.record({
  device: fc.nat(3),
  iova: fc.oneof(fc.nat(RAM + 8192), fc.nat(40_000), fc.integer({ min: 2 ** 39 - 70_000, max: 2 ** 39 + 10 })),
  length: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 300_000 })),
  access: fc.integer({ min: 1, max: 3 }),
});

describe.each(PLACES)('DMA: $name', (place) => {
  it('as a batch does what the same accesses do one by one', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        const single = machine(place);
        const faults: unknown[] = [];
        for (const { device, iova, length, access } of requests) {
          if (length === 0) continue;
          const requester = single.devices[device];
          if (requester.access(iova, length, access) < 0) faults.push(requester.fault);
        }
        const wanted = [faults, traces(single)];
        const batch = machine(place);
        for (const { device, iova, length, access } of requests) batch.devices[device].post(iova, length, access);
        const waiting = batch.iommu.run();
        const taken = batch.iommu.takeFaults();
        expect([[taken.faults, traces(batch)], taken.lost, waiting]).toEqual([wanted, 0, faults.length]);
      }),
      { numRuns: runs(40) },
    );
  });

  it('keeps within the budget of a call, and goes on where it stopped', () => {
    const { instance, iommu, devices } = machine(place);
    devices[0].post(0, 10 * 4096, WRITE);
    devices[2].post(0, 4096, WRITE);
    devices[2].post(0, 4096, WRITE);
    devices[1].post(4095, 4096 * 5, WRITE);
    devices[0].post(2 ** 38, 1, WRITE);
    devices[3].post(0, 4096 * 2, 1);
    const { raw, base } = instance;
    for (const budget of [3, 1, 4]) {
      const before = iommu.counters;
      expect(raw.iommuRun(base, iommu.handle, budget)).toBe(layout.MORE);
      const { hits, misses } = iommu.counters;
      expect(hits + misses - before.hits - before.misses).toBeLessThanOrEqual(budget);
    }
    expect(iommu.run()).toBe(1);
    const { hits, misses } = iommu.counters;
    expect(hits + misses).toBe(10 + 6 + 1 + 2);
    expect(raw.iommuRun(base, iommu.handle, 1)).toBe(layout.DONE);
  });

  it('runs a full ring by itself', () => {
    const { iommu, devices } = machine(place, 64, 4);
    for (let i = 0; i < 11; i++) devices[0].post(i * 4096, 1, 1);
    expect(iommu.counters.misses + iommu.counters.hits).toBe(8);
    iommu.run();
    expect(iommu.counters.misses + iommu.counters.hits).toBe(11);
    iommu.run();
    expect(iommu.counters.misses + iommu.counters.hits).toBe(11);
  });

  it('counts the faults that find the event queue full, and takes them again once it is emptied', () => {
    const { iommu, devices } = machine(place, 2);
    for (let i = 0; i < 5; i++) devices[0].post(2 ** 30 + i * 4096 + i, 100, WRITE);
    expect(iommu.run()).toBe(2);
    const fault = { reason: 'translation', requesterId: 1, access: WRITE, stage: 2, response: 'abort' };
    const wanted = [
      { ...fault, iova: 2 ** 30 },
      { ...fault, iova: 2 ** 30 + 4097 },
    ];
    expect(iommu.takeFaults()).toEqual({ faults: wanted, lost: 3 });
    expect(iommu.takeFaults()).toEqual({ faults: [], lost: 0 });
    devices[3].post(2 ** 39, 1, 1);
    expect(iommu.run()).toBe(1);
    const next = { ...fault, reason: 'address-size', iova: 2 ** 39, requesterId: 4, access: 1 };
    expect(iommu.takeFaults()).toEqual({ faults: [next], lost: 0 });
  });

  it('stops at the first byte that is not translated; what came before has happened', () => {
    const { devices, first } = machine(place);
    const [device] = devices;
    expect(device.access(3 * MIB - 5, 10, WRITE)).toBe(-1);
    expect(device.fault).toEqual({
      reason: 'permission',
      iova: 3 * MIB,
      requesterId: 1,
      access: WRITE,
      stage: 2,
      response: 'abort',
    });
    expect([device.extents, device.extentAddress(0), device.extentLength(0)]).toEqual([1, 2 ** 32 + 3 * MIB - 5, 5]);
    expect(first.translate(3 * MIB - 1)!.dirty).toBe(true);
    expect(device.access(3 * MIB + 65536 - 1, 2, 1)).toBe(-1);
    expect(device.fault).toEqual({
      reason: 'translation',
      iova: 3 * MIB + 65536,
      requesterId: 1,
      access: 1,
      stage: 2,
      response: 'abort',
    });
    expect(device.access(2 ** 39 - 1, 2, 1)).toBe(-1);
    expect(device.fault).toEqual({
      reason: 'address-size',
      iova: 2 ** 39,
      requesterId: 1,
      access: 1,
      stage: 2,
      response: 'abort',
    });
    expect(device.access(2n ** 64n - 1n, 1, 1)).toBe(-1);
    expect(device.fault!.iova).toBe(2n ** 64n - 1n);
    expect([device.access(0, 1, 1), device.fault]).toEqual([1, undefined]);
  });

  it('merges extents that meet, and only those', () => {
    const { core, iommu } = machine(place);
    const domain = iommu.domain({ format: 'vtdss' });
    const pas = [0x10000, 0x11000, 0x13000, 0x12000, 0x13000, 0x5000, 0x6000];
    pas.forEach((pa, i) => domain.map({ iova: i * 4096, pa, length: 4096, access: 3 }));
    const device: Requester = iommu.attach(9, domain);
    const count = device.access(100, 7 * 4096 - 200, WRITE);
    const extents = Array.from({ length: count }, (_, i) => [device.extentAddress(i), device.extentLength(i)]);
    expect(extents).toEqual([
      [0x10064, 8192 - 100],
      [0x13000, 4096],
      [0x12000, 8192],
      [0x5000, 8192 - 100],
    ]);
    expect(core.usage.usedBytes).toBeGreaterThan(0);
  });

  it('takes a single access of up to 15.9 MiB, each page an extent if need be', () => {
    const { iommu } = machine(place);
    const domain = iommu.domain({ format: 'vtdss' });
    const pages = ACCESS_MAX_BYTES / 4096 + 1;
    for (let i = 0; i < pages; i++) domain.map({ iova: i * 4096, pa: (pages - i) * 8192, length: 4096, access: 3 });
    const device = iommu.attach(9, domain);
    expect(device.access(4095, ACCESS_MAX_BYTES, 1)).toBe(pages);
    expect([device.extentAddress(pages - 1), device.extentLength(pages - 1)]).toEqual([8192, 4095]);
    const over = () => device.access(0, ACCESS_MAX_BYTES + 1, 1);
    expect(over).toThrow(/length is 16769025; one access has at most 16769024 bytes.* \(E2BIG\)/);
    device.attachTo(null);
    expect(over).toThrow(/E2BIG/);
  });

  it('from an untranslated device goes as it is, into its log', () => {
    const { core, devices, logs, iommu } = machine(place);
    const device = devices[2];
    expect([device.access(5000, 100, WRITE), device.extentAddress(0), device.extentLength(0)]).toEqual([1, 5000, 100]);
    device.access(8192, 4096, 1);
    device.post(16384, 4096, WRITE);
    device.post(20480, 4096, 1);
    expect([iommu.run(), iommu.counters.misses]).toEqual([0, 0]);
    const into = core.bitmap({ length: 2 * MIB });
    logs[2].report({ iova: 0, length: 2 * MIB, into });
    expect([...into.pageRuns()].map(({ page }) => page)).toEqual([1, 4]);
  });

  it('goes to the domain that a device is in when it runs', () => {
    const { devices, first, second, iommu } = machine(place);
    devices[0].post(0, 1, WRITE);
    devices[0].attachTo(second);
    iommu.run();
    expect([first.translate(0)!.dirty, second.translate(0)!.dirty]).toEqual([false, true]);
    devices[0].attachTo(first);
    devices[0].access(0, 1, WRITE);
    expect(first.translate(0)!.dirty).toBe(true);
  });

  it('of length 0 does nothing in a batch, and is no single access', () => {
    const { devices, iommu } = machine(place);
    for (const device of devices) device.post(2 ** 40, 0, WRITE);
    expect([iommu.run(), iommu.counters.hits, iommu.counters.misses]).toEqual([0, 0, 0]);
    expect(() => devices[0].access(0, 0, WRITE)).toThrow(/length is 0; it must be at least 1 \(EINVAL\)/);
  });

  it('beyond 2^64 is refused, and faults where it gets into the ring all the same', () => {
    const { instance, devices, iommu } = machine(place);
    expect(() => devices[0].post(2n ** 64n - 1n, 2, WRITE)).toThrow(/ends beyond 2\^64 \(EOVERFLOW\)/);
    expect(() => devices[0].access(2n ** 64n - 1n, 2, WRITE)).toThrow(/EOVERFLOW/);
    for (const device of [devices[0], devices[2]]) {
      const slot = instance.slot(iommu.handle, 'test');
      const ring = instance.wordAt(instance.load32(slot + layout.IOMMU_RING));
      const stream = instance.stream(device.handle);
      instance.pushRequest(
        instance.wordAt(slot + layout.IOMMU_RING_POSTED),
        16,
        ring,
        2n ** 64n - 4096n,
        4097,
        stream,
        WRITE,
      );
      expect(iommu.run()).toBe(1);
      expect(iommu.takeFaults().faults).toEqual([
        {
          reason: 'address-size',
          iova: 2n ** 64n - 4096n,
          requesterId: device.id,
          access: WRITE,
          ...(device === devices[0] ? { stage: 2 } : {}),
          response: 'abort',
        },
      ]);
    }
  });

  it('that wraps at the top of a domain of 64 bits faults as a whole', () => {
    const { core, instance } = siteAt(place, 4).core();
    const iommu = core.iommu({ requests: 4 });
    const domain = iommu.domain({ format: 'amdv1', inputBits: 64, dirtyTracking: true });
    domain.map({ iova: 2n ** 64n - 8192n, pa: 0, length: 8192, access: 3, leafSizes: [4096] });
    domain.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    const device = iommu.attach(1, domain);
    const slot = instance.slot(iommu.handle, 'test');
    const ring = instance.wordAt(instance.load32(slot + layout.IOMMU_RING));
    const stream = instance.stream(device.handle);
    instance.pushRequest(
      instance.wordAt(slot + layout.IOMMU_RING_POSTED),
      4,
      ring,
      2n ** 64n - 4096n,
      8192,
      stream,
      WRITE,
    );
    expect(iommu.run()).toBe(1);
    const [fault] = iommu.takeFaults().faults;
    expect([fault.reason, fault.iova]).toEqual(['address-size', 2n ** 64n - 4096n]);
    expect([0, 2n ** 64n - 4096n].map((iova) => domain.translate(iova)!.dirty)).toEqual([false, false]);
    device.post(2n ** 64n - 8192n, 8192, WRITE);
    expect([iommu.run(), domain.translate(2n ** 64n - 1n)!.dirty]).toEqual([0, true]);
  });

  it('says what does not fit, also where the IOTLB has the page', () => {
    // With one leaf size and no log, an access is a single call that only looks whether it is a hit.
    const { iommu } = machine(place);
    const first = iommu.domain({ format: 'vtdss', leafSizes: [4096] });
    const device = iommu.attach(5, first);
    first.map({ iova: 0, pa: 0, length: 4096, access: 3 });
    expect(device.access(0, 64, WRITE)).toBe(1);
    const before = iommu.counters;
    const wrong = [2.5, 2 ** 32 + 2, 2 - 2 ** 32, '2', 2n, NaN, 0, 4] as number[];
    for (const access of wrong)
      expect(() => device.access(0, 64, access), String(access)).toThrow(/access is .*EINVAL/);
    const lengths = [0, -1, 0.5, NaN, '64'] as number[];
    for (const length of lengths)
      expect(() => device.access(0, length, WRITE), String(length)).toThrow(/length is .*EINVAL/);
    for (const length of [...lengths.slice(1), 64n as unknown as number]) {
      expect(() => device.post(0, length, WRITE), String(length)).toThrow(/length of 0x0 is .*EINVAL/);
    }
    for (const iova of [0.5, -1, NaN]) expect(() => device.access(iova, 64, WRITE)).toThrow(/iova is .*EINVAL/);
    for (const access of wrong) {
      const map = () => first.map({ iova: 8192, pa: 0, length: 4096, access });
      expect(map, String(access)).toThrow(/access is .*EINVAL/);
    }
    expect([iommu.counters, first.translate(8192)]).toEqual([before, undefined]);
  });

  it('says what does not fit', () => {
    const { devices, iommu, core } = machine(place);
    const [device] = devices;
    const other = core.iommu().domain({ format: 'vtdss' });
    const errors: [() => unknown, RegExp][] = [
      [() => device.post(0, -1, 1), /length of 0x0 is -1; it must be an integer from 0 to 2\^32 - 1 \(EINVAL\)/],
      [() => device.post(0, 2 ** 32, 1), /EINVAL/],
      [() => device.post(0, 1.5, 1), /EINVAL/],
      [() => device.post(-4096, 4096, 1), /iova is -4096; .*EINVAL/],
      [() => device.post(0, 4096, 0), /access is 0; .*EINVAL/],
      [() => device.post(0, 4096, 7), /access is 7/],
      [() => device.access(0, 4096, 4), /access is 4/],
      [() => device.access(-1, 4096, 1), /iova is -1/],
      [() => device.access(0, -5, 1), /length is -5/],
      [() => iommu.attach(0x10000), /requester id is 65536; it must be an integer from 0 to 0xffff \(EINVAL\)/],
      [() => iommu.attach(0.5), /requester id is 0.5/],
      [() => device.attachTo(other), /the domain belongs to another IOMMU \(EINVAL\)/],
      [() => iommu.attach(1, other), /another IOMMU/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect([iommu.run(), iommu.counters.misses]).toEqual([0, 0]);
    // The device that could not be put into the other's domain is gone.
    for (const left of devices) left.close();
    expect(() => iommu.close()).toThrow(/EBUSY/);
  });
});
