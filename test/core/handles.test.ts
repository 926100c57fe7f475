import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import type { Core } from '../../src/core/core.ts';
import type { Instance } from '../../src/wasm/instance.ts';
import { runs } from '../runs.ts';
import { PLACES, Site, codeOf } from './builds.ts';

const READ_WRITE = 3;
const EBADF = -layout.EBADF;

/** One object of each kind, and what may be done with it. */
function oneOfEach(core: Core) {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 2 }, requests: 4, events: 4 });
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true });
  const device = iommu.attach(0x18, domain);
  const bitmap = core.bitmap({ length: 65536 });
  const other = core.bitmap({ length: 65536 });
  const log = core.deviceLog({ ranges: [{ iova: 0, length: 65536 }] });
  return { iommu, domain, device, bitmap, other, log };
}

/** Every operation on the object that is named; all of them need it alive. */
function operations(all: ReturnType<typeof oneOfEach>): Record<string, (() => unknown)[]> {
  const { iommu, domain, device, bitmap, other, log } = all;
  const range = { iova: 0, length: 65536 };
  return {
    bitmap: [
      () => bitmap.mark(0, 1),
      () => bitmap.markPages(0, 1),
      () => bitmap.markList(Uint32Array.of(1)),
      () => bitmap.has(0),
      () => bitmap.count(),
      () => bitmap.clear(),
      () => bitmap.or(other),
      () => other.or(bitmap),
      () => bitmap.readAndClear({ into: other }),
      () => other.readAndClear({ into: bitmap }),
      () => [...bitmap.runs()],
      () => bitmap.words(),
      () => log.report({ ...range, into: bitmap }),
      () => domain.readAndClearDirty({ ...range, into: bitmap }),
      () => bitmap.close(),
    ],
    log: [() => log.report({ ...range, into: other }), () => device.logTo(log), () => log.close()],
    device: [
      () => device.access(0, 1, READ_WRITE),
      () => device.attachTo(null),
      () => device.logTo(null),
      () => device.fault,
      () => device.close(),
    ],
    domain: [
      () => domain.map({ iova: 0, pa: 0, length: 4096, access: READ_WRITE }),
      () => domain.unmap(0, 4096),
      () => domain.translate(0),
      () => domain.readAndClearDirty({ ...range, into: other }),
      () => domain.setDirtyTracking(true),
      () => domain.clearDirty(),
      () => domain.invalidate(0, 4096),
      () => domain.usage,
      () => iommu.attach(1, domain),
      () => domain.close(),
    ],
    iommu: [
      () => iommu.run(),
      () => iommu.takeFaults(),
      () => iommu.counters,
      () => iommu.attach(2),
      () => iommu.domain({ format: 'vtdss' }),
      () => iommu.close(),
    ],
  };
}

describe.each(PLACES)('handles: $name', (place) => {
  const site = new Site(place, 2);

  it('are refused after close, also when the slot has a new owner', () => {
    const { core } = site.core();
    const all = oneOfEach(core);
    const calls = operations(all);
    const codes: Record<string, string[]> = {};
    for (const kind of ['bitmap', 'device', 'log', 'domain', 'iommu'] as const) {
      all[kind].close();
      const now = calls[kind].map(codeOf);
      oneOfEach(core);
      codes[kind] = [...now, ...calls[kind].map(codeOf)];
    }
    for (const [kind, found] of Object.entries(codes)) {
      expect([kind, [...new Set(found)]]).toEqual([kind, ['EBADF']]);
    }
  });

  it('of one kind name nothing for an operation on another', () => {
    const { core, instance } = site.core();
    const all = oneOfEach(core);
    const { raw, base } = instance;
    const calls: Record<string, (handle: number) => number> = {
      bitmap: (handle) => raw.bitmapCount(base, handle),
      log: (handle) => raw.logReport(base, handle, all.other.handle, 0, 1),
      device: (handle) => raw.deviceAccess(base, handle, 1),
      domain: (handle) => raw.domainTranslate(base, handle),
      iommu: (handle) => raw.iommuRun(base, handle, 1),
    };
    for (const [kind, call] of Object.entries(calls)) {
      const kept = Object.keys(calls).filter((name) => name !== kind);
      const handles = [0, 1, -1, 0x7fffffff, 0x10000 + 511, ...kept.map((name) => all[name as 'log'].handle)];
      expect([kind, handles.map(call)]).toEqual([kind, handles.map(() => EBADF)]);
    }
  });

  it('are not taken by another core, whose object of the same handle stays as it is', () => {
    const here = oneOfEach(site.core().core);
    const there = oneOfEach(new Site(place, 2).core().core);
    expect(there.bitmap.handle).toBe(here.bitmap.handle);
    const range = { iova: 0, length: 65536 };
    here.other.mark(0, 1);
    const codes = [
      () => here.other.or(there.bitmap),
      () => here.other.readAndClear({ into: there.bitmap }),
      () => here.log.report({ ...range, into: there.bitmap }),
      () => here.domain.readAndClearDirty({ ...range, into: there.bitmap }),
      () => here.device.attachTo(there.domain),
      () => here.device.logTo(there.log),
    ].map(codeOf);
    expect(codes).toEqual(Array(6).fill('EBADF'));
    expect([here.bitmap.count(), here.other.count()]).toEqual([0, 1]);
  });

  it('hold on to what is still in use (EBUSY), and let go of it after', () => {
    const { iommu, domain, device, log } = oneOfEach(site.core().core);
    device.logTo(log);
    expect([iommu, domain, log].map((object) => codeOf(() => object.close()))).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
    device.logTo(null);
    log.close();
    device.attachTo(null);
    domain.close();
    expect(codeOf(() => iommu.close())).toBe('EBUSY');
    device.close();
    expect(codeOf(() => iommu.close())).toBe('none');
  });

  it('count their users right in any order of attaching and logging', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(2), fc.boolean()), { maxLength: 20 }), (steps) => {
        const { core } = site.core();
        const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
        const domains = [null, iommu.domain({ format: 'vtdss' }), iommu.domain({ format: 'amdv1' })];
        const logs = [null, ...[0, 1].map(() => core.deviceLog({ ranges: [{ iova: 0, length: 4096 }] }))];
        const devices = [0, 1, 2].map((id) => iommu.attach(id));
        const at = devices.map(() => ({ domain: 0, log: 0 }));
        for (const [device, target, logging] of steps) {
          if (logging) devices[device].logTo(logs[(at[device].log = target)]);
          else devices[device].attachTo(domains[(at[device].domain = target)]);
        }
        const wanted = [1, 2].flatMap((i) => [
          at.some(({ domain }) => domain === i) ? 'EBUSY' : 'none',
          at.some(({ log }) => log === i) ? 'EBUSY' : 'none',
        ]);
        const codes = [1, 2].flatMap((i) => [codeOf(() => domains[i]!.close()), codeOf(() => logs[i]!.close())]);
        expect(codes).toEqual(wanted);
      }),
      { numRuns: runs(30) },
    );
  });

  it('never come back: a slot that has used up its generations stays out of use', () => {
    const { core, instance } = site.core();
    const first = core.bitmap({ length: 4096 });
    const slot = instance.slot(first.handle, 'test');
    first.close();
    instance.words(slot + layout.SLOT_ISSUED, 1)[0] = layout.MAX_GENERATION - 2;
    const handles: number[] = [];
    for (let i = 0; i < 5; i++) {
      const bitmap = core.bitmap({ length: 4096 });
      handles.push(bitmap.handle);
      bitmap.close();
    }
    const index = first.handle & 0xffff;
    expect(handles.map((handle) => [handle & 0xffff, handle >>> 16])).toEqual([
      [index, layout.MAX_GENERATION - 1],
      [index, layout.MAX_GENERATION],
      [index + 1, 1],
      [index + 1, 2],
      [index + 1, 3],
    ]);
  });

  it('of a device that is gone are no stream: its posts do not become those of the slot’s next owner', () => {
    const { core } = site.core();
    const { iommu, device, domain } = oneOfEach(core);
    domain.map({ iova: 0, pa: 0, length: 4096, access: READ_WRITE });
    device.post(0, 8, 2);
    device.close();
    const next = iommu.attach(0x20);
    device.post(0x5000, 8, 2);
    device.post(0x6000, 0, 2);
    expect(iommu.run()).toBe(1);
    expect([iommu.takeFaults(), next.fault, domain.translate(0)!.dirty]).toEqual([
      { faults: [{ reason: 'bad-stream', iova: 0x5000, requesterId: 0, access: 2, response: 'abort' }], lost: 0 },
      undefined,
      true,
    ]);
  });

  it('posts to an IOMMU that was closed do not write to what lies there now', () => {
    const { core } = site.core();
    const { iommu, device, domain } = oneOfEach(core);
    for (const object of [device, domain, iommu]) object.close();
    const bitmaps = Array.from({ length: 8 }, () => core.bitmap({ length: 65536 * 4096 }));
    expect(codeOf(() => device.post(0x1000, 0x1000, 2))).toBe('EBADF');
    expect(bitmaps.map((bitmap) => bitmap.count())).toEqual(Array(8).fill(0));
  });
});

describe('slots', () => {
  it('grow past a block of them', () => {
    const instance: Instance = new Site(PLACES[1], 2).instance();
    instance.store64(layout.MAIL0, 0);
    const handles = Array.from({ length: 200 }, () => instance.raw.bitmapCreate(instance.base, 1, 12));
    const iommu = instance.raw.iommuCreate(instance.base, 1, 1, 1, 1, 1, 1, 0);
    const devices = Array.from({ length: 1200 }, () => instance.raw.deviceCreate(instance.base, iommu, 1, 0));
    expect(new Set([...handles, iommu, ...devices]).size).toBe(1401);
    expect(devices.every((device) => instance.raw.deviceDestroy(instance.base, device) === 0)).toBe(true);
    expect(devices.every((device) => instance.raw.deviceDestroy(instance.base, device) === EBADF)).toBe(true);
  });
});
