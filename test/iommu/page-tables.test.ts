import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Requester } from '../../src/iommu/requester.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { TableModel, type Leaf } from './table-model.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

const INPUT_BITS = 48;
const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

/** Where ranges lie, in granules: around the ends of tables of both lower levels, and at the top of the input range. */
function windowsOf({ granule, entries, format }: TableShape): number[] {
  const largest = format.leafSizes.at(-1)! / granule;
  return [0, entries - 20, 3 * entries, largest - 30, 2 ** INPUT_BITS / granule - 2 * entries];
}

interface Place {
  readonly window: number;
  readonly at: number;
}

type Op =
  | { op: 'map'; place: Place; length: number; shift: number; access: number; sizes: number }
  | { op: 'large'; index: number; head: number; tail: number; access: number }
  | { op: 'unmap'; place: Place; length: number; inside: number }
  | { op: 'access'; place: Place; byte: number; length: number; access: number; batch: boolean }
  | { op: 'read'; place: Place; length: number; pageShift: number; clear: boolean };

const place = fc.record({ window: fc.nat(4), at: fc.oneof(fc.nat(40), fc.nat(1100)) });
const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1200 }));
const access = fc.integer({ min: 1, max: 3 });
const operation: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('map' as const),
      place,
      length,
      shift: fc.constantFrom(0, 0, 0, 1, 16, 512),
      access: fc.constantFrom(1, 2, 3, 3, 3),
      sizes: fc.oneof(fc.constant(0), fc.nat(2 ** 19 - 1)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('large' as const),
      index: fc.nat(3),
      head: fc.nat(20),
      tail: fc.nat(20),
      access: fc.constantFrom(2, 3),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('unmap' as const), place, length, inside: fc.constantFrom(0, 0, 0, 5) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('access' as const),
      place,
      byte: fc.nat(70_000),
      length: fc.integer({ min: 1, max: 90_000 }),
      access,
      batch: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('read' as const),
      place,
      length: fc.integer({ min: 1, max: 1500 }),
      pageShift: fc.constantFrom(0, 0, 1, 4, 9),
      clear: fc.boolean(),
    }),
  },
);

function sizesOf({ format }: TableShape, mask: number): number[] {
  const chosen = format.leafSizes.filter((_, i) => (mask >> i) & 1);
  return chosen.length ? chosen : [...format.leafSizes];
}

/** The same operation on the core and on the model; what each says of it. */
class Pair {
  readonly said: unknown[] = [];
  readonly wanted: unknown[] = [];
  readonly shape: TableShape;
  readonly core: ReturnType<Site['core']>['core'];
  readonly domain: Domain;
  readonly device: Requester;
  readonly model: TableModel;
  readonly #run: () => unknown;

  constructor(site: Site, shape: TableShape, tracked: boolean) {
    this.shape = shape;
    this.core = site.core().core;
    const iommu = this.core.iommu({ iotlb: { sets: 2, ways: 4 }, requests: 4, events: 4 });
    this.domain = iommu.domain({ ...domainOptions(shape), dirtyTracking: tracked, inputBits: INPUT_BITS });
    this.device = iommu.attach(0x10, this.domain);
    this.model = new TableModel(shape, INPUT_BITS, tracked);
    this.#run = () => {
      iommu.run();
      return iommu.takeFaults().faults.map(({ reason, iova }) => [reason, iova])[0];
    };
  }

  #say(said: unknown, wanted: unknown): void {
    this.said.push(said);
    this.wanted.push(wanted);
  }

  #map(iova: number, pa: number, bytes: number, access: number, sizes: number[]): void {
    const before = this.core.usage.usedBytes;
    const code = codeOf(() => this.domain.map({ iova, pa, length: bytes, access, leafSizes: sizes }));
    if (code === 'ENOMEM') {
      this.#say(this.core.usage.usedBytes, before);
      return;
    }
    this.#say(code, this.model.map(iova, pa, bytes, access, sizes));
  }

  perform(op: Op): void {
    const { granule, format } = this.shape;
    const windows = windowsOf(this.shape);
    const iovaOf = ({ window, at }: Place) => (windows[window] + at) * granule;
    switch (op.op) {
      case 'map': {
        const iova = iovaOf(op.place);
        this.#map(
          iova,
          (iova % 2 ** 40) + op.shift * granule,
          op.length * granule,
          op.access,
          sizesOf(this.shape, op.sizes),
        );
        break;
      }
      case 'large': {
        const large = format.leafSizes.at(-1)!;
        const iova = large * op.index + (op.index ? large - op.head * granule : 0);
        const bytes = large + (op.tail + (op.index ? op.head : 0)) * granule;
        this.#map(iova, iova + 4 * large, bytes, op.access, [...format.leafSizes]);
        break;
      }
      case 'unmap': {
        const iova = iovaOf(op.place) + op.inside;
        let said: unknown;
        const code = codeOf(() => (said = this.domain.unmap(iova, op.length * granule)));
        this.#say(said ?? code, this.model.unmap(iova, op.length * granule));
        break;
      }
      case 'access':
        this.#access(iovaOf(op.place) + op.byte, op);
        break;
      case 'read':
        this.#read(iovaOf(op.place), op);
    }
    this.#say(this.domain.usage, this.model.usage);
  }

  #access(iova: number, op: Op & { op: 'access' }): void {
    const { extents, fault } = this.model.access(iova, op.length, op.access);
    if (op.batch) {
      this.device.post(iova, op.length, op.access);
      this.#say(this.#run(), fault);
      return;
    }
    const count = this.device.access(iova, op.length, op.access);
    const reached = this.device.extents;
    const said = Array.from({ length: reached }, (_, i) => [this.device.extentAddress(i), this.device.extentLength(i)]);
    const why = this.device.fault;
    this.#say([count, said, why && [why.reason, why.iova]], [fault ? -1 : extents.length, extents, fault]);
  }

  #read(at: number, op: Op & { op: 'read' }): void {
    const pageSize = 4096 * 2 ** op.pageShift;
    const iova = Math.min(at - (at % pageSize), this.model.last + 1 - pageSize);
    const bytes = Math.min(op.length * pageSize, this.model.last + 1 - iova);
    const dirty = this.core.bitmap({ start: iova, length: bytes, pageSize });
    const code = codeOf(() => this.domain.readAndClearDirty({ iova, length: bytes, into: dirty, clear: op.clear }));
    const runs = [...dirty.pageRuns()].map(({ page, pages }) => ({ page: page + iova / pageSize, pages }));
    dirty.close();
    const { tracked } = this.model;
    this.#say([code, runs], [tracked ? 'none' : 'EOPNOTSUPP', this.model.readDirty(iova, bytes, pageSize, op.clear)]);
  }

  /** What translate says of both ends of every leaf, and of the addresses beside them. */
  translations(): void {
    const seen = ({ pa, size, access, dirty }: Leaf, offset: number) => ({
      pa: pa + offset,
      leafSize: size,
      access,
      dirty,
    });
    for (const leaf of this.model.leaves) {
      for (const offset of [0, 5, leaf.size - 1]) {
        this.#say(this.domain.translate(leaf.iova + offset), seen(leaf, offset));
      }
      for (const beside of [leaf.iova - 1, leaf.iova + leaf.size]) {
        if (beside < 0 || beside > this.model.last || this.model.at(beside)) continue;
        this.#say(this.domain.translate(beside), undefined);
      }
    }
  }
}

describe.each(EACH)('page tables: $name', ({ place, shape }) => {
  const site = new Site(place, shape.granule === 4096 ? 4 : 8);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('map, unmap, translate, fault and track as a list of leaves does', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 14 }), fc.nat(4), (operations, untracked) => {
        const pair = new Pair(site, shape, untracked !== 0);
        const start = pair.core.usage.usedBytes;
        operations.forEach((op) => pair.perform(op));
        pair.translations();
        for (const { iova, size } of pair.model.leaves) pair.domain.unmap(iova, size);
        const end = [pair.core.usage.usedBytes, pair.domain.usage.tables, pair.domain.usage.mappedBytes];
        expect([pair.said, end]).toEqual([pair.wanted, [start, 1, 0]]);
      }),
      { numRuns: runs(30) },
    );
  });

  it('are freed with their domain, whatever is in them', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    iommu.domain(domainOptions(shape)).close();
    const start = core.usage.usedBytes;
    const domain = iommu.domain(domainOptions(shape));
    const largest = shape.format.leafSizes.at(-1)!;
    domain.map({ iova: largest - shape.granule, pa: 0, length: 7 * shape.granule, access: 3 });
    domain.map({ iova: 2 ** 47, pa: 2 ** 40, length: 2 * largest, access: 3 });
    expect(core.usage.usedBytes).toBeGreaterThan(start);
    domain.close();
    expect(core.usage.usedBytes).toBe(start);
  });

  it('are as they were after a map that ran out of memory', () => {
    const small = new Site(place, 2);
    for (const iova of [2 ** 30, 2n ** 30n]) {
      const { core } = small.core();
      const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
      const domain = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
      const { granule } = shape;
      domain.map({ iova: 2 ** 30 - 3 * granule, pa: 0, length: 3 * granule, access: 3 });
      domain.map({ iova: 2 ** 46, pa: 0, length: granule, access: 1 });
      const before = [core.usage.usedBytes, domain.usage];
      const length = granule * shape.entries * 512;
      const map = () => domain.map({ iova, pa: 0, length, access: 3, leafSizes: [granule] });
      expect(map).toThrow(/^domain.map: .* open it with at least \d+ MiB \(ENOMEM\)$/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(before);
      const ends = [2 ** 30 - granule, 2 ** 30, 2 ** 46 - 1, 2 ** 46].map((at) => domain.translate(at)?.pa);
      expect(ends).toEqual([2 * granule, undefined, undefined, 0]);
      // Nothing at all can be made: not even the first table.
      const fillers: unknown[] = [];
      for (const pages of [2 ** 20, 2 ** 19, 2 ** 18, 2 ** 17, 2 ** 16, 2 ** 15, 2 ** 14]) {
        while (codeOf(() => fillers.push(core.bitmap({ length: pages * 4096 }))) === 'none');
      }
      const full = [core.usage.usedBytes, domain.usage];
      expect(map).toThrow(/ENOMEM/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(full);
    }
  });

  it('leave no table behind of a way that could not be made to its end', () => {
    const { core } = new Site(place, 2).core();
    const domain = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 }).domain(domainOptions(shape));
    const tableBytes = 8 * shape.entries;
    const fillers: { close(): void }[] = [];
    while (codeOf(() => fillers.push(core.bitmap({ length: tableBytes * 8 * 4096 }))) === 'none');
    const needed = shape.granule === 4096 ? 3 : 2;
    const map = () => domain.map({ iova: 2 ** 45, pa: 0, length: shape.granule, access: 3 });
    for (let free = 0; free < needed; free++) {
      const before = [core.usage.usedBytes, domain.usage];
      expect(map).toThrow(/ENOMEM/);
      expect([core.usage.usedBytes, domain.usage]).toEqual(before);
      fillers.pop()!.close();
    }
    map();
    expect(domain.usage.tables).toBe(1 + needed);
  });
});
