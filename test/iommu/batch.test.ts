import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

const MIB = 2 ** 20;
/** More than are looked ahead for at a time, and more than are run without. */
const MOST_REQUESTS = 1400;
const GEOMETRIES = [
  { sets: 1, ways: 1 },
  { sets: 16, ways: 1 },
  { sets: 4, ways: 2 },
  { sets: 2, ways: 8 },
  { sets: 1, ways: 9 },
  { sets: 1, ways: 24 },
];

type Geometry = (typeof GEOMETRIES)[number];

/** Requests are drawn from a seed: as values of the property they would be too many to shrink. */
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('dma' as const),
      seed: fc.nat(),
      count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: MOST_REQUESTS })),
      pages: fc.constantFrom(1, 3, 20, 300, 600),
      long: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('read' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('track' as const), enable: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unmap' as const), page: fc.nat(511), pages: fc.nat(30) }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('invalidate' as const), page: fc.nat(511), pages: fc.nat(600) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('log' as const), device: fc.nat(3), on: fc.boolean() }) },
);
type Step = ReturnType<typeof step.generate>['value'];

/** Two domains that map the same addresses, the first with one leaf size and two devices in it. */
function machine(place: Place, shape: TableShape, leaf: number, geometry: Geometry) {
  const { core } = siteAt(place, 8).core();
  const iommu = core.iommu({ iotlb: geometry, requests: 2048, events: 4096 });
  const options = { ...domainOptions(shape), dirtyTracking: true };
  const domains = [
    iommu.domain({ ...options, leafSizes: [leaf] }),
    iommu.domain({ ...options, leafSizes: [shape.granule] }),
  ];
  // A hole in the middle, and the last pages read-only.
  const span = 512 * leaf;
  for (const domain of domains) {
    const size = domain === domains[0] ? leaf : shape.granule;
    domain.map({ iova: 0, pa: 0, length: 200 * size, access: 3 });
    domain.map({ iova: 210 * size, pa: 2 ** 30, length: 290 * size, access: 3 });
    domain.map({ iova: 500 * size, pa: 2 ** 31, length: 12 * size, access: 1 });
  }
  const [first, second] = domains;
  const devices = [iommu.attach(1, first), iommu.attach(2, first), iommu.attach(3, second), iommu.attach(4)];
  const log = core.deviceLog({ ranges: [{ iova: 0, length: span }] });
  const into = core.bitmap({ length: span, pageSize: shape.granule });
  return { core, iommu, domains, devices, log, into, leaf, span };
}

type Machine = ReturnType<typeof machine>;

interface Access {
  readonly device: number;
  readonly iova: number;
  readonly length: number;
  readonly access: number;
}

function* accesses({ leaf, span }: Machine, dma: Extract<Step, { op: 'dma' }>): Generator<Access> {
  let state = dma.seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let i = 0; i < dma.count; i++) {
    const iova = below(dma.pages) * leaf + below(leaf);
    const length = dma.long && below(4) === 0 ? below(5 * 4096) : 1 + below(64);
    yield {
      device: [0, 0, 0, 0, 1, 1, 2, 3][below(8)],
      iova: Math.min(iova, span + leaf),
      length,
      access: 1 + below(3),
    };
  }
}

/** Everything that a step may do to both machines alike; what it can be seen by. */
function take(on: Machine, next: Exclude<Step, { op: 'dma' }>): unknown {
  const { domains, devices, log, into, leaf, span } = on;
  switch (next.op) {
    case 'read':
      into.clear();
      domains[0].readAndClearDirty({ iova: 0, length: span, into });
      return [...into.pageRuns()];
    case 'track':
      return domains[0].setDirtyTracking(next.enable);
    case 'unmap':
      return domains[0].unmap(next.page * leaf, (next.pages + 1) * leaf);
    case 'invalidate':
      return domains[0].invalidate(next.page * leaf, (next.pages + 1) * leaf);
    case 'log':
      return devices[next.device].logTo(next.on ? log : null);
  }
}

/** What DMA leaves behind. */
function traces({ iommu, log, into, span }: Machine): unknown {
  into.clear();
  log.report({ iova: 0, length: span, into, clear: false });
  return [iommu.counters, iommu.faultCounters, [...into.pageRuns()]];
}

function runBatch(on: Machine, dma: Extract<Step, { op: 'dma' }>): unknown {
  for (const { device, iova, length, access } of accesses(on, dma)) on.devices[device].post(iova, length, access);
  on.iommu.run();
  return on.iommu.takeFaults().faults;
}

function runSingly(on: Machine, dma: Extract<Step, { op: 'dma' }>): unknown {
  for (const { device, iova, length, access } of accesses(on, dma)) {
    if (length > 0) on.devices[device].access(iova, length, access);
  }
  return on.iommu.takeFaults().faults;
}

describe.each(PLACES)('a batch of requests: $name', (place) => {
  it.each(SHAPES.map((shape) => [shape.title, shape] as const))('%s: as one access after the other', (_, shape) => {
    const leaves = shape.format.leafSizes.filter((size) => size >= shape.granule && size <= 2 * MIB);
    fc.assert(
      fc.property(
        fc.constantFrom(...leaves),
        fc.constantFrom(...GEOMETRIES),
        fc.array(step, { minLength: 1, maxLength: 8 }),
        (leaf, geometry, steps) => {
          // One machine after the other: a place holds one core at a time.
          const seen = [runBatch, runSingly].map((run) => {
            const on = machine(place, shape, leaf, geometry);
            return steps.map((next) => [next.op === 'dma' ? run(on, next) : take(on, next), traces(on)]);
          });
          expect(seen[0]).toEqual(seen[1]);
        },
      ),
      { numRuns: runs(6) },
    );
  });
});
