import { describe, expect, it } from 'vitest';
import type { UpdatePolicy } from '../../src/iommu/update-policy.ts';
import { PLACES, siteAt } from '../core/builds.ts';

const LARGE = 2 ** 21;
const HUGE = 2 ** 30;

const EACH = PLACES.flatMap((place) =>
  (['bbm', 'nt', 'direct2'] as const).map((update) => ({ place, update, name: `${update}, ${place.name}` })),
);

describe.each(EACH)('what a domain counts of its resizes: $name', ({ place, update }) => {
  /** Four leaves of 2 MiB, the second and third dirty. */
  function setUp(): ReturnType<typeof make> {
    const made = make(update, [4096, LARGE]);
    made.domain.map({ iova: 0, pa: 0, length: 4 * LARGE, access: 3, leafSizes: [LARGE] });
    made.domain.clearDirty();
    made.domain.setDirty(LARGE);
    made.domain.setDirty(2 * LARGE);
    return made;
  }

  function make(policy: UpdatePolicy, leafSizes: number[]) {
    const { core } = siteAt(place, 8).core();
    const options = { format: 'armv8-s1', dirtyTracking: true, update: policy, leafSizes } as const;
    return { core, domain: core.iommu({ iotlb: { sets: 1, ways: 1 } }).domain(options) };
  }

  const broken = (count: number) => (update === 'bbm' ? count : 0);

  it('splits and merges', () => {
    const { domain } = setUp();
    expect(domain.resizes).toEqual({ broken: 0, split: 0, merged: 0 });
    domain.split(0, 3 * LARGE, 4096);
    expect(domain.resizes).toEqual({ broken: broken(3), split: 3, merged: 0 });
    domain.split(0, 4 * LARGE, 4096);
    expect(domain.resizes).toEqual({ broken: broken(4), split: 4, merged: 0 });
    domain.merge(0, 2 * LARGE, LARGE);
    domain.merge(0, 4 * LARGE, LARGE);
    expect(domain.resizes).toEqual({ broken: broken(8), split: 4, merged: 4 });
  });

  it('splits by reads, of the dirty leaves only', () => {
    const { core, domain } = setUp();
    const into = core.bitmap({ length: 4 * LARGE });
    const read = { iova: 0, length: 4 * LARGE, into, splitTo: 4096 };
    domain.readAndClearDirty(read);
    expect(domain.resizes).toEqual({ broken: broken(2), split: 2, merged: 0 });
    domain.setDirty(LARGE);
    domain.readAndClearDirty(read);
    expect(domain.resizes).toEqual({ broken: broken(2), split: 2, merged: 0 });
  });

  it('leaves that are split in passing', () => {
    const { domain } = make(update, [4096, HUGE]);
    domain.map({ iova: 0, pa: 0, length: HUGE, access: 3, leafSizes: [HUGE] });
    domain.split(0, HUGE, 4096);
    expect(domain.resizes).toEqual({ broken: broken(513), split: 513, merged: 0 });
  });
});
