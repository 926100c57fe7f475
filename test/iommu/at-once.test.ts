import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/wasm/address.ts';
import { runWhole } from '../../src/schedule/step.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { machine } from './one-leaf.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

interface Act {
  readonly what: 'map' | 'unmap' | 'write';
  readonly at: number;
  readonly length: number;
  readonly skew: number;
}

const near = fc.oneof(fc.nat(60), fc.nat(1100));
const act: fc.Arbitrary<Act> = fc.record({
  what: fc.constantFrom<Act['what']>('map', 'map', 'unmap', 'write'),
  at: near,
  length: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 1500 })),
  skew: fc.constantFrom(0, 0, 1, 7),
});

/** A domain with a device, changed in the one way or in the other. */
function subject(site: Site, shape: TableShape, steps: boolean) {
  const { core } = site.core();
  const iommu = core.iommu({ iotlb: { sets: 4, ways: 2 }, walkCache: { sets: 2, ways: 2 }, requests: 1, events: 4 });
  const domain = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
  const device = iommu.attach(1, domain);
  const { granule } = shape;
  const attempt = <T>(run: () => T): unknown => {
    let said: T | undefined;
    const code = codeOf(() => (said = run()));
    return [code, said];
  };
  return {
    perform({ what, at, length, skew }: Act): unknown {
      const iova = at * granule;
      const bytes = length * granule;
      const options = { iova, pa: iova + skew * granule, length: bytes, access: 3 };
      switch (what) {
        case 'map':
          return attempt(() => (steps ? runWhole(domain.mapSteps(options)) : domain.map(options)));
        case 'unmap':
          return attempt(() => (steps ? runWhole(domain.unmapSteps(iova, bytes)) : domain.unmap(iova, bytes)));
        case 'write':
          return [device.access(iova, 8, 3), device.fault];
      }
    },
    seen: () => [domain.usage, core.usage.usedBytes, iommu.counters, domain.resizes],
    leaves: () => Array.from({ length: 300 }, (_, i) => domain.translate(i * 9 * granule)),
  };
}

const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

describe.each(EACH)('at once: $name', ({ place, shape }) => {
  const mebibytes = shape.granule <= 4096 ? 2 : 8;
  const sites = [new Site(place, mebibytes), new Site(place, mebibytes)];

  it('a map and an unmap do what their steps do', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 16 }), (acts) => {
        const [whole, steps] = [false, true].map((by, i) => subject(sites[i], shape, by));
        const [ours, theirs] = [whole, steps].map((one) => [
          acts.map((one_) => [one.perform(one_), one.seen()]),
          one.leaves(),
        ]);
        expect(ours).toEqual(theirs);
      }),
      { numRuns: runs(25) },
    );
  });
});

const MIB = 2 ** 20;
const MAPPED = { iova: 0, pa: 0, length: 64 * 4096, access: 3 };

describe.each(PLACES)('at once: $name', (place) => {
  const open = () => machine(place, { format: 'vtdss', leafSizes: [4096] });

  it.each([
    ['iova', { iova: 0.5 }, 'EINVAL'],
    ['iova', { iova: -4096 }, 'EINVAL'],
    ['iova', { iova: NaN }, 'EINVAL'],
    ['iova', { iova: 2 ** 53 }, 'EINVAL'],
    ['iova', { iova: 2 ** 52 }, 'ERANGE'],
    ['iova', { iova: 1 }, 'EINVAL'],
    ['pa', { pa: Infinity }, 'EINVAL'],
    ['pa', { pa: 2 ** 52 }, 'ERANGE'],
    ['length', { length: 0 }, 'EINVAL'],
    ['length', { length: 4095 }, 'EINVAL'],
    ['length', { length: 2 ** 53 - 4096 }, 'ERANGE'],
    ['access', { access: 0 }, 'EINVAL'],
    ['access', { access: 1.5 }, 'EINVAL'],
    ['access', { access: 7 }, 'EINVAL'],
    ['access', { access: 2 ** 32 + 1 }, 'EINVAL'],
    ['leafSizes', { leafSizes: [8192] }, 'EINVAL'],
    ['global', { global: true }, 'EINVAL'],
  ])('a map refuses a wrong %s: %o', (_, wrong, code) => {
    const { core, domain } = open();
    const before = [core.usage.usedBytes, domain.usage];
    expect(codeOf(() => domain.map({ ...MAPPED, ...wrong }))).toBe(code);
    expect([core.usage.usedBytes, domain.usage]).toEqual(before);
  });

  it.each<[string, Address, Address, string]>([
    ['iova', 0.5, 4096, 'EINVAL'],
    ['iova', -1, 4096, 'EINVAL'],
    ['iova', 2048, 4096, 'EINVAL'],
    ['iova', 2 ** 52, 4096, 'ERANGE'],
    ['length', 0, 0, 'EINVAL'],
    ['length', 0, 1.5, 'EINVAL'],
  ])('an unmap refuses a wrong %s: %d, %d', (_, iova, length, code) => {
    const { domain } = open();
    domain.map(MAPPED);
    expect(codeOf(() => domain.unmap(iova, length))).toBe(code);
    expect(domain.usage.mappedBytes).toBe(64 * 4096);
  });

  it('bigints do the same', () => {
    const { domain } = open();
    domain.map({ iova: 0n, pa: 0n, length: 8192n, access: 3 });
    expect([domain.unmap(0n, 4096n), domain.unmap(4096, 4096n), domain.usage.mappedBytes]).toEqual([4096, 4096, 0]);
  });

  it('a map that finds its last page taken undoes the others', () => {
    const { core, domain } = open();
    domain.map({ ...MAPPED, iova: 4 * MIB - 4096, length: 4096 });
    const before = [core.usage.usedBytes, domain.usage];
    expect(codeOf(() => domain.map({ ...MAPPED, length: 4 * MIB }))).toBe('EADDRINUSE');
    expect([core.usage.usedBytes, domain.usage, domain.translate(0)]).toEqual([...before, undefined]);
  });

  it('an unmap stops at a hole, wherever it lies', () => {
    for (let hole = 1; hole < 24; hole++) {
      const { domain } = open();
      domain.map(MAPPED);
      domain.unmap(hole * 4096, 4096);
      expect([domain.unmap(0, 24 * 4096), domain.usage.mappedBytes]).toEqual([hole * 4096, (63 - hole) * 4096]);
    }
  });

  it('a map or an unmap waits for whoever changes leaf sizes', () => {
    const { domain } = machine(place, { format: 'vtdss' });
    domain.map({ ...MAPPED, length: 2 * MIB });
    const split = domain.splitSteps(0, 2 * MIB, 4096);
    split.next();
    split.next();
    const mapping = { ...MAPPED, iova: 4 * MIB };
    expect([codeOf(() => domain.map(mapping)), codeOf(() => domain.unmap(0, 2 * MIB))]).toEqual(['EBUSY', 'EBUSY']);
    for (let next = split.next(); !next.done; next = split.next());
    domain.map(mapping);
    expect(domain.unmap(0, 2 * MIB)).toBe(2 * MIB);
  });

  it('an unmap does not return while DMA that was translated before is under way', () => {
    const { domain, device } = machine(place, { format: 'vtdss' });
    domain.map(MAPPED);
    const write = device.dmaSteps(0, 8, 2, () => undefined);
    write.next();
    write.next();
    expect(codeOf(() => domain.unmap(0, 64 * 4096))).toBe('EBUSY');
    while (!write.next().done);
    expect(domain.usage.mappedBytes).toBe(0);
    domain.map(MAPPED);
    expect(domain.unmap(0, 64 * 4096)).toBe(64 * 4096);
  });
});
