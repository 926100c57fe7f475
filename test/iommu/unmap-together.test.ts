import { describe, expect, it } from 'vitest';
import { PLACES } from '../core/builds.ts';
import { machine } from './one-leaf.ts';

const MIB = 2 ** 20;

describe.each(PLACES)('unmaps side by side: $name', (place) => {
  it('free no table before the invalidation of the unmap that took it out has completed', () => {
    const { core, domain } = machine(place, { format: 'vtdss', leafSizes: [4096] });
    const rest = core.usage.usedBytes;
    domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: 3 });
    domain.map({ iova: 2 ** 30, pa: 0, length: 2 * MIB, access: 3 });
    const slow = domain.unmapSteps(0, 2 * MIB);
    let next = slow.next();
    while (!next.done && next.value.what !== 'invalidate') next = slow.next();
    const before = core.usage.usedBytes;
    domain.unmap(2 ** 30, 2 * MIB);
    expect(core.usage.usedBytes).toBe(before);
    while (!next.done) next = slow.next();
    expect([next.value, core.usage.usedBytes]).toEqual([2 * MIB, rest]);
  });
});
