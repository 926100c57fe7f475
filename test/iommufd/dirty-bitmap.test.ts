import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FormatName } from '../../src/iommu/formats.ts';
import { WRITE } from '../../src/iommu/access.ts';
import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import { PLACES, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { LeafModel } from './leaf-model.ts';
import { BUFFER, BUFFER_BYTES, FIXED, MAX, MIB, PAGE, RAM, RW, behind, rig, type Rig } from './rig.ts';

interface World extends Rig {
  readonly hwptId: number;
  readonly write: (iova: bigint, length: number) => void;
}

/** A device that is attached to a tracking HWPT with these areas, one after the other from `base` on. */
function world(
  rigged: Rig,
  format: FormatName,
  base: bigint,
  areas: readonly { readonly va: bigint; readonly length: bigint }[],
  track = true,
): World {
  const { fd } = rigged;
  const { outIoasId: ioasId } = fd.ioasAlloc();
  const device = fd.bind(behind(rigged, { domain: { format } }));
  const { outHwptId: hwptId } = fd.hwptAlloc({ flags: 2, devId: device.devId, ptId: ioasId });
  device.attach(hwptId);
  let iova = base;
  for (const { va, length } of areas) {
    fd.ioasMap({ flags: RW | FIXED, ioasId, userVa: va, length, iova });
    iova += length;
  }
  if (track) fd.hwptSetDirtyTracking({ flags: 1, hwptId });
  const write = (at: bigint, length: number) => {
    if (device.requester.access(at, length, WRITE) < 0) throw new Error(`DMA at ${at} faults`);
  };
  return { ...rigged, hwptId, write };
}

// Areas in halves of a page (of which mock2k makes use), so that leaves of all sizes lie among small ones.
const area = fc.record({
  skip: fc.nat(3),
  length: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(512, 1024, 1025, 2048, 2047)),
});
const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      length: fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.constant(3 * 2 ** 20)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('query' as const),
      from: fc.double({ min: 0, max: 0.999, noNaN: true }),
      to: fc.double({ min: 0, max: 0.999, noNaN: true }),
      coarse: fc.nat(12),
      shift: fc.nat(24),
      odd: fc.constantFrom(1n, 1n, 3n, 5n),
      offset: fc.constantFrom(0, 1, 7, 8, 2048, 4081, 4094, 4095),
      clear: fc.boolean(),
      bytes: fc.boolean(),
    }),
  },
);

describe.each(PLACES)('GET_DIRTY_BITMAP: $name', (place) => {
  it('agrees with leaves kept one by one', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('vtdss' as const, 'amdv1' as const, 'mock2k' as const),
        fc.constantFrom('strict' as const, 'linux-6.12' as const),
        fc.constantFrom(0n, 2n * MIB, 2n ** 40n - 4n * MIB),
        fc.array(area, { minLength: 1, maxLength: 5 }),
        fc.array(step, { minLength: 1, maxLength: 8 }),
        (format, quirks, base, list, steps) => {
          const unit = format === 'mock2k' ? PAGE / 2n : PAGE;
          let va = RAM;
          const areas = list.map(({ skip, length }) => {
            // The memory begins at its own alignment, or next to a large leaf's.
            va += BigInt(skip) * unit;
            const placed = { va, length: BigInt(length) * unit };
            va += placed.length;
            return placed;
          });
          const { fd, space, hwptId, write } = world(rig({ quirks }, place), format, base, areas);
          let iova = base;
          const model = new LeafModel(
            format,
            areas.map(({ va, length }) => {
              const run = { iova, pa: va, length };
              iova += length;
              return run;
            }),
          );
          const total = iova - base;
          const units = Number(total / unit);
          const expected = new Uint8Array(Number(BUFFER_BYTES)).fill(0);
          for (const each of steps) {
            if (each.op === 'write') {
              const at = BigInt(Math.floor(each.at * Number(total)));
              const length = BigInt(each.length) < total - at ? BigInt(each.length) : total - at;
              write(base + at, Number(length));
              model.write(base + at, base + at + length - 1n);
              continue;
            }
            // Ends at multiples of 2^coarse units.
            const grain = Math.min(1 << each.coarse, units);
            const [a, b] = [each.from, each.to]
              .map((x) => Math.floor((x * units) / grain) * grain)
              .sort((x, y) => x - y);
            const first = base + BigInt(a) * unit;
            const length = BigInt(Math.min(b + grain, units) - a) * unit;
            const ends = first | (first + length);
            const most = BigInt((ends & -ends).toString(2).length - 1);
            const shift =
              BigInt(each.shift) > most ? most : length >> BigInt(each.shift) > 2n ** 18n ? 11n : BigInt(each.shift);
            const odd = (ends & ((each.odd << shift) - 1n)) === 0n ? each.odd : 1n;
            const clear = each.clear;
            const into = new Uint8Array(expected.length);
            space.read(BUFFER, into);
            const query = { hwptId, flags: clear ? 0 : 1, iova: first, length, pageSize: odd << shift };
            if (each.bytes && quirks === 'strict') {
              fd.hwptGetDirtyBitmap({ ...query, data: into.subarray(each.offset) });
              space.write(BUFFER, into);
            } else fd.hwptGetDirtyBitmap({ ...query, data: BUFFER + BigInt(each.offset) });
            model[quirks === 'strict' ? 'query' : 'linuxQuery'](
              first,
              first + length - 1n,
              shift,
              expected,
              each.offset,
              clear,
            );
          }
          const found = new Uint8Array(expected.length);
          space.read(BUFFER, found);
          expect(firstDifference(found, expected)).toBe(-1);
        },
      ),
      { numRuns: runs(place.budget === 1 ? 40 : 150) },
    );
  });
});

/** Index of the first byte that differs, -1 for none: comparing large arrays as values takes long. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}

const bit = (bytes: Uint8Array, k: number) => (bytes[k >> 3] >> (k & 7)) & 1;

describe('GET_DIRTY_BITMAP', () => {
  it('has pages of up to 2^63 bytes', () => {
    const rigged = rig();
    const size = 2n ** 51n;
    rigged.space.mmap({ va: 2n ** 51n, length: size });
    const areas = Array.from({ length: 4096 }, () => ({ va: 2n ** 51n, length: size }));
    const { fd, hwptId, write } = world(rigged, 'amdv1', 2n ** 63n, areas);
    for (let shift = 51n; shift <= 63n; shift++) {
      write(2n ** 63n + 4095n * size + 5n, 1);
      const data = new Uint8Array(513);
      fd.hwptGetDirtyBitmap({ hwptId, iova: 2n ** 63n, length: 2n ** 63n, pageSize: 2n ** shift, data });
      const last = Number(2n ** (63n - shift)) - 1;
      const expected = new Uint8Array(513);
      expected[last >> 3] = 1 << (last & 7);
      expect(data).toEqual(expected);
    }
  });

  it('goes on in windows where the core has no room for one bitmap, and cuts no leaf in two', () => {
    const rigged = rig();
    const length = 2n ** 38n;
    rigged.space.mmap({ va: 2n ** 40n, length });
    // The first half GiB with small leaves would take tables: all are of 1 GiB.
    const { fd, core, hwptId, write } = world(rigged, 'vtdss', 0n, [{ va: 2n ** 40n, length }]);
    const gibibytes = [0, 3, 100, 255];
    for (const each of gibibytes) write(BigInt(each) * 2n ** 30n + 77n, 1);
    // What is free comes in pieces of 4 KiB: windows of 128 MiB, far less than a leaf.
    const small: Bitmap[] = [];
    while (codeOf(() => small.push(core.bitmap({ length: 2 ** 27 }))) === 'none');
    small.at(-1)!.close();
    const data = new Uint8Array(2 ** 23);
    const partial = new Uint8Array(2 ** 16);
    const query = { hwptId, pageSize: PAGE };
    fd.hwptGetDirtyBitmap({ ...query, iova: 3n * 2n ** 30n + PAGE, length: 2n ** 29n, data: partial });
    expect(partial.subarray(0, 2 ** 14).every((byte) => byte === 0xff)).toBe(true);
    expect(partial.subarray(2 ** 14).every((byte) => byte === 0)).toBe(true);
    fd.hwptGetDirtyBitmap({ ...query, iova: 0n, length, data });
    const marked = gibibytes.filter((each) =>
      data.subarray(each << 15, (each + 1) << 15).every((byte) => byte === 0xff),
    );
    expect([marked, data.filter((byte) => byte !== 0).length]).toEqual([gibibytes, gibibytes.length << 15]);
    const again = new Uint8Array(2 ** 23);
    fd.hwptGetDirtyBitmap({ ...query, iova: 0n, length, data: again });
    expect(again.every((byte) => byte === 0)).toBe(true);
  });

  it('invalidates once for all that it clears, and not at all where it clears nothing', () => {
    const { fd, iommu, hwptId, write } = world(rig(), 'vtdss', 0n, [
      { va: RAM, length: 4n * MIB },
      { va: RAM + 8n * MIB + PAGE, length: 4n * MIB },
    ]);
    const query = { hwptId, iova: 0n, length: 8n * MIB, pageSize: PAGE };
    const invalidations = (flags: number) => {
      const before = iommu.counters.invalidations;
      fd.hwptGetDirtyBitmap({ ...query, flags, data: new Uint8Array(256) });
      return iommu.counters.invalidations - before;
    };
    write(0n, 1);
    write(7n * MIB, 1);
    expect([invalidations(1), invalidations(0), invalidations(0)]).toEqual([0, 1, 0]);
  });

  it('sees what is written after a read, and not what is only read', () => {
    const { fd, hwptId, write } = world(rig(), 'vtdss', MIB, [{ va: RAM + PAGE, length: MIB }]);
    const read = () => {
      const data = new Uint8Array(32);
      fd.hwptGetDirtyBitmap({ hwptId, iova: MIB, length: MIB, pageSize: PAGE, data });
      return Array.from({ length: 256 }, (_, k) => k).filter((k) => bit(data, k));
    };
    write(MIB + 5n * PAGE + 4095n, 2);
    expect([read(), read()]).toEqual([[5, 6], []]);
    write(MIB + 5n * PAGE, 1);
    expect(read()).toEqual([5]);
  });

  it('loses nothing that is written between its steps', () => {
    const { fd, hwptId, write } = world(rig(), 'vtdss', 0n, [{ va: RAM + PAGE, length: MIB }]);
    write(PAGE, 1);
    const query = { hwptId, iova: 0n, length: MIB, pageSize: PAGE };
    const [data, next] = [new Uint8Array(32), new Uint8Array(32)];
    const names: string[] = [];
    const steps = fd.hwptGetDirtyBitmapSteps({ ...query, data });
    for (let step = steps.next(); !step.done; step = steps.next()) {
      names.push(step.value.what);
      write(BigInt(names.length + 1) * PAGE, 1);
      write(PAGE, 1);
    }
    fd.hwptGetDirtyBitmap({ ...query, data: next });
    expect(names).toEqual(['clear', 'invalidate', 'complete']);
    expect([1, 2, 3, 4, 5].filter((k) => bit(data, k) || bit(next, k))).toEqual([1, 2, 3, 4]);
    expect(bit(next, 1)).toBe(1);
  });

  it('begins clean, also where the table was dirty before', () => {
    const { fd, hwptId, write } = world(rig(), 'vtdss', 0n, [{ va: RAM, length: MIB }]);
    const read = () => {
      const data = new Uint8Array(32);
      fd.hwptGetDirtyBitmap({ hwptId, iova: 0n, length: MIB, pageSize: MIB, data });
      return data[0];
    };
    write(0n, 1);
    fd.hwptSetDirtyTracking({ flags: 0, hwptId });
    fd.hwptSetDirtyTracking({ flags: 1, hwptId });
    expect(read()).toBe(0);
    write(0n, 1);
    expect(read()).toBe(1);
  });

  it('keeps the bits of two HWPTs of one IOAS apart', () => {
    const rigged = rig();
    const { fd } = rigged;
    const { outIoasId: ioasId } = fd.ioasAlloc();
    const pairs = [1, 2].map((requesterId) => {
      const device = fd.bind(behind(rigged, { requesterId }));
      const { outHwptId: hwptId } = fd.hwptAlloc({ flags: 2, devId: device.devId, ptId: ioasId });
      device.attach(hwptId);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      return { device, hwptId };
    });
    fd.ioasMap({ flags: RW | FIXED, ioasId, userVa: RAM + PAGE, length: MIB, iova: 0 });
    pairs[0].device.requester.access(0, 1, WRITE);
    pairs[1].device.requester.access(4096, 1, WRITE);
    const data = new Uint8Array(32);
    const found = pairs.map(({ hwptId }) => {
      const own = new Uint8Array(32);
      fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: MIB, pageSize: PAGE, data: own, flags: 1 });
      fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: MIB, pageSize: PAGE, data });
      return own[0];
    });
    expect([found, data[0]]).toEqual([[1, 2], 3]);
  });

  it('takes no query of the last byte that the kernel would refuse', () => {
    const { fd, hwptId } = world(rig(), 'amdv1', 0n, [{ va: RAM, length: PAGE }]);
    const query = { hwptId, iova: 0n, length: MAX, pageSize: PAGE, data: BUFFER };
    expect(codeOf(() => fd.hwptGetDirtyBitmap(query))).toBe('EINVAL');
  });
});
