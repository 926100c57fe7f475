import { afterAll, describe, expect, it } from 'vitest';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { SHAPES, domainOptions } from './table-shape.ts';

const EACH = PLACES.flatMap((place) =>
  SHAPES.map((shape) => ({ place, shape, name: `${shape.title}, ${place.name}` })),
);

describe.each(EACH)('the rules of page tables: $name', ({ place, shape }) => {
  const site = new Site(place, shape.granule === 4096 ? 4 : 8);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('refuse what overlaps, and nothing is changed', () => {
    const { core } = site.core();
    const domain = core.iommu().domain(domainOptions(shape));
    const { granule, entries } = shape;
    const sizes = shape.format.leafSizes;
    const large = sizes.at(-1)!;
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
    for (const size of shape.format.leafSizes.slice(1, -1)) {
      const iova = size * 2;
      domain.map({ iova, pa: 0, length: size, access: 3, leafSizes: [size] });
      expect(domain.translate(iova + 1)).toEqual({ pa: 1, leafSize: size, access: 3, dirty: false });
      domain.unmap(iova, size);
    }
    expect(domain.usage.mappedBytes).toBe(granule);
  });

  it('have the widths that the format has, each to its last address', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    for (const inputBits of shape.widths) {
      const domain = iommu.domain({ ...domainOptions(shape), inputBits, dirtyTracking: true });
      const last = 2n ** BigInt(inputBits) - 1n;
      expect(BigInt(domain.lastAddress)).toBe(last);
      const granule = BigInt(shape.granule);
      const iova = last - granule + 1n;
      domain.map({ iova, pa: 0, length: granule, access: 3 });
      const bottom = shape.format.leafSizes.at(-1)!;
      if (2 ** inputBits > 2 * bottom) domain.map({ iova: 0, pa: bottom, length: bottom, access: 3 });
      const device = iommu.attach(1, domain);
      expect(device.access(last, 1, 2)).toBe(1);
      expect(domain.translate(last)).toEqual({
        pa: shape.granule - 1,
        leafSize: shape.granule,
        access: 3,
        dirty: true,
      });
      const into = core.bitmap({ start: iova, length: granule });
      domain.readAndClearDirty({ iova, length: granule, into });
      expect([into.count(), domain.translate(last)!.dirty]).toEqual([shape.granule / 4096, false]);
      if (inputBits < 64) {
        expect(codeOf(() => domain.translate(last + 1n))).toBe('ERANGE');
        expect([device.access(last + 1n, 1, 1), device.fault!.reason]).toEqual([-1, 'address-size']);
        const beyond = { iova: last + 1n, pa: 0, length: granule, access: 3 };
        expect(() => domain.map(beyond)).toThrow(/beyond the domain's input addresses \(last 0x.*ERANGE/);
      }
      expect(domain.unmap(iova, granule)).toBe(shape.granule);
      device.close();
      domain.close();
    }
    for (const inputBits of shape.noWidths) {
      const make = () => iommu.domain({ ...domainOptions(shape), inputBits });
      expect(make).toThrow(new RegExp(`${shape.format.name} has no input addresses of ${inputBits} bits \\(EINVAL\\)`));
    }
  });

  it('say what does not fit', () => {
    const { core } = site.core();
    const iommu = core.iommu();
    const { granule } = shape;
    const domain = iommu.domain(domainOptions(shape));
    const [smallest, next] = shape.format.leafSizes;
    const narrow = iommu.domain({ ...domainOptions(shape), leafSizes: [smallest] });
    const ok = { iova: 0, pa: 0, length: granule, access: 3 };
    const into = core.bitmap({ length: 2 ** 30, pageSize: 2 ** 20 });
    const errors: [() => unknown, RegExp][] = [
      [() => domain.map({ ...ok, iova: 2048 }), /all must be multiples of the smallest leaf, 0x.* \(EINVAL\)/],
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
      [() => domain.map({ ...ok, pa: 2 ** 52 - granule, length: 2 * granule }), /output addresses \(ERANGE\)/],
      [() => domain.map({ ...ok, pa: 2n ** 64n - BigInt(granule), length: 2 * granule }), /ERANGE/],
      [() => domain.map({ ...ok, iova: 2n ** 64n - 4096n, length: 2 * granule }), /beyond 2\^64 \(EOVERFLOW\)/],
      [() => domain.map({ ...ok, iova: 2 ** 48 - granule, length: 2 * granule }), /ERANGE/],
      [() => domain.unmap(2 ** 48, granule), /beyond the domain's last input address 0xffffffffffff \(ERANGE\)/],
      [() => domain.unmap(0, 0), /length is 0/],
      [() => domain.translate(2 ** 48), /0x1000000000000 is beyond .*ERANGE/],
      [() => domain.readAndClearDirty({ iova: 0, length: 2 ** 20, into }), /without dirtyTracking \(EOPNOTSUPP\)/],
      [() => domain.setDirtyTracking(true), /without dirtyTracking \(EOPNOTSUPP\)/],
      [() => domain.clearDirty(), /EOPNOTSUPP/],
      [
        () => iommu.domain({ ...domainOptions(shape), inputBits: 0 }),
        /inputBits is 0; it must be an integer from 1 to 64/,
      ],
      [() => iommu.domain({ ...domainOptions(shape), inputBits: 65 }), /inputBits is 65/],
      [() => iommu.domain({ ...domainOptions(shape), leafSizes: [1234] }), /leafSizes holds 1234/],
      [() => iommu.domain({ format: 'x' as 'vtdss' }), /format is 'x'; there are amdv1, vtdss, armv8-s1 \(EINVAL\)/],
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
