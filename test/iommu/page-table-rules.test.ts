import { afterAll, describe, expect, it } from 'vitest';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { TableModel } from './table-model.ts';
import { SHAPES, domainOptions, type TableShape } from './table-shape.ts';

const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

/** The input widths that a domain of the format can have, of both kinds. */
function widthsOf(shape: TableShape): { inputBits: number; signed: boolean }[] {
  const widths = shape.widths.map((inputBits) => ({ inputBits, signed: shape.signed }));
  if (shape.format.name !== 'x86_64') return widths;
  return [...widths, ...[47, 48, 56, 57].map((inputBits) => ({ inputBits, signed: false }))];
}

/** First and last input address of each half, or of all. */
function ranges(inputBits: number, signed: boolean): [bigint, bigint][] {
  const end = 2n ** BigInt(inputBits);
  if (!signed) return [[0n, end - 1n]];
  return [
    [0n, end / 2n - 1n],
    [2n ** 64n - end / 2n, 2n ** 64n - 1n],
  ];
}

describe.each(EACH)('the rules of page tables: $name', ({ place, shape }) => {
  const site = new Site(place, shape.granule === 4096 ? 4 : 8);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('refuse what overlaps, and nothing is changed', () => {
    const { core } = site.core();
    const domain = core.iommu().domain(domainOptions(shape));
    const { granule, entries } = shape;
    const { large } = shape;
    const sizes = shape.format.leafSizes;
    domain.map({ iova: 4 * large, pa: large, length: large, access: 3 });
    domain.map({ iova: (entries - 1) * granule, pa: 0, length: 2 * granule, access: 1 });
    const before = [core.usage, domain.usage];
    const refused: [number, number][] = [
      [3 * large, large + granule],
      [4 * large + granule, granule],
      [5 * large - granule, 2 * granule],
      [(entries - 2) * granule, 2 * granule],
      [entries * granule, granule],
      [0, 8 * large],
    ];
    for (const [iova, length] of refused) {
      const map = () => domain.map({ iova, pa: 0, length, access: 3 });
      expect(map).toThrow(/something is mapped there already; unmap it first \(EADDRINUSE\)/);
    }
    for (const size of sizes.filter((size) => size >= 16 * granule && size < large)) {
      const map = () => domain.map({ iova: 0, pa: 0, length: entries * size, access: 3, leafSizes: [size] });
      expect(map).toThrow(/EADDRINUSE/);
    }
    expect([core.usage, domain.usage]).toEqual(before);
    expect([4 * large - 1, 5 * large, (entries - 2) * granule].map((iova) => domain.translate(iova))).toEqual(Array(3));
  });

  it('map with one leaf size wherever another size has a table already', () => {
    const { core } = site.core();
    const domain = core.iommu().domain(domainOptions(shape));
    const { granule } = shape;
    domain.map({ iova: 0, pa: 0, length: granule, access: 3 });
    const sizes = shape.format.leafSizes.filter((size) => size > granule && size < 2 ** 46);
    for (const size of sizes.filter((size) => shape.granule < 65536 || size < 2 ** 42)) {
      const iova = size * 2;
      domain.map({ iova, pa: 0, length: size, access: 3, leafSizes: [size] });
      expect(domain.translate(iova + 1)).toEqual({ pa: 1, leafSize: size, access: 3, dirty: shape.presetsDirty });
      domain.unmap(iova, size);
    }
    expect(domain.usage.mappedBytes).toBe(granule);
  });

  it('have the widths that the format has, each to its last address', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    for (const { inputBits, signed } of widthsOf(shape)) {
      const domain = iommu.domain({ ...domainOptions(shape), inputBits, signed, dirtyTracking: true });
      const model = new TableModel({ shape, inputBits, signed, tracked: true, contiguous: false });
      const found = domain.inputRanges.map(({ first, last }) => [BigInt(first), BigInt(last)]);
      expect(found).toEqual(ranges(inputBits, signed));
      const granule = BigInt(shape.granule);
      const device = iommu.attach(1, domain);
      for (const [first, last] of ranges(inputBits, signed)) {
        const iova = last - granule + 1n;
        domain.map({ iova, pa: 0, length: granule, access: 3 });
        const bottom = model.sizes.filter((size) => BigInt(size) < last - first && size < 2 ** 48).at(-1)!;
        domain.map({ iova: first, pa: 0, length: bottom, access: 3, leafSizes: [bottom] });
        expect([domain.translate(first)!.leafSize, device.access(last, 1, 2)]).toEqual([bottom, 1]);
        const seen = { pa: shape.granule - 1, leafSize: shape.granule, access: 3, dirty: true };
        expect(domain.translate(last)).toEqual(seen);
        const pageSize = Math.max(4096, shape.granule);
        const start = last - BigInt(pageSize) + 1n;
        const into = core.bitmap({ start, length: pageSize });
        domain.readAndClearDirty({ iova: start, length: pageSize, into });
        expect([into.count(), domain.translate(last)!.dirty]).toEqual([pageSize / 4096, false]);
        if (last < 2n ** 64n - 1n) {
          expect(codeOf(() => domain.translate(last + 1n))).toBe('ERANGE');
          expect([device.access(last + 1n, 1, 1), device.fault!.reason]).toEqual([-1, 'address-size']);
          const beyond = { iova: last + 1n, pa: 0, length: granule, access: 3 };
          expect(() => domain.map(beyond)).toThrow(/beyond the input addresses, 0x0 \.\. .*ERANGE/);
        }
        expect([domain.unmap(iova, granule), domain.unmap(first, 1)]).toEqual([shape.granule, bottom]);
      }
      expect(domain.usage.tables).toBe(1);
      device.close();
      domain.close();
    }
    for (const inputBits of shape.noWidths) {
      const make = () => iommu.domain({ ...domainOptions(shape), inputBits });
      expect(make).toThrow(/^iommu.domain: (inputBits \d+ .* has .* bits.*EINVAL|.* LPA2, .*EOPNOTSUPP)/);
    }
  });

  it('say what does not fit', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    const { granule } = shape;
    const domain = iommu.domain({ ...domainOptions(shape), inputBits: 48 });
    // One behind the last address, or the last of a lower half.
    const edge = shape.signed ? 2 ** 47 : 2 ** 48;
    const [smallest, next] = shape.format.leafSizes;
    const narrow = iommu.domain({ ...domainOptions(shape), leafSizes: [smallest] });
    const ok = { iova: 0, pa: 0, length: granule, access: 3 };
    const into = core.bitmap({ length: 2 ** 30, pageSize: 2 ** 20 });
    const errors: [() => unknown, RegExp][] = [
      [() => domain.map({ ...ok, iova: granule / 2 }), /all must be multiples of the smallest leaf, 0x.* \(EINVAL\)/],
      [() => domain.map({ ...ok, pa: granule / 2 }), /EINVAL/],
      [() => domain.map({ ...ok, length: granule - 1 }), /EINVAL/],
      [() => domain.map({ ...ok, iova: granule, leafSizes: [next] }), /EINVAL/],
      [() => domain.map({ ...ok, length: 0 }), /length is 0/],
      [() => domain.map({ ...ok, access: 0 }), /access is 0; it must be READ, WRITE or READ \| WRITE \(EINVAL\)/],
      [() => domain.map({ ...ok, access: 4 }), /access is 4/],
      [() => domain.map({ ...ok, leafSizes: [] }), /leafSizes is empty/],
      [() => domain.map({ ...ok, leafSizes: [8192 * 3] }), /leafSizes holds 24576; .* has leaves of .*EINVAL/],
      [() => narrow.map({ ...ok, length: next, leafSizes: [next] }), /the domain was not made for.*EINVAL/],
      [() => domain.map({ ...ok, iova: -granule }), /iova is -\d+; .*EINVAL/],
      [
        () => domain.map({ ...ok, pa: 2n ** BigInt(shape.outputBits) - BigInt(granule), length: 2 * granule }),
        /output addresses \(ERANGE\)/,
      ],
      [() => domain.map({ ...ok, pa: 2n ** 64n - BigInt(granule), length: 2 * granule }), /ERANGE/],
      [
        () => domain.map({ ...ok, iova: 2n ** 64n - BigInt(granule), length: 2 * granule }),
        /beyond 2\^64 \(EOVERFLOW\)/,
      ],
      [() => domain.map({ ...ok, iova: edge - granule, length: 2 * granule }), /ERANGE/],
      [() => domain.unmap(edge, granule), /not within the domain's input addresses, 0x0 \.\. .* \(ERANGE\)/],
      [() => domain.unmap(0, 0), /length is 0/],
      [() => domain.translate(edge), /0x.* is not within the domain's input addresses, 0x0 .*ERANGE/],
      [() => domain.walk(edge), /0x.* is not within .*ERANGE/],
      [() => domain.setDirty(edge), /0x.* is not within .*ERANGE/],
      [() => domain.split(edge, granule, smallest), /is not within the domain's input addresses.*ERANGE/],
      [() => domain.merge(edge, next, next), /is not within the domain's input addresses.*ERANGE/],
      [() => domain.readAndClearDirty({ iova: 0, length: 2 ** 20, into }), /without dirtyTracking \(EOPNOTSUPP\)/],
      [() => domain.setDirty(0), /nothing is mapped at 0x0 \(ENOENT\)/],
      [() => domain.split(0, granule, smallest), /0x0 .* has a hole; only what is mapped can be split \(ENOENT\)/],
      [() => domain.split(0, granule, 24576), /leafSizes holds 24576; .*EINVAL/],
      [() => narrow.split(0, granule, next), /the domain has no leaves of 2\^\d+ bytes \(EINVAL\)/],
      [() => narrow.merge(0, next, next), /EINVAL/],
      [() => domain.merge(0, next, next), /is not leaves of 2\^\d+ bytes in all but size.*EINVAL/],
      [() => domain.merge(granule, next, next), /EINVAL/],
      [() => domain.merge(0, next - granule, next), /EINVAL/],
      [() => domain.setDirtyTracking(true), /without dirtyTracking \(EOPNOTSUPP\)/],
      [() => domain.clearDirty(), /EOPNOTSUPP/],
      [
        () => iommu.domain({ ...domainOptions(shape), inputBits: 0 }),
        /inputBits is 0; it must be an integer from 1 to 64/,
      ],
      [() => iommu.domain({ ...domainOptions(shape), inputBits: 65 }), /inputBits is 65/],
      [() => iommu.domain({ ...domainOptions(shape), leafSizes: [1234] }), /leafSizes holds 1234/],
      [() => iommu.domain({ ...domainOptions(shape), outputBits: 51 }), /outputBits is 51; .* has \d\d.* \(EINVAL\)/],
      [
        () => iommu.domain({ ...domainOptions(shape), aperture: { first: 1, last: 0 } }),
        /aperture is 0x1 \.\. 0x0: it ends before it begins \(EINVAL\)/,
      ],
      [
        () => iommu.domain({ format: 'x' as 'vtdss' }),
        /format is 'x'; there are amdv1, vtdss, x86_64, armv8-s1, armv8-s2, riscv, mock2k \(EINVAL\)/,
      ],
      [() => iommu.domain({ format: 'amdv1', granule: '64K' }), /granule is '64K'; amdv1 has none \(EINVAL\)/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect([domain.usage.mappedBytes, narrow.usage.mappedBytes]).toEqual([0, 0]);
    const tracked = iommu.domain({ ...domainOptions(shape), dirtyTracking: true });
    const read = (iova: number, length: number) => () => tracked.readAndClearDirty({ iova, length, into });
    expect(read(0, granule)).toThrow(/not a whole number of the target bitmap's pages of 1048576 \(EINVAL\)/);
    expect(read(2 ** 30, 2 ** 20)).toThrow(/reaches beyond the target bitmap.*ERANGE/);
    expect(read(0, 2 ** 31)).toThrow(/ERANGE/);
  });

  it('have an aperture: nothing beyond it is mapped, and DMA beyond it faults', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    const { granule } = shape;
    const aperture = { first: 4 * granule, last: 8 * granule - 1 };
    const domain = iommu.domain({ ...domainOptions(shape), aperture });
    expect(domain.inputRanges).toEqual([aperture]);
    const beside = [3, 5].map((at) => () => {
      domain.map({ iova: at * granule, pa: 0, length: 4 * granule, access: 3, leafSizes: [granule] });
    });
    for (const map of beside) expect(map).toThrow(/ERANGE/);
    domain.map({ iova: 4 * granule, pa: 0, length: 4 * granule, access: 3, leafSizes: [granule] });
    const device = iommu.attach(1, domain);
    const faults = [3, 4, 7, 8].map((at) => [device.access(at * granule, 1, 1), device.fault?.reason]);
    expect(faults).toEqual([
      [-1, 'address-size'],
      [1, undefined],
      [1, undefined],
      [-1, 'address-size'],
    ]);
  });

  it('can be narrowed to some leaf sizes', () => {
    const { core } = site.core();
    const [smallest, next] = shape.format.leafSizes;
    const domain = core.iommu().domain({ ...domainOptions(shape), leafSizes: [next] });
    domain.map({ iova: next, pa: 0, length: 3 * next, access: 3 });
    expect(domain.translate(2 * next)!.leafSize).toBe(next);
    expect(codeOf(() => domain.map({ iova: 0, pa: 0, length: smallest, access: 3 }))).toBe('EINVAL');
  });

  it('unmap a leaf whole where the range ends inside it, stop at a hole, and refuse to start inside a leaf', () => {
    const { core } = site.core();
    const domain = core.iommu().domain(domainOptions(shape));
    const { granule } = shape;
    const next = shape.format.leafSizes[1];
    domain.map({ iova: 0, pa: 0, length: next, access: 3, leafSizes: [granule] });
    domain.map({ iova: next, pa: next, length: next, access: 3 });
    domain.map({ iova: 3 * next, pa: 0, length: granule, access: 3 });
    expect(() => domain.unmap(next + granule, granule)).toThrow(/lies inside a leaf; start where it starts \(EINVAL\)/);
    expect(domain.usage.mappedBytes).toBe(2 * next + granule);
    expect(domain.unmap(granule, next)).toBe(2 * next - granule);
    expect(domain.usage.mappedBytes).toBe(2 * granule);
    expect(domain.unmap(granule, granule)).toBe(0);
    expect(domain.unmap(0, 5 * next)).toBe(granule);
    expect(domain.unmap(3 * next, granule)).toBe(granule);
    expect(domain.usage.tables).toBe(1);
  });
});
