import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { ConflictOutcome, UpdatePolicy } from '../../src/iommu/update-policy.ts';
import { PLACES, type Place } from '../core/builds.ts';
import { dirtyRuns, machine } from './one-leaf.ts';

const MIB = 2 ** 20;
const FORMAT = 'armv8-s1';

/** A leaf of 2 MiB, cached clean, that is split while a device goes on writing: what became of its write before the invalidation. */
function writeInTheMiddle(place: Place, update: UpdatePolicy, conflict?: ConflictOutcome) {
  const made = machine(place, { format: FORMAT, dirtyTracking: true, update, ...(conflict && { conflict }) });
  const { domain, device, iommu } = made;
  domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE });
  domain.clearDirty();
  device.access(MIB, 8, READ);
  const steps = domain.splitSteps(0, 2 * MIB, 4096);
  let next = steps.next();
  while (!next.done && next.value.what !== 'invalidate') next = steps.next();
  const landed = device.access(MIB, 8, WRITE) > 0;
  const reason = device.fault?.reason;
  const again = device.access(MIB + 8, 8, WRITE) > 0;
  while (!next.done) next = steps.next();
  return { landed, again, reason, dirty: dirtyRuns(made, 2 * MIB), faults: iommu.takeFaults().faults.length };
}

describe.each(PLACES)('a leaf that changes size under DMA: $name', (place) => {
  const page = [[256, 1]];

  it('direct2: hardware resolves it, and loses nothing', () => {
    expect(writeInTheMiddle(place, 'direct2')).toEqual({ landed: true, again: true, dirty: page, faults: 0 });
  });

  it('nt: nothing is cached meanwhile, and each write finds the leaf in memory', () => {
    const made = machine(place, { format: FORMAT, dirtyTracking: true, update: 'nt' });
    const { domain, device, iommu } = made;
    domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE });
    domain.clearDirty();
    const steps = domain.splitSteps(0, 2 * MIB, 4096);
    for (let next = steps.next(); next.value && next.value.what !== 'make'; next = steps.next());
    const before = iommu.counters.walkReads;
    device.access(MIB, 8, WRITE);
    device.access(MIB, 8, WRITE);
    expect([iommu.counters.walkReads - before, domain.translate(0)!.dirty]).toEqual([6, true]);
    for (let next = steps.next(); !next.done; next = steps.next());
    // What was written before the swap is dirty in all parts.
    expect(dirtyRuns(made, 2 * MIB)).toEqual([[0, 512]]);
  });

  it('wrong: each outcome is what hardware may make of it', () => {
    const outcome = (conflict: ConflictOutcome) => writeInTheMiddle(place, 'wrong', conflict);
    expect(outcome('new')).toEqual({ landed: true, again: true, dirty: page, faults: 0 });
    expect(outcome('abort')).toEqual({ landed: false, again: false, reason: 'tlb-conflict', dirty: [], faults: 2 });
    // These three land, and no report ever holds the page: that is what the rules are there for.
    expect(outcome('old')).toEqual({ landed: true, again: true, dirty: [], faults: 0 });
    expect(outcome('amalgam')).toEqual({ landed: true, again: true, dirty: [], faults: 0 });
    const missed = outcome('dirty-missed');
    expect([missed.landed, missed.faults]).toEqual([true, 0]);
  });

  it('wrong: left open, outcomes change, but always in the same way', () => {
    const first = machine(place, { format: FORMAT, dirtyTracking: true, update: 'wrong' });
    const run = ({ domain, device, iommu }: typeof first) => {
      domain.map({ iova: 0, pa: 0, length: 16 * MIB, access: READ | WRITE, leafSizes: [2 * MIB] });
      domain.clearDirty();
      for (let i = 0; i < 8; i++) device.access(2 * MIB * i, 8, READ);
      const steps = domain.splitSteps(0, 16 * MIB, 4096);
      let next = steps.next();
      while (!next.done && next.value.what !== 'invalidate') next = steps.next();
      const landed = Array.from({ length: 8 }, (_, i) => device.access(2 * MIB * i, 8, WRITE) > 0);
      while (!next.done) next = steps.next();
      return [landed, iommu.takeFaults().faults.length] as const;
    };
    const [landed, faults] = run(first);
    const second = machine(place, { format: FORMAT, dirtyTracking: true, update: 'wrong' });
    expect(run(second)).toEqual([landed, faults]);
    expect([landed.includes(true), landed.includes(false)]).toEqual([true, true]);
  });
});
