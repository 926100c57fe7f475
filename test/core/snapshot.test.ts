import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { runs } from '../runs.ts';
import { PLACES, Site, codeOf } from './builds.ts';

const MIB = 2 ** 20;
const RAM = 64 * 4096;

/** A machine with an object of every kind. */
function machine(core: Core) {
  const iommu = core.iommu({ iotlb: { sets: 2, ways: 2 }, requests: 8, events: 4 });
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true });
  domain.map({ iova: 0, pa: 0x40000000, length: RAM, access: 3 });
  const device = iommu.attach(1, domain);
  const log = core.deviceLog({ ranges: [{ iova: 0, length: RAM }] });
  device.logTo(log);
  return { core, iommu, domain, device, log, dirty: core.bitmap({ length: RAM }) };
}

type Machine = ReturnType<typeof machine>;
interface Act {
  readonly what: 'access' | 'post' | 'run' | 'read' | 'report' | 'remap' | 'mark';
  readonly page: number;
}

const act = fc.record({
  what: fc.constantFrom<Act['what']>('access', 'post', 'post', 'run', 'read', 'report', 'remap', 'mark'),
  page: fc.nat(70),
});
const acts = fc.array(act, { maxLength: 25 });

/** Does it and says all that can be seen of it. */
function perform({ iommu, domain, device, log, dirty }: Machine, { what, page }: Act): unknown {
  const range = { iova: 0, length: RAM, into: dirty };
  switch (what) {
    case 'access':
      return [device.access(page * 4096, 100, 1 + (page % 3)), device.fault];
    case 'post':
      return device.post(page * 4096, 9000, 1 + (page % 3));
    case 'run':
      return [iommu.run(), iommu.takeFaults(), iommu.counters];
    case 'read':
      return [domain.readAndClearDirty(range), [...dirty.pageRuns()], domain.usage];
    case 'report':
      return [log.report(range), [...dirty.pageRuns()]];
    case 'remap': {
      const iova = (page % 64) * 4096;
      const gone = codeOf(() => domain.unmap(iova, 4096));
      return [gone, codeOf(() => domain.map({ iova, pa: iova, length: 4096, access: 3 }))];
    }
    case 'mark':
      return [dirty.clear(), codeOf(() => dirty.mark(page * 4096, 5000)), dirty.count()];
  }
}

describe.each(PLACES)('snapshots: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[(PLACES.indexOf(place) + 2) % PLACES.length], 2);

  it('bring everything back, in the same core and in another one at another base', () => {
    fc.assert(
      fc.property(acts, acts, acts, (before, after, between) => {
        const original = machine(site.core().core);
        before.forEach((step) => perform(original, step));
        const saved = original.core.save();
        const wanted = after.map((step) => perform(original, step));
        original.core.load(saved);
        const again = after.map((step) => perform(original, step));
        const copy = machine(elsewhere.core().core);
        between.forEach((step) => perform(copy, step));
        copy.core.load(saved);
        const there = after.map((step) => perform(copy, step));
        expect([again, there]).toEqual([wanted, wanted]);
      }),
      { numRuns: runs(15) },
    );
    expect([...site.strayWrites(), ...elsewhere.strayWrites()]).toEqual([]);
  });

  it('are the same bytes after a load', () => {
    const { core, device } = machine(site.core().core);
    const saved = core.save();
    device.access(0, 4096, 2);
    const later = core.save();
    core.load(saved);
    expect(Buffer.compare(core.save(), saved)).toBe(0);
    expect(Buffer.compare(later, saved)).not.toBe(0);
  });

  it('know nothing of what was made since, and never will: its handles name nothing', () => {
    const { core } = machine(site.core().core);
    const saved = core.save();
    const since = Array.from({ length: 3 }, () => core.bitmap({ length: 4096 }));
    const late = Array.from({ length: 700 }, () => core.bitmap({ length: 4096 }));
    core.load(saved);
    const refused = [...since, ...late].map((bitmap) => codeOf(() => bitmap.count()));
    expect(new Set(refused)).toEqual(new Set(['EBADF']));
    const fresh = Array.from({ length: 720 }, () => core.bitmap({ length: 4096 }));
    fresh.forEach((bitmap) => bitmap.mark(0, 1));
    const still = [...since, ...late].map((bitmap) => codeOf(() => bitmap.count()));
    expect(new Set(still)).toEqual(new Set(['EBADF']));
    expect(fresh.every((bitmap) => bitmap.count() === 1)).toBe(true);
  });

  it('bring back what was closed since', () => {
    const { core, dirty } = machine(site.core().core);
    dirty.mark(0, 8192);
    const saved = core.save();
    dirty.close();
    const usurper = core.bitmap({ length: 4096 });
    core.load(saved);
    expect([dirty.count(), codeOf(() => usurper.count())]).toEqual([2, 'EBADF']);
    dirty.close();
    core.bitmap({ length: 4096 });
    expect(codeOf(() => usurper.count())).toBe('EBADF');
  });

  it('are refused when damaged, cut short, or of something else, and then nothing changes', () => {
    const { core, domain } = machine(site.core().core);
    const saved = core.save();
    domain.unmap(0, 4096);
    const state = core.save();
    const damaged: Uint8Array[] = [];
    const places = [0, 7, 8, 9, 12, 15, 16, 20, 24, 28, 0x90, 0x210, 0x410, 0x4810, 0x6000, MIB / 2, saved.length - 1];
    for (const at of places) {
      const copy = saved.slice();
      copy[at] ^= 1 << (at & 7);
      damaged.push(copy);
    }
    for (const length of [0, 8, 16, 4096, saved.length - 1]) damaged.push(saved.slice(0, length));
    const longer = new Uint8Array(saved.length + MIB);
    longer.set(saved);
    damaged.push(longer, new Uint8Array(100), new TextEncoder().encode('WIOMSNAP'));
    expect(damaged.map((snapshot) => codeOf(() => core.load(snapshot)))).toEqual(damaged.map(() => 'EINVAL'));
    expect(Buffer.compare(core.save(), state)).toBe(0);
  });

  it('of another size are refused with the size that is right', () => {
    const saved = machine(new Site(place, 3).core().core).core.save();
    const { core } = site.core();
    expect(() => core.load(saved)).toThrow(/a core of 3 MiB/);
  });
});

describe('snapshots', () => {
  it('are the same bytes in every build, place and budget, but for the mailbox', () => {
    const steps: Act[] = Array.from({ length: 300 }, (_, i) => ({
      what: (['access', 'post', 'run', 'read', 'report', 'remap', 'mark'] as const)[(i * i + 3 * i) % 7],
      page: (i * 37) % 71,
    }));
    const saved = PLACES.map((place) => {
      const site = new Site(place, 2);
      const built = machine(site.core().core);
      const seen = JSON.stringify(steps.map((step) => perform(built, step)));
      const bytes = built.core.save();
      bytes.fill(0, 12, 16); // the checksum
      bytes.fill(0, 16 + 0x80, 16 + 0x100);
      return { seen, bytes };
    });
    expect(saved.map(({ seen }) => seen === saved[0].seen)).toEqual(PLACES.map(() => true));
    expect(saved.map(({ bytes }) => Buffer.compare(bytes, saved[0].bytes))).toEqual(PLACES.map(() => 0));
  });
});
