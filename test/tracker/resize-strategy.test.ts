import { describe, expect, it } from 'vitest';
import { findTracker, TRACKERS } from '../../src/tracker/registry.ts';
import { suffixesOf, type ResizeStrategy } from '../../src/tracker/resize-strategy.ts';
import { UsageError } from '../../src/units/usage-error.ts';

const EAGER: ResizeStrategy = { update: 'direct', split: 'eager', merge: false, fault: 'abort' };

describe('the suffixes of a tracker', () => {
  it.each<[string, ResizeStrategy]>([
    ['iommu:amdv1+split=eager', EAGER],
    ['iommu:amdv1+direct+split=lazy', { ...EAGER, split: 'lazy' }],
    ['iommu:vtdss+bbm+split=eager+merge', { ...EAGER, update: 'bbm', merge: true }],
    ['iommu:vtdss+bbm+split=eager+fault=abort', { ...EAGER, update: 'bbm' }],
    ['iommu:armv8-s1+split=eager', { ...EAGER, update: 'bbm' }],
    ['iommu:armv8-s1+split=lazy+fault=stall', { update: 'bbm', split: 'lazy', merge: false, fault: 'stall' }],
    ['iommu:armv8-s2+merge+nt+split=lazy', { update: 'nt', split: 'lazy', merge: true, fault: 'abort' }],
    ['iommu:armv8-s2+direct2+split=eager', { ...EAGER, update: 'direct2' }],
  ])('%s', (name, strategy) => {
    const found = findTracker(name);
    expect(found.name).toBe(name);
    expect(found.resize).toMatchObject(strategy);
  });

  it.each<[string, RegExp]>([
    ['iommu:amdv1+nt+split=eager', /no suffix '\+nt'; it has \+direct, \+bbm, \+split=eager, .*\+fault=abort$/],
    ['iommu:amdv1+bbm+split=eager+fault=stall', /no suffix '\+fault=stall'/],
    ['iommu:armv8-s1+direct+split=eager', /no suffix '\+direct'; it has \+bbm, \+nt, \+direct2, /],
    ['iommu:armv8-s1+wrong+split=eager', /no suffix '\+wrong'/],
    ['iommu:armv8-s1+split=never', /no suffix '\+split=never'/],
    ['iommu:armv8-s1+', /no suffix '\+'/],
    ['iommu:armv8-s1+bbm', /without '\+split=eager' or '\+split=lazy' no leaf changes/],
    ['iommu:armv8-s1+merge', /without '\+split=eager' or '\+split=lazy'/],
    ['iommu:armv8-s1+bbm+nt+split=eager', /'\+nt' comes after another suffix/],
    ['iommu:armv8-s1+split=eager+split=lazy', /'\+split=lazy' comes after another suffix/],
    ['iommu:armv8-s1+merge+split=eager+merge', /'\+merge' comes after another suffix/],
    ['iommu:armv8-s1+nt+split=eager+fault=stall', /'\+fault=stall' has no effect with 'nt'/],
    ['iommu:amdv1+split=eager+fault=abort', /'\+fault=abort' has no effect with 'direct'.* goes with '\+bbm'/],
    ['type1+merge', /type1 has no suffixes/],
  ])('%s is refused', (name, message) => {
    expect(() => findTracker(name)).toThrow(message);
    expect(() => findTracker(name)).toThrow(UsageError);
  });

  it('of a tracker that there is not are not looked at', () => {
    expect(() => findTracker('iommu:foo+merge')).toThrow(/'iommu:foo\+merge' is no tracker; there are device, /);
  });

  it('leave the plain trackers as they are', () => {
    expect(TRACKERS.filter(({ resize }) => resize)).toEqual([]);
    expect(findTracker('iommu:amdv1')).toBe(TRACKERS.find(({ name }) => name === 'iommu:amdv1'));
  });

  it('split every size above the granule, and every suffix of a format goes with one of its splits', () => {
    const sizes = (name: string) => findTracker(name).resize!.leafSizes.map((size) => size / 4096);
    expect(sizes('iommu:vtdss+split=eager')).toEqual([512, 512 * 512]);
    expect(sizes('iommu:riscv+split=eager')).toEqual([16, 512, 512 * 512]);
    // Those of 16 KiB and 64 KiB are the smallest of their granules.
    expect(sizes('iommu:armv8-s1+split=eager')).toEqual([512, 8192, 131072, 512 * 512]);
    const refused = TRACKERS.flatMap(({ name, format }) =>
      format
        ? suffixesOf(format)
            .filter((suffix) => !suffix.name.startsWith('split='))
            .map((suffix) => `${name}${suffix.says.fault ? '+bbm' : ''}+split=lazy+${suffix.name}`)
        : [],
    ).filter((name) => !findTracker(name).resize);
    expect(refused).toEqual([]);
  });
});
