import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import type { Core } from '../../src/core/core.ts';
import { IommuError } from '../../src/errno/error.ts';
import { runs } from '../runs.ts';
import { PLACES, Site, WASM, codeOf } from './builds.ts';

const MIB = 2 ** 20;

interface Alive {
  readonly intact: () => boolean;
  readonly close: () => void;
}

interface Made {
  readonly kind: 'bitmap' | 'log' | 'iommu' | 'domain';
  /** Decides the size. */
  readonly size: number;
}

const made = fc.record({
  kind: fc.constantFrom<Made['kind']>('bitmap', 'bitmap', 'bitmap', 'log', 'iommu', 'domain'),
  size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 700 })),
});

function makeBitmap(core: Core, size: number, seal: number): Alive {
  // 4 KiB of bits per unit of size: from the smallest block to runs of several MiB.
  const bitmap = core.bitmap({ length: size * 4096 * 8 * 4096 });
  if (bitmap.count() !== 0) throw new Error('a new bitmap is not clean');
  bitmap.words().fill(seal);
  return { intact: () => bitmap.words().every((word) => word === seal), close: () => bitmap.close() };
}

function makeLog(core: Core, size: number): Alive {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
  const device = iommu.attach(1);
  const length = size * 64 * 4096;
  const log = core.deviceLog({ ranges: [{ iova: 0, length }] });
  const into = core.bitmap({ length });
  device.logTo(log);
  device.access(0, 4096, 2);
  const dirty = () => {
    into.clear();
    log.report({ iova: 0, length, into, clear: false });
    return into.count() === 1 && into.has(0);
  };
  if (!dirty()) throw new Error('a new log is not clean');
  const close = () => [device, log, into, iommu].forEach((object) => object.close());
  return { intact: dirty, close };
}

function makeIommu(core: Core, size: number): Alive {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: size }, requests: size, events: size });
  const device = iommu.attach(7);
  device.post(0, 4096, 2);
  return {
    intact: () => {
      iommu.run();
      return iommu.takeFaults().faults.length === 0 && iommu.counters.hits === 0;
    },
    close: () => [device, iommu].forEach((object) => object.close()),
  };
}

function makeDomain(core: Core, size: number): Alive {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
  const domain = iommu.domain({ format: 'vtdss', leafSizes: [4096] });
  const length = size * 4096 * 5;
  const iova = 2 ** 30 - 4096 * size;
  domain.map({ iova, pa: 0, length, access: 3 });
  return {
    intact: () => [0, 0.5, 1].every((f) => domain.translate(iova + f * (length - 2))?.pa === f * (length - 2)),
    close: () => [domain, iommu].forEach((object) => object.close()),
  };
}

const MAKERS = { bitmap: makeBitmap, log: makeLog, iommu: makeIommu, domain: makeDomain };

/** The free blocks as the lists hold them, and whether tags, alignment and links agree with it. */
function freeUnits(instance: ReturnType<Site['instance']>): number {
  let units = 0;
  for (let order = 0; order <= layout.MAX_ORDER; order++) {
    let before = 0;
    for (let at = instance.load32(layout.CORE_FREE_LISTS + 4 * order); at; at = instance.load32(at)) {
      const tag = instance.load32(instance.load32(layout.CORE_UNIT_TAGS) + (at >>> layout.UNIT_SHIFT) * 4);
      if (tag !== (layout.TAG_FREE | order) || at % 2 ** (layout.UNIT_SHIFT + order) !== 0) return -1;
      if (instance.load32(at + 4) !== before) return -2;
      before = at;
      units += 2 ** order;
    }
  }
  const chunks = instance.words(layout.CHUNK_TABLE, instance.load32(layout.CORE_CHUNKS));
  const free = chunks.filter((entry) => (entry & 0xff) === layout.CHUNK_FREE).length;
  return units + free * layout.UNITS_PER_CHUNK;
}

describe.each(PLACES)('the page allocator: $name', (place) => {
  const site = new Site(place, 32);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('keeps live blocks apart, hands out clean ones, and has all back in the end', () => {
    const step = fc.oneof({ weight: 3, arbitrary: made }, { weight: 2, arbitrary: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const { core, instance } = site.core();
        core.bitmap({ length: 4096 }).close();
        const start = core.usage.usedBytes;
        const alive: Alive[] = [];
        const wrong: string[] = [];
        steps.forEach((step, i) => {
          if (typeof step === 'number') {
            const [gone] = alive.splice(step % Math.max(1, alive.length), 1);
            if (gone && !gone.intact()) wrong.push(`overwritten before step ${i}`);
            gone?.close();
          } else {
            const code = codeOf(() => alive.push(MAKERS[step.kind](core, step.size, (0x9e3779b9 * (i + 1)) >>> 0)));
            // A maker that fails half way leaves what it has made: only bitmaps are made in one call.
            if (code !== 'none' && (code !== 'ENOMEM' || step.kind !== 'bitmap')) wrong.push(`${step.kind}: ${code}`);
          }
          const total = freeUnits(instance) + core.usage.usedBytes / 2 ** layout.UNIT_SHIFT;
          if (total !== instance.load32(layout.CORE_UNITS)) wrong.push(`free and used make ${total} after step ${i}`);
        });
        if (!alive.every((object) => object.intact())) wrong.push('overwritten at the end');
        alive.forEach((object) => object.close());
        expect([wrong, core.usage.usedBytes]).toEqual([[], start]);
      }),
      { numRuns: runs(25) },
    );
  });

  it('works in 1 MiB, and in any size on', () => {
    for (const mebibytes of [1, 2, 3]) {
      const small = new Site(place, mebibytes);
      const { core } = small.core();
      const bitmaps: Bitmap[] = [];
      while (codeOf(() => bitmaps.push(core.bitmap({ length: 2 ** 28 }))) === 'none');
      const bytes = bitmaps.length * 8192;
      bitmaps.forEach((bitmap) => bitmap.mark(0, 2 ** 28));
      expect(bitmaps.every((bitmap) => bitmap.count() === 2 ** 16)).toBe(true);
      // Headers, the transfer buffer and the first block of slots take less than 160 KiB; 256 objects are a block.
      const overhead = 160 * 1024 + (bitmaps.length >> 8) * layout.SLOT_BYTES * layout.SLOTS_PER_BLOCK;
      expect(bytes).toBeGreaterThan(mebibytes * MIB - overhead);
      expect(small.strayWrites()).toEqual([]);
    }
  });
});

/** Does `make` in cores of growing size, as the message of each ENOMEM says; how many sizes that took. */
function followMessages(place: (typeof PLACES)[number], first: number, make: (core: Core) => void): number[] {
  const sizes = [first];
  while (sizes.length < 4) {
    const { core } = new Site(place, sizes[sizes.length - 1]).core();
    try {
      make(core);
      return sizes;
    } catch (error) {
      if (!(error instanceof IommuError) || error.code !== 'ENOMEM') throw error;
      sizes.push(Number(/at least (\d+) MiB/.exec(error.message)![1]));
    }
  }
  return sizes;
}

const tiny = { iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 };
const HUNGRY: Record<string, (core: Core) => void> = {
  'a bitmap of 20 MiB': (core) => core.bitmap({ length: 20 * MIB * 8 * 4096 }),
  'a bitmap behind holes that are too small': (core) => {
    const all = Array.from({ length: 5 }, () => core.bitmap({ length: 1.5 * MIB * 8 * 4096 }));
    all.filter((_, i) => i % 2 === 0).forEach((bitmap) => bitmap.close());
    core.bitmap({ length: 5 * MIB * 8 * 4096 });
  },
  'an IOMMU': (core) => core.iommu({ iotlb: { sets: 65536, ways: 1 }, requests: 65536, events: 65536 }),
  'a log': (core) => core.deviceLog({ ranges: [{ iova: 0, length: 10 * MIB * 8 * 4096 }] }),
  'a map of 4K leaves': (core) =>
    core
      .iommu(tiny)
      .domain({ format: 'vtdss' })
      .map({ iova: 2 ** 30, pa: 0, length: 2 ** 33, access: 3, leafSizes: [4096] }),
  'a map of 4K leaves at addresses that are bigints': (core) =>
    core
      .iommu(tiny)
      .domain({ format: 'amdv1', inputBits: 64 })
      .map({ iova: 2n ** 64n - 2n ** 33n, pa: 0n, length: 2n ** 33n, access: 3, leafSizes: [4096] }),
  'a map of 64K leaves': (core) =>
    core
      .iommu(tiny)
      .domain({ format: 'armv8-s1', granule: '64K' })
      .map({ iova: 0, pa: 65536, length: 2 ** 35, access: 3 }),
  'a domain': (core) => {
    for (let i = 0; i < 300; i++) core.iommu(tiny).domain({ format: 'vtdss' });
  },
  'devices until the slots are full': (core) => {
    const iommu = core.iommu(tiny);
    for (let i = 0; i < 9000; i++) iommu.attach(1);
  },
};

describe('ENOMEM', () => {
  const releaseOwn = PLACES[0];

  it.each(Object.keys(HUNGRY).slice(0, 7))('%s: names a size that then does', (name) => {
    // 12 MiB hold the bitmaps that leave the holes, and no more.
    for (const first of name.includes('holes') ? [12] : [1, 8]) {
      const sizes = followMessages(releaseOwn, first, HUNGRY[name]);
      expect(sizes.length).toBeLessThanOrEqual(2);
      expect(sizes.length === 1 || sizes[1] > sizes[0]).toBe(true);
    }
  });

  it.each(Object.keys(HUNGRY).slice(7))('many small objects (%s): the named sizes lead to one that does', (name) => {
    const sizes = followMessages(releaseOwn, 1, HUNGRY[name]);
    expect(sizes.length).toBe(2);
  });

  it('names a size that is not much too large', () => {
    const [, size] = followMessages(releaseOwn, 1, HUNGRY['a bitmap of 20 MiB']);
    expect(size).toBeLessThanOrEqual(25);
  });

  it('says so where no core is large enough, and where handles are what is used up', () => {
    const { core } = new Site(releaseOwn, 24).core();
    const ranges = Array.from({ length: 40 }, (_, i) => ({ iova: BigInt(i) << 50n, length: 2 ** 42 }));
    expect(() => core.deviceLog({ ranges })).toThrow(/more than a core can have \(4095 MiB\) \(ENOMEM\)/);
    const iommu = core.iommu(tiny);
    for (let i = 0; i < 65535; i++) iommu.attach(1);
    expect(() => iommu.attach(1)).toThrow(/no handle left; a core has at most 65536 objects \(ENOMEM\)/);
  });
});

describe('init', () => {
  const memory = new WebAssembly.Memory({ initial: 33, maximum: 33 });
  const { init } = new WebAssembly.Instance(new WebAssembly.Module(WASM.release), {
    env: { memory },
  }).exports as unknown as { init: (base: number, units: number) => number };

  it('refuses a place that does not fit', () => {
    expect(init(0, 512)).toBe(layout.DONE);
    expect(init(4096, 1024)).toBe(layout.DONE);
    expect(init(2048, 512)).toBe(-layout.EINVAL);
    expect(init(0, 513)).toBe(-layout.EINVAL);
    expect(init(0, 0)).toBe(-layout.ENOMEM);
    expect(init(0, 2048)).toBe(-layout.ENOMEM);
    expect(init(65536, 1024)).toBe(layout.DONE);
    expect(init(65536 + 4096, 1024)).toBe(-layout.ENOMEM);
    expect(init(0, 4096 * 512)).toBe(-layout.EINVAL);
    expect(init(0xfff00000, 512)).toBe(-layout.EINVAL);
  });
});
