import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { open, type Core } from '../../src/core/core.ts';
import { findTracker } from '../../src/tracker/registry.ts';
import type { Tracker } from '../../src/tracker/tracker.ts';
import { createEventBatch } from '../../src/workload/event-batch.ts';
import { runs } from '../runs.ts';

const PAGES = 1200;

let core: Core;
beforeAll(async () => {
  core = await open({ memory: '8MiB' });
});

function make(name: string): Tracker {
  const ramBytes = PAGES * 4096;
  const flushNs = 10;
  return findTracker(name).make({
    core,
    ramBytes,
    devices: 1,
    leafBytes: 2 ** 21,
    leaf: '2M',
    pageSize: 4096,
    flushNs,
  });
}

/** Gives the tracker writes of one byte each to pages, at its own time; the pages on which one landed. */
function writer(tracker: Tracker) {
  const landed = new Set<number>();
  const batch = createEventBatch(1);
  batch.count = 1;
  batch.length[0] = 1;
  const land = (address: number, length: number): void => {
    if (length > 0) landed.add(address / 4096);
  };
  const write = (page: number, timeNs: number): void => {
    batch.timeNs[0] = timeNs;
    batch.address[0] = page * 4096;
    if (tracker.resizing!.broken) return tracker.resizing!.feed(batch, 0, 1, 0, land);
    tracker.feed(batch, 0, 1);
    landed.add(page);
  };
  return { landed, land, write };
}

function pagesOf(tracker: Tracker): number[] {
  const report = core.bitmap({ length: PAGES * 4096 });
  tracker.report(report);
  const pages = [...report.pageRuns()].flatMap(({ page, pages }) => Array.from({ length: pages }, (_, i) => page + i));
  report.close();
  return pages;
}

function finish(tracker: Tracker, land: (address: number, length: number) => void): void {
  while (tracker.resizing!.nextStepNs !== Infinity) tracker.resizing!.step(land);
}

describe('a tracker that resizes its leaves', () => {
  it.each(['bbm', 'nt', 'direct2', 'bbm+fault=stall'])(
    '%s: what lands between any two steps of a merge is in the report behind it',
    (suffix) => {
      const writes = fc.array(fc.array(fc.nat(PAGES - 1), { maxLength: 4 }), { maxLength: 30 });
      fc.assert(
        fc.property(writes, writes, (beforeMerge, duringMerge) => {
          const tracker = make(`iommu:armv8-s1+${suffix}+split=eager+merge`);
          const { landed, land, write } = writer(tracker);
          const resizing = tracker.resizing!;
          tracker.start();
          finish(tracker, land);
          pagesOf(tracker);
          beforeMerge.flat().forEach((page) => write(page, 1000));
          resizing.merge(1000);
          for (const pages of duringMerge) {
            pages.forEach((page) => write(page, Math.min(resizing.nextStepNs, 2000)));
            if (resizing.nextStepNs !== Infinity) resizing.step(land);
          }
          finish(tracker, land);
          const reported = new Set(pagesOf(tracker));
          tracker.close();
          expect([...landed].filter((page) => !reported.has(page))).toEqual([]);
        }),
        { numRuns: runs(40) },
      );
    },
  );

  it('refuses a second thing while one is under way, and a step where nothing is', () => {
    const tracker = make('iommu:armv8-s1+split=eager+merge');
    const none = () => undefined;
    expect(() => tracker.resizing!.step(none)).toThrow('nothing is under way');
    tracker.start();
    expect([tracker.resizing!.nextStepNs, tracker.resizing!.broken]).toEqual([0, false]);
    expect(() => tracker.resizing!.merge(0)).toThrow('something is under way until 0 ns at least');
    finish(tracker, none);
    tracker.close();
  });

  it('counts the misses since its first invalidation as those of tracking', () => {
    const misses = ['', '+split=eager'].map((suffix) => {
      const tracker = make(`iommu:amdv1${suffix}`);
      tracker.start();
      if (tracker.resizing) finish(tracker, () => undefined);
      const batch = createEventBatch(1);
      batch.count = 1;
      batch.length[0] = PAGES * 4096;
      tracker.feed(batch, 0, 1);
      const { iotlbMisses, flushes } = tracker.work;
      tracker.close();
      return [iotlbMisses, flushes];
    });
    expect(misses).toEqual([
      [0, 0],
      [PAGES, 1],
    ]);
  });
});
