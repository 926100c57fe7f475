import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { DomainOptions } from '../../src/iommu/domain-options.ts';
import type { Extent } from '../../src/iommu/requester.ts';
import type { Step, Steps } from '../../src/schedule/step.ts';
import type { IommuOptions } from '../../src/iommu/iommu-options.ts';
import type { AttachOptions } from '../../src/iommu/attach-options.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';

const MIB = 2 ** 20;
const STALLING: DomainOptions = { format: 'armv8-s1', faults: { response: 'stall' } };
const PLATFORM: AttachOptions = { pcie: false };

function machine(place: Place, options: DomainOptions, attach: AttachOptions = {}, iommuOptions: IommuOptions = {}) {
  const { core } = siteAt(place, 2).core();
  const iommu = core.iommu({ events: 4, requests: 4, ...iommuOptions });
  const domain = iommu.domain({ dirtyTracking: true, ...options });
  domain.map({ iova: 0, pa: 0x10000, length: 8192, access: READ | WRITE, leafSizes: [4096] });
  domain.map({ iova: 8192, pa: 0x20000, length: 4096, access: READ });
  domain.clearDirty();
  const device = iommu.attach(3, domain, attach);
  const log = core.deviceLog({ ranges: [{ iova: 0, length: MIB }] });
  device.logTo(log);
  /** Pages that the log and the tables call dirty. */
  const dirty = () => {
    const into = core.bitmap({ length: MIB });
    log.report({ iova: 0, length: MIB, into });
    const logged = into.count();
    into.clear();
    domain.readAndClearDirty({ iova: 0, length: MIB, into });
    const tracked = into.count();
    into.close();
    return [logged, tracked];
  };
  return { core, iommu, domain, device, dirty };
}

/** What the DMA is about to do. */
function next(steps: Steps<boolean>): Step {
  return steps.next().value as Step;
}

const NONE = {
  aborts: 0,
  silentAborts: 0,
  ignored: 0,
  stalls: 0,
  stallRetries: 0,
  stallTerminates: 0,
  pageRequests: 0,
  recordsLost: 0,
};

describe.each(PLACES)('requests that fault: $name', (place) => {
  it.each<[DomainOptions, AttachOptions, string, boolean, object]>([
    [{ format: 'amdv1' }, {}, 'abort', true, { aborts: 2 }],
    [{ format: 'vtdss', faults: { record: false } }, {}, 'abort', false, { silentAborts: 2 }],
    [{ format: 'riscv', faults: {} }, {}, 'abort', true, { aborts: 2 }],
    [{ format: 'armv8-s1', faults: { response: 'ignore' } }, {}, 'ignored', true, { ignored: 2 }],
    [{ format: 'armv8-s1', faults: { response: 'ignore', record: false } }, {}, 'ignored', false, { ignored: 2 }],
    [{ format: 'armv8-s2', faults: { response: 'stall' } }, PLATFORM, 'stalled', true, { stalls: 2 }],
    [{ ...STALLING, faults: { response: 'stall', record: false } }, PLATFORM, 'stalled', true, { stalls: 2 }],
    [STALLING, {}, 'abort', true, { aborts: 2 }],
    [{ ...STALLING, faults: { response: 'stall', record: false } }, {}, 'abort', false, { silentAborts: 2 }],
  ])('%o of a device %o get %s', (options, attach, response, recorded, counted) => {
    const { iommu, domain, device, dirty } = machine(place, options, attach);
    // One by itself, one in a batch; of both the first page is written.
    expect(device.access(4096, 8192, WRITE)).toBe(-1);
    const own = device.fault!;
    device.post(4096, 8192, WRITE);
    expect(iommu.run()).toBe(recorded ? 2 : 0);
    const fault = {
      reason: 'permission',
      iova: 8192,
      requesterId: 3,
      access: WRITE,
      stage: domain.format.stage,
      response,
    };
    const tags = response === 'stalled' ? [{ stallTag: 0 }, { stallTag: 1 }] : [{}, {}];
    expect(own).toEqual({ ...fault, ...tags[0] });
    const events = recorded ? tags.map((tag) => ({ ...fault, ...tag })) : [];
    expect([iommu.takeFaults(), iommu.faultCounters]).toEqual([
      { faults: events, lost: 0 },
      { ...NONE, ...counted },
    ]);
    // T7: what was ignored, aborted or stalled has not landed anywhere.
    expect(dirty()).toEqual([1, 1]);
  });

  it('T7: an ignored write leaves no trace but its record', () => {
    const { iommu, device, dirty } = machine(place, { format: 'armv8-s1', faults: { response: 'ignore' } });
    expect([device.access(0x40000, 64, WRITE), device.extents]).toEqual([-1, 0]);
    expect([device.fault!.response, dirty(), iommu.counters.dirtyUpdates]).toEqual(['ignored', [0, 0], 0]);
    const steps = device.dmaSteps(0x40000, 64, WRITE, () => expect.unreachable());
    steps.next();
    expect(steps.next()).toEqual({ done: true, value: false });
  });

  it('T8: reads never make anything dirty, and an Arm stage-1 leaf starts dirty', () => {
    for (const format of ['amdv1', 'vtdss', 'x86_64', 'armv8-s1', 'armv8-s2', 'riscv'] as const) {
      const { iommu, device, domain, dirty, core } = machine(place, { format });
      for (let i = 0; i < 4; i++) device.access((i % 2) * 4096, 64, READ);
      for (let i = 0; i < 4; i++) device.post((i % 2) * 4096, 64, READ);
      iommu.run();
      expect([format, dirty(), iommu.counters.dirtyUpdates]).toEqual([format, [0, 0], 0]);
      domain.map({ iova: 16384, pa: 0, length: 4096, access: READ | WRITE });
      const into = core.bitmap({ length: MIB });
      domain.readAndClearDirty({ iova: 0, length: MIB, into });
      expect([format, into.count()]).toEqual([format, format === 'armv8-s1' ? 1 : 0]);
    }
  });

  it('policies that a format lacks are refused', () => {
    const { iommu } = machine(place, { format: 'amdv1' });
    const bad: [DomainOptions, RegExp][] = [
      [
        { format: 'vtdss', faults: { response: 'stall' } },
        /'stall', which vtdss lacks; the Arm formats have it \(EINVAL\)/,
      ],
      [{ format: 'armv8-s2', faults: { response: 'ignore' } }, /'ignore', which armv8-s2 lacks; armv8-s1 has it/],
      [{ format: 'riscv', faults: { response: 'ignore' } }, /EINVAL/],
      [{ format: 'amdv1', faults: { response: 'explode' as 'abort' } }, /there are abort, ignore, stall \(EINVAL\)/],
    ];
    for (const [options, message] of bad) expect(() => iommu.domain(options)).toThrow(message);
  });

  it('lost records are counted for good', () => {
    const { iommu, device } = machine(place, { format: 'amdv1' }, {}, { events: 1 });
    for (let i = 0; i < 3; i++) device.access(0x40000, 1, READ);
    expect([iommu.takeFaults().lost, iommu.takeFaults().lost]).toEqual([2, 0]);
    device.access(0x40000, 1, READ);
    device.access(0x40000, 1, READ);
    expect(iommu.faultCounters).toEqual({ ...NONE, aborts: 5, recordsLost: 3 });
  });
});

describe.each(PLACES)('stalls: $name', (place) => {
  it('are answered: retry runs what is left, and may stall again; abort and terminate end it', () => {
    const { iommu, domain, device, dirty } = machine(place, STALLING, PLATFORM);
    device.post(4096, 3 * 4096, READ);
    device.post(0, 1, WRITE);
    expect([iommu.run(), dirty()]).toEqual([1, [1, 1]]);
    const [{ stallTag, iova }] = iommu.takeFaults().faults;
    expect([stallTag, iova]).toEqual([0, 12288]);
    iommu.resume(0, 'retry');
    expect([iommu.run(), iommu.takeFaults().faults[0].stallTag]).toEqual([1, 1]);
    domain.map({ iova: 12288, pa: 0x50000, length: 4096, access: READ });
    const { misses } = iommu.counters;
    iommu.resume(1, 'retry');
    expect([iommu.run(), iommu.counters.misses - misses]).toEqual([0, 1]);
    device.access(0x40000, 1, READ);
    device.access(0x41000, 1, READ);
    const tags = iommu.takeFaults().faults.map((fault) => fault.stallTag!);
    iommu.resume(tags[0], 'abort');
    iommu.resume(tags[1], 'terminate');
    expect([iommu.run(), iommu.faultCounters]).toEqual([
      0,
      { ...NONE, stalls: 4, stallRetries: 2, stallTerminates: 2, ignored: 1 },
    ]);
    expect(() => iommu.resume(tags[0], 'retry')).toThrow(/no request waits under 2 \(ENOENT\)/);
  });

  it('let others pass, and are aborted and recorded where no more fit', () => {
    const { iommu, device } = machine(place, { ...STALLING, faults: { response: 'stall', record: false } }, PLATFORM, {
      stalls: 2,
      events: 8,
    });
    for (let i = 0; i < 3; i++) device.post(0x40000 + i, 1, WRITE);
    device.post(0, 1, READ);
    const { hits, misses } = iommu.counters;
    iommu.run();
    expect(iommu.counters.hits + iommu.counters.misses - hits - misses).toBe(4);
    expect(iommu.takeFaults().faults.map(({ response }) => response)).toEqual(['stalled', 'stalled', 'abort']);
    iommu.resume(0, 'abort');
    device.access(0x40000, 1, WRITE);
    expect([device.fault!.stallTag, iommu.faultCounters]).toEqual([
      0,
      { ...NONE, stalls: 3, aborts: 1, stallTerminates: 1 },
    ]);
  });

  it('are recorded late, not lost, where the event queue is full', () => {
    const { iommu, device } = machine(place, STALLING, PLATFORM, { events: 2, requests: 8 });
    for (let i = 0; i < 5; i++) device.post(0x40000 + i * 4096, 1, READ);
    expect(iommu.run()).toBe(2);
    iommu.resume(3, 'abort');
    const tags = () => {
      const { faults, lost } = iommu.takeFaults();
      return [...faults.map(({ stallTag, iova }) => [stallTag, iova]), lost];
    };
    expect(tags()).toEqual([[0, 0x40000], [1, 0x41000], 0]);
    expect(tags()).toEqual([[2, 0x42000], [4, 0x44000], 0]);
    expect(tags()).toEqual([0]);
    expect(iommu.faultCounters.recordsLost).toBe(0);
  });

  it('of one device end together, those of its PASIDs included', () => {
    const { core, iommu, device, domain } = machine(place, STALLING, PLATFORM);
    const space = device.pasid(1, domain);
    const other = iommu.attach(9, domain, PLATFORM);
    for (const one of [device, space, other]) one.access(0x40000, 1, READ);
    expect(iommu.stallTerminate(device)).toBe(2);
    expect([iommu.stallTerminate(device), iommu.faultCounters.stallTerminates]).toEqual([0, 2]);
    const elsewhere = core.iommu();
    expect(() => elsewhere.stallTerminate(other)).toThrow(/behind another IOMMU \(EINVAL\)/);
    iommu.resume(2, 'retry');
    expect(iommu.run()).toBe(4);
  });

  it('go with their device, and a ring that is full makes room for the retry', () => {
    const { iommu, device, domain } = machine(place, STALLING, PLATFORM);
    const other = iommu.attach(9, domain, PLATFORM);
    other.access(0x40000, 1, READ);
    device.access(0x40000, 1, READ);
    other.close();
    expect(() => iommu.resume(0, 'retry')).toThrow(/ENOENT/);
    iommu.attach(10, domain);
    domain.map({ iova: 0x40000, pa: 0, length: 4096, access: READ });
    for (let i = 0; i < 4; i++) device.post(0, 1, READ);
    const before = iommu.counters.hits + iommu.counters.misses;
    iommu.resume(1, 'retry');
    expect(iommu.counters.hits + iommu.counters.misses - before).toBe(4);
    iommu.takeFaults();
    expect([iommu.run(), iommu.counters.hits + iommu.counters.misses - before]).toEqual([0, 5]);
  });

  it('of a DMA in steps make it wait; it is translated again as a whole', () => {
    const { iommu, domain, device } = machine(place, STALLING, PLATFORM);
    const landed: (readonly Extent[])[] = [];
    const steps = device.dmaSteps(4096, 8192, WRITE, (extents) => landed.push(extents));
    domain.unmap(8192, 4096);
    expect(next(steps).what).toMatch(/^translate/);
    const waiting = next(steps);
    expect([waiting.what, waiting.ready!()]).toEqual(['stalled 0x1000 + 8192', false]);
    const tag = iommu.takeFaults().faults[0].stallTag!;
    domain.map({ iova: 8192, pa: 0x90000, length: 4096, access: WRITE });
    iommu.resume(tag, 'retry');
    // Nothing was posted: the requester itself goes on.
    expect([iommu.run(), waiting.ready!()]).toEqual([0, true]);
    expect(next(steps).what).toMatch(/^translate/);
    expect(next(steps).what).toMatch(/^land/);
    expect([steps.next().value, landed]).toEqual([
      true,
      [
        [
          { address: 0x11000, length: 4096 },
          { address: 0x90000, length: 4096 },
        ],
      ],
    ]);
    const ending = device.dmaSteps(0x40000, 1, WRITE, () => expect.unreachable());
    ending.next();
    ending.next();
    expect(iommu.stallTerminate(device)).toBe(1);
    expect(ending.next()).toEqual({ done: true, value: false });
  });

  it('of stage 2 can not be terminated as ignored', () => {
    const { iommu, device } = machine(place, { ...STALLING, format: 'armv8-s2' }, PLATFORM);
    device.access(0x40000, 1, READ);
    expect(() => iommu.resume(0, 'terminate')).toThrow(/stalled in stage 2 can't be ignored; abort it \(EINVAL\)/);
    expect(() => iommu.resume(0, 'maybe' as 'retry')).toThrow(/there are retry, abort, terminate \(EINVAL\)/);
    expect(() => iommu.resume(-1, 'retry')).toThrow(/no request waits under -1 \(ENOENT\)/);
    iommu.resume(0, 'abort');
    expect(iommu.faultCounters).toEqual({ ...NONE, stalls: 1, stallTerminates: 1 });
  });

  it('retried until it is mapped, a batch leaves behind what it would have left at once', () => {
    const request = fc.record({
      page: fc.nat(9),
      pages: fc.integer({ min: 1, max: 4 }),
      access: fc.constantFrom(1, 2),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), fc.nat(3), (requests, answers) => {
        const rest = { iova: 0x3000, pa: 0x30000, length: 0x10000, access: READ | WRITE, leafSizes: [4096] };
        const fix = ({ domain }: ReturnType<typeof machine>) => {
          domain.unmap(8192, 4096);
          domain.map({ iova: 8192, pa: 0x20000, length: 4096, access: READ | WRITE });
          domain.map(rest);
        };
        const post = ({ device, iommu }: ReturnType<typeof machine>) => {
          requests.forEach(({ page, pages, access }) => device.post(page * 4096, pages * 4096, access));
          iommu.run();
        };
        const early = machine(place, { format: 'armv8-s2' });
        fix(early);
        post(early);
        const wanted = early.dirty();
        const late = machine(place, { ...STALLING, format: 'armv8-s2' }, PLATFORM);
        post(late);
        for (let round = 0; ; round++) {
          const { faults } = late.iommu.takeFaults();
          if (faults.length === 0) break;
          if (round === answers) fix(late);
          faults.forEach(({ stallTag }) => late.iommu.resume(stallTag!, 'retry'));
          late.iommu.run();
        }
        const { stalls, stallRetries } = late.iommu.faultCounters;
        expect([late.dirty(), stalls]).toEqual([wanted, stallRetries]);
      }),
      { numRuns: runs(30) },
    );
  });
});

describe.each(PLACES)('page requests: $name', (place) => {
  const PRI: AttachOptions = { ats: { sets: 2, ways: 2 }, pri: true };

  it('wait for an answer, and are no faults of the event queue', () => {
    const { iommu, domain, device } = machine(place, { format: 'x86_64' }, PRI);
    const space = device.pasid(4, domain);
    device.post(0x3ff0, 32, READ);
    space.access(0x40000, 8, WRITE);
    expect([iommu.run(), space.fault]).toEqual([
      0,
      {
        reason: 'translation',
        iova: 0x40000,
        requesterId: 3,
        pasid: 4,
        access: WRITE,
        stage: 1,
        response: 'page-request',
        pageRequest: 0,
      },
    ]);
    expect(iommu.pageRequests()).toEqual([
      { index: 0, requesterId: 3, pasid: 4, iova: 0x40000, length: 8, access: WRITE },
      { index: 1, requesterId: 3, iova: 0x3ff0, length: 32, access: READ },
    ]);
    domain.map({ iova: 0x3000, pa: 0x70000, length: 8192, access: READ });
    iommu.answerPageRequest(1, 'success');
    iommu.answerPageRequest(0, 'failure');
    const { atcMisses } = iommu.cacheCounters;
    expect([iommu.run(), iommu.pageRequests(), iommu.cacheCounters.atcMisses - atcMisses]).toEqual([0, [], 2]);
    expect(iommu.faultCounters).toEqual({ ...NONE, pageRequests: 2 });
    expect(() => iommu.answerPageRequest(0, 'success')).toThrow(/ENOENT/);
    expect(() => iommu.answerPageRequest(0, 'retry' as 'success')).toThrow(/there are success, failure \(EINVAL\)/);
  });

  it('that find the queue full are given up', () => {
    const { iommu, device } = machine(place, { format: 'x86_64' }, PRI, { pageRequests: 1 });
    device.access(0x40000, 1, READ);
    device.access(0x40000, 1, READ);
    expect([device.fault!.response, iommu.faultCounters]).toEqual([
      'abort',
      { ...NONE, pageRequests: 1, silentAborts: 1 },
    ]);
  });

  it('of a DMA in steps make it wait', () => {
    const { iommu, domain, device } = machine(place, { format: 'x86_64' }, PRI);
    for (const answer of ['success', 'failure'] as const) {
      let landed = 0;
      const iova = answer === 'success' ? 0x40000 : 0x50000;
      const steps = device.dmaSteps(iova, 4, WRITE, () => landed++);
      steps.next();
      const waiting = next(steps);
      expect([waiting.what, waiting.ready!()]).toEqual([`page request 0x${iova.toString(16)} + 4`, false]);
      if (answer === 'success') domain.map({ iova, pa: 0, length: 4096, access: WRITE });
      iommu.answerPageRequest(iommu.pageRequests()[0].index, answer);
      let last = steps.next();
      while (!last.done) last = steps.next();
      expect([last.value, landed]).toEqual(answer === 'success' ? [true, 1] : [false, 0]);
    }
  });
});
