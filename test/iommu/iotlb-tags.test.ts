import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLACES, codeOf, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { exact, vendor } from './command-model.ts';
import { DomainModel, IotlbModel } from './iotlb-model.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

const MIB = 2 ** 20;
const SPAN = 8 * MIB;
const SIZES: Record<string, number[]> = { amdv1: [4096, 8192, 65536, 2 * MIB, 4 * MIB] };
const SHAPES_4K = SHAPES.filter(({ granule }) => granule === 4096);

const page = fc.constantFrom(0, 1, 2, 8, 15, 16, 17, 511, 512, 513, 528, 1024, 1026, 1535, 2047);
const which = fc.nat(2);
const range = { which, page, pages: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1200 })) };
const operation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ op: fc.constant('access' as const), which, page, access: fc.constantFrom(1, 1, 2, 3) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('map' as const),
      which,
      page,
      size: fc.nat(4),
      pa: fc.nat(7),
      access: fc.constantFrom(1, 3, 3, 3),
      global: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unmap' as const), which, page }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('invalidate' as const),
      ...range,
      leafOnly: fc.boolean(),
      // 1: of the smallest, 2: of the largest size; given where the format has a field for it.
      leafSize: fc.nat(2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('form' as const),
      which,
      form: fc.constantFrom('asid' as const, 'domain' as const, 'all' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const), ...range }) },
);

const setting = fc.record({
  iotlb: fc.constantFrom([1, 3], [2, 2], [4, 1], [8, 4]),
  walkCache: fc.constantFrom(undefined, [1, 2], [2, 2], [8, 4]),
  mode: fc.constantFrom('exact' as const, 'vendor' as const, 'vendor' as const),
  ranges: fc.boolean(),
  /** What the second and the third domain share with the first. */
  shares: fc.tuple(
    fc.constantFrom('nothing' as const, 'vmid' as const, 'both' as const),
    fc.constantFrom('nothing' as const, 'vmid' as const, 'both' as const),
  ),
});

/** The names of the three domains; stage 2 has no ASIDs, so that a VMID is all there is to share. */
function namesOf(shape: TableShape, shares: readonly ('nothing' | 'vmid' | 'both')[]) {
  const first = shape.format.stage === 1;
  const names = ['first' as const, ...shares].map((share, i) => ({
    vmid: share === 'first' || share === 'nothing' ? 100 + i : 100,
    asid: first ? (share === 'first' || share === 'both' ? 7 : 20 + i) : 0,
  }));
  return names.map((own, i) => ({ ...own, shared: names.some(({ vmid }, j) => j !== i && vmid === own.vmid) }));
}

function geometry(pair: readonly number[] | undefined) {
  return pair && { sets: pair[0], ways: pair[1] };
}

describe.each(PLACES)('IOTLB tags and commands: $name', (place) => {
  it.each(SHAPES_4K)('$title: shares, keeps and drops as lists of tagged entries do', (shape) => {
    const sizes = SIZES[shape.title] ?? [4096, 2 * MIB];
    const first = shape.format.stage === 1;
    const hasTtl = shape.format.granule !== undefined;
    fc.assert(
      fc.property(setting, fc.array(operation, { maxLength: 60 }), ({ mode, ranges, ...given }, operations) => {
        const walkCache = geometry(given.walkCache);
        const { core } = siteAt(place, 2).core();
        const iommu = core.iommu({
          iotlb: geometry(given.iotlb)!,
          ...(walkCache && { walkCache }),
          ...(mode === 'vendor' ? { invalidation: mode, rangeInvalidation: ranges } : {}),
        });
        const names = namesOf(shape, given.shares);
        const domains = names.map(({ vmid, asid }) =>
          iommu.domain({ ...domainOptions(shape), dirtyTracking: true, vmid, ...(first && { asid }) }),
        );
        const devices = domains.map((domain, i) => iommu.attach(i, domain));
        const into = core.bitmap({ length: SPAN });
        const models = names.map((own) => new DomainModel(shape, own));
        const encoder = mode === 'vendor' ? vendor(ranges) : exact;
        const iotlb = new IotlbModel(given.iotlb[0], given.iotlb[1], { walkCache, encoder });
        const said: unknown[] = [];
        const wanted: unknown[] = [];
        for (const step of operations) {
          const domain = domains[step.which];
          const model = models[step.which];
          const iova = 'page' in step ? step.page * 4096 : 0;
          switch (step.op) {
            case 'access': {
              const device = devices[step.which];
              const done = device.access(iova + 8, 16, step.access);
              said.push(done < 0 ? device.fault!.reason : device.extentAddress(0));
              wanted.push(iotlb.access(model, iova + 8, step.access));
              break;
            }
            case 'map': {
              const size = sizes[step.size % sizes.length];
              const global = step.global && first;
              const options = { iova: iova - (iova % size), pa: step.pa * size, length: size, access: step.access };
              said.push(codeOf(() => domain.map({ ...options, leafSizes: [size], global })));
              wanted.push(model.map(options.iova, options.pa, size, step.access, global) ? 'none' : 'EADDRINUSE');
              break;
            }
            case 'unmap': {
              const size = model.unmap(iova);
              if (size === 0) break;
              domain.unmap(iova, size);
              iotlb.invalidate(model, iova, iova + size - 1);
              break;
            }
            case 'invalidate': {
              const given = step.leafOnly && hasTtl && mode === 'vendor' && step.leafSize > 0;
              const how = {
                leafOnly: step.leafOnly,
                ...(given && { leafSize: step.leafSize === 1 ? 4096 : 2 * MIB }),
              };
              domain.invalidate(iova, step.pages * 4096, how);
              iotlb.invalidate(model, iova, iova + step.pages * 4096 - 1, how);
              break;
            }
            case 'form':
              if (step.form === 'asid') domain.invalidateAsid();
              else if (step.form === 'domain') domain.invalidateDomain();
              else iommu.invalidateAll();
              iotlb.invalidateForm(step.form, model);
              break;
            case 'clear': {
              const length = Math.min(step.pages * 4096, SPAN - iova);
              domain.readAndClearDirty({ iova, length, into });
              iotlb.clearDirty(model, iova, iova + length - 1, true);
            }
          }
        }
        const dirty = models.map((model, i) => model.leaves.map((leaf) => domains[i].translate(leaf.iova)!.dirty));
        const wantedDirty = models.map((model) => model.leaves.map((leaf) => leaf.dirty.size > 0));
        const { walkCacheHits, walkCacheMisses } = iommu.cacheCounters;
        expect([said, iommu.counters, walkCacheHits, walkCacheMisses, dirty]).toEqual([
          wanted,
          iotlb.counters,
          iotlb.walkCacheHits,
          iotlb.walkCacheMisses,
          wantedDirty,
        ]);
      }),
      { numRuns: runs(60) },
    );
  });

  it.each(SHAPES_4K)('$title: commands, walk cache and a device with a cache forget no write', (shape) => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ op: fc.constant('dma' as const), page, access: fc.constantFrom(1, 2, 3) }) },
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constant('read' as const), page, pages: fc.integer({ min: 1, max: 2048 }) }),
      },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('resize' as const), half: fc.nat(3), merge: fc.boolean() }) },
    );
    const world = fc.record({ ats: fc.boolean(), walkCache: fc.boolean(), ranges: fc.boolean() });
    fc.assert(
      fc.property(world, fc.array(step, { maxLength: 50 }), ({ ats, walkCache, ranges }, steps) => {
        const { core } = siteAt(place, 2).core();
        const iommu = core.iommu({
          iotlb: { sets: 2, ways: 4 },
          ...(walkCache && { walkCache: { sets: 2, ways: 2 } }),
          invalidation: 'vendor',
          rangeInvalidation: ranges,
        });
        const domain = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
        domain.map({ iova: 0, pa: 0, length: SPAN, access: 3, leafSizes: [2 * MIB] });
        const into = core.bitmap({ length: SPAN });
        domain.readAndClearDirty({ iova: 0, length: SPAN, into });
        const device = iommu.attach(1, domain, ats ? { ats: { sets: 2, ways: 2 } } : {});
        let written = new Set<number>();
        const forgotten: number[] = [];
        const read = (first: number, length: number) => {
          into.clear();
          domain.readAndClearDirty({ iova: first, length, into });
          const reported = into.words();
          const inside = (p: number) => p * 4096 >= first && p * 4096 < first + length;
          forgotten.push(...[...written].filter((p) => inside(p) && !((reported[p >>> 5] >>> (p & 31)) & 1)));
          written = new Set([...written].filter((p) => !inside(p)));
        };
        for (const one of steps) {
          if (one.op === 'dma') {
            device.access(one.page * 4096, 8, one.access);
            if (one.access & 2) written.add(one.page);
          } else if (one.op === 'read') {
            read(one.page * 4096, Math.min(one.pages * 4096, SPAN - one.page * 4096));
          } else if (one.merge) {
            domain.merge(one.half * 2 * MIB, 2 * MIB, 2 * MIB);
          } else {
            domain.split(one.half * 2 * MIB, 2 * MIB, 4096);
          }
        }
        read(0, SPAN);
        expect(forgotten).toEqual([]);
      }),
      { numRuns: runs(30) },
    );
  });
});
