import { describe, expect, it } from 'vitest';
import { WRITE } from '../../src/iommu/access.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import type { Requester } from '../../src/iommu/requester.ts';
import { updatePolicies, type UpdatePolicy } from '../../src/iommu/update-policy.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { PLACES, codeOf } from '../core/builds.ts';
import { dirtyRuns, machine } from './one-leaf.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const CASES = (['amdv1', 'vtdss', 'x86_64', 'armv8-s1', 'armv8-s2', 'riscv'] as const).flatMap((format) =>
  updatePolicies(format).map((update) => ({ format, update })),
);

/** What the leaf of 0 .. 2 MiB is, entry by entry of the smallest size. */
function leaves(domain: Domain) {
  return Array.from({ length: 512 }, (_, i) => domain.translate(i * 4 * KIB));
}

/** Takes all steps, and a DMA of `device` before each of them: what was done, and which of the DMA were refused. */
function underDma(steps: Steps<void>, device: Requester) {
  const done: string[] = [];
  const refused: string[] = [];
  for (let next = steps.next(); !next.done; next = steps.next()) {
    if (device.access(MIB + 8, 8, WRITE) < 0) refused.push(next.value.what);
    done.push(next.value.what);
  }
  return { done, refused };
}

function once(steps: readonly string[]): string[] {
  return steps.filter((what, i) => what !== steps[i - 1]);
}

const SPLIT: Record<UpdatePolicy, string[]> = {
  direct: ['lock', 'split', 'invalidate', 'complete'],
  direct2: ['lock', 'split', 'invalidate', 'complete'],
  wrong: ['lock', 'split', 'invalidate', 'complete'],
  bbm: ['lock', 'break', 'invalidate', 'complete', 'make', 'break'],
  nt: ['lock', 'mark', 'invalidate', 'complete', 'make', 'invalidate', 'complete', 'mark'],
};

const MERGE: Record<UpdatePolicy, string[]> = {
  direct: ['lock', 'merge', 'invalidate', 'complete', 'fold'],
  direct2: ['lock', 'merge', 'invalidate', 'complete', 'fold'],
  wrong: ['lock', 'merge', 'invalidate', 'complete', 'fold'],
  bbm: ['lock', 'break', 'invalidate', 'complete', 'make'],
  nt: ['lock', 'merge', 'invalidate', 'complete', 'fold', 'invalidate', 'complete'],
};

describe.each(PLACES)('leaves that change size: $name', (place) => {
  it.each(CASES)('$format $update: split and merge give the same leaves, step by step under DMA', (options) => {
    const { core, domain, device } = machine(place, { ...options, dirtyTracking: true, leafSizes: [4 * KIB, 2 * MIB] });
    const rest = core.usage.usedBytes;
    domain.map({ iova: 0, pa: 2 * MIB, length: 2 * MIB, access: 3 });
    domain.clearDirty();
    const before = core.usage.usedBytes;
    const split = underDma(domain.splitSteps(0, 2 * MIB, 4 * KIB), device);
    expect(once(split.done)).toEqual(SPLIT[options.update]);
    // Until the invalidation the IOTLB leads on.
    expect(split.refused).toEqual(options.update === 'bbm' ? ['complete', 'make'] : []);
    // The leaf was dirty before the first step, as DMA had gone through it: all parts inherit that.
    const parts = leaves(domain);
    expect(parts).toEqual(
      parts.map((_, i) => ({ pa: 2 * MIB + i * 4 * KIB, leafSize: 4 * KIB, access: 3, dirty: true })),
    );
    domain.clearDirty();
    const merge = underDma(domain.mergeSteps(0, 2 * MIB, 2 * MIB), device);
    expect(once(merge.done)).toEqual(MERGE[options.update]);
    expect(merge.refused).toEqual(options.update === 'bbm' ? ['complete', 'make'] : []);
    expect(domain.translate(0)).toEqual({ pa: 2 * MIB, leafSize: 2 * MIB, access: 3, dirty: true });
    // Every table has come back.
    expect(core.usage.usedBytes).toBe(before);
    domain.unmap(0, 2 * MIB);
    expect(core.usage.usedBytes).toBe(rest);
  });

  it.each(CASES)('$format $update: a read splits what it finds dirty, and that only', (options) => {
    const made = machine(place, { ...options, dirtyTracking: true, leafSizes: [4 * KIB, 2 * MIB] });
    const { core, domain, device } = made;
    domain.map({ iova: 0, pa: 0, length: 6 * MIB, access: 3 });
    domain.clearDirty();
    device.access(3 * MIB, 1, WRITE);
    const into = core.bitmap({ length: 6 * MIB });
    domain.readAndClearDirty({ iova: 0, length: 6 * MIB, into, splitTo: 4 * KIB });
    expect([...into.pageRuns()]).toEqual([{ page: 512, pages: 512 }]);
    expect([0, 2, 4].map((at) => domain.translate(at * MIB)!.leafSize)).toEqual([2 * MIB, 4 * KIB, 2 * MIB]);
    expect(dirtyRuns(made, 6 * MIB)).toEqual([]);
    device.access(3 * MIB + 4096, 5000, WRITE);
    expect(dirtyRuns(made, 6 * MIB)).toEqual([[769, 2]]);
  });

  it('has no memory to split on the way: leaves stay, and are read as before', () => {
    for (const update of ['bbm', 'nt', 'direct2'] as const) {
      const made = machine(place, { format: 'armv8-s1', update, dirtyTracking: true, leafSizes: [4 * KIB, 2 * MIB] });
      const { core, domain, device } = made;
      domain.map({ iova: 0, pa: 0, length: 4 * MIB, access: 3 });
      domain.clearDirty();
      const into = core.bitmap({ length: 4 * MIB });
      for (const bytes of [2 ** 19, 2 ** 16, 4096]) {
        while (codeOf(() => core.bitmap({ length: bytes * 8 * 4096 })) === 'none');
      }
      device.access(MIB, 1, WRITE);
      const used = core.usage.usedBytes;
      domain.readAndClearDirty({ iova: 0, length: 4 * MIB, into, splitTo: 4 * KIB });
      expect([...into.pageRuns()]).toEqual([{ page: 0, pages: 512 }]);
      expect([domain.translate(0), core.usage.usedBytes]).toEqual([
        { pa: 0, leafSize: 2 * MIB, access: 3, dirty: false },
        used,
      ]);
      device.access(3 * MIB, 1, WRITE);
      expect(domain.translate(2 * MIB)!.dirty).toBe(true);
    }
  });

  it('splits 1 GiB by way of 2 MiB, each part broken on its own', () => {
    const { domain, device } = machine(place, { format: 'armv8-s2', dirtyTracking: true });
    domain.map({ iova: 2 ** 30, pa: 2 ** 30, length: 2 ** 30, access: 3 });
    const steps = domain.splitSteps(2 ** 30, 4096, 4 * KIB);
    let breaks = 0;
    let refused = 0;
    for (let next = steps.next(); !next.done; next = steps.next()) {
      breaks += next.value.what === 'break' ? 1 : 0;
      refused += device.access(2 ** 30 + 77 * MIB, 1, WRITE) < 0 ? 1 : 0;
      if (breaks > 100) break;
    }
    steps.return();
    // The whole once, then its 2 MiB once more, each time from the invalidation on.
    expect([refused, domain.translate(2 ** 30)!.leafSize]).toEqual([4, 4 * KIB]);
  });
});

describe('update policies', () => {
  const make = (format: FormatName, update: UpdatePolicy) => codeOf(() => machine(PLACES[0], { format, update }));

  it('are those that the format has, its own by default', () => {
    expect(
      ['amdv1', 'x86_64', 'vtdss', 'riscv', 'armv8-s1', 'armv8-s2'].map((f) => updatePolicies(f as FormatName)[0]),
    ).toEqual(['direct', 'direct', 'direct', 'direct', 'bbm', 'bbm']);
    expect([make('amdv1', 'nt'), make('armv8-s1', 'direct'), make('amdv1', 'bbm'), make('armv8-s2', 'wrong')]).toEqual([
      'EINVAL',
      'EINVAL',
      'none',
      'none',
    ]);
    expect(() => machine(PLACES[0], { format: 'vtdss', update: 'nt' })).toThrow(
      /update is 'nt'; vtdss has direct, bbm/,
    );
  });
});
