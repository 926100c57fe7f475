import { beforeAll, describe, expect, it } from 'vitest';
import { open, type Core } from '../../src/core/core.ts';
import type { RoundsResult } from '../../src/migration/rounds-result.ts';
import { write, type Event, type Workload } from './drive.ts';
import { LEAF, migrate, readWindows } from './resizing-run.ts';

/** Two leaves of 512 pages; sending them takes 102,400 ns. */
const RAM = 2 * LEAF;
const FIRST_ROUND = 102_400;

const NONE = {
  windows: 0,
  windowNs: 0,
  faults: 0,
  lostBytes: 0,
  stalls: 0,
  stalledNs: 0,
  deepestQueue: 0,
};

let core: Core;
beforeAll(async () => {
  core = await open({ memory: '8MiB' });
});

function workload(events: readonly Event[], rest: Partial<Workload> = {}): Workload {
  return { ramBytes: RAM, events, cpu: [], endNs: 1e6, ...rest };
}

function sizes(result: RoundsResult): number[][] {
  return result.rounds.map(({ pages, dirtiedPages }) => [pages, dirtiedPages]);
}

/** Around the windows of two leaves that are split one after the other from 0 on, 1000 ns each. */
const AROUND: readonly Event[] = [
  write(0, 5),
  write(0, 600),
  write(999, 6),
  write(1000, 7),
  write(1000, 601),
  { timeNs: 1500, op: 3, address: 700 * 4096, length: 4096 },
  // 96 bytes lie in the first leaf, 104 in the second.
  { timeNs: 1500, op: 0, address: LEAF - 96, length: 200 },
  write(1999, 602),
  write(2000, 603),
];

describe('eager splits', () => {
  it('bbm: DMA in a window faults from the broken leaf on; before, behind and beside it lands', () => {
    const { result, resize, fed, landed } = migrate(workload(AROUND), {
      core,
      name: 'iommu:armv8-s1+bbm+split=eager',
      flushNs: 1000,
    });
    expect(resize).toEqual({
      update: 'bbm',
      split: 'eager',
      merge: false,
      fault: 'abort',
      splitting: {
        ...NONE,
        leaves: 2,
        windows: 2,
        windowNs: 2000,
        faults: 6,
        lostBytes: 108,
        flushes: 2,
        durationNs: 2000,
      },
      merging: null,
    });
    expect([fed, landed]).toEqual([207, 99]);
    // The second leaf was written as a whole, and its parts inherit that; of the first, pages 7 and 511 were.
    expect(sizes(result)).toEqual([
      [1024, 514],
      [514, 0],
      [0, 0],
    ]);
    expect(result).toMatchObject({ truePages: 4, overReportedPages: 510, missedPages: 0, stalePages: 0 });
  });

  it('bbm with stalls: the same DMA waits until its window closes, and lands', () => {
    const { result, resize, fed, landed } = migrate(workload(AROUND), {
      core,
      name: 'iommu:armv8-s1+bbm+split=eager+fault=stall',
      flushNs: 1000,
    });
    const waits = { stalls: 6, stalledNs: 1000 + 1 + 1000 + 500 + 500 + 1, deepestQueue: 4 };
    const splitting = { ...NONE, ...waits, leaves: 2, windows: 2, windowNs: 2000, flushes: 2, durationNs: 2000 };
    expect(resize.splitting).toEqual(splitting);
    expect([fed, landed]).toEqual([207, 207]);
    expect(result).toMatchObject({ truePages: 9, overReportedPages: 507, missedPages: 0, stalePages: 0 });
  });

  it('stalled DMA that spans two leaves lands between their windows', () => {
    const both = { timeNs: 10, op: 0, address: LEAF - 96, length: 200 };
    const { resize, landed } = migrate(workload([both, { ...both, timeNs: 1400 }]), {
      core,
      name: 'iommu:armv8-s2+split=eager+fault=stall',
      flushNs: 1000,
    });
    expect(resize.splitting).toMatchObject({ stalls: 2, stalledNs: 990 + 600, deepestQueue: 1 });
    expect(landed).toBe(400);
  });

  it.each([
    ['iommu:armv8-s1+nt+split=eager', { leaves: 2, flushes: 4, durationNs: 4000 }, 1024],
    ['iommu:armv8-s1+direct2+split=eager', { leaves: 2, flushes: 1, durationNs: 1000 }, 9],
    ['iommu:amdv1+split=eager', { leaves: 2, flushes: 1, durationNs: 1000 }, 9],
    ['iommu:riscv+split=eager', { leaves: 2, flushes: 1, durationNs: 1000 }, 9],
  ])('%s: breaks nothing', (name, splitting, reportedPages) => {
    const { result, resize, fed, landed } = migrate(workload(AROUND), { core, name, flushNs: 1000 });
    expect(resize.splitting).toEqual({ ...NONE, ...splitting });
    expect([fed, landed]).toEqual([207, 207]);
    expect(result).toMatchObject({ truePages: 9, reportedPages, missedPages: 0, stalePages: 0 });
  });

  it('a read waits for a split that is under way, and the round for the read', () => {
    const events = [write(110_000, 5), write(119_999, 600), write(120_000, 601), write(120_001, 602)];
    const { result, resize } = migrate(workload(events), {
      core,
      name: 'iommu:vtdss+bbm+split=eager',
      flushNs: 60_000,
    });
    expect(resize.splitting).toMatchObject({ windows: 2, windowNs: 120_000, faults: 1, lostBytes: 1 });
    // What comes at 120,000 belongs to the round that ends then, as at any boundary.
    expect(sizes(result).slice(0, 2)).toEqual([
      [1024, 2],
      [2, 1],
    ]);
    expect(result.rounds[0].durationNs).toBe(FIRST_ROUND);
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0 });
  });

  it('are finished when the input ends in the middle of them', () => {
    const { result, resize } = migrate(workload([write(10, 600)], { endNs: 500 }), {
      core,
      name: 'iommu:armv8-s1+split=eager',
      flushNs: 1000,
    });
    expect(resize.splitting).toMatchObject({ leaves: 2, windows: 2, faults: 0 });
    expect(result).toMatchObject({ reason: 'inputEnded', reportedPages: 512, missedPages: 0, stalePages: 0 });
  });

  it('never begin where all of RAM is sent at once', () => {
    const { result, resize } = migrate(workload([write(10, 600)]), {
      core,
      name: 'iommu:armv8-s1+split=eager+merge',
      flushNs: 1000,
      capNs: FIRST_ROUND - 1,
    });
    expect([result.reason, result.rounds.length]).toEqual(['notConverging', 1]);
    const nothing = { ...NONE, leaves: 0, flushes: 0, durationNs: 0 };
    expect([resize.splitting, resize.merging]).toEqual([nothing, nothing]);
  });

  it('with a price of nothing take no time and meet nobody', () => {
    const { resize, landed } = migrate(workload(AROUND), { core, name: 'iommu:armv8-s1+split=eager', flushNs: 0 });
    expect(resize.splitting).toMatchObject({ leaves: 2, windows: 2, windowNs: 0, faults: 0, durationNs: 0 });
    expect(landed).toBe(207);
  });
});

/** Around the windows of lazy splits, 1000 ns each: the first read begins with the second round, the second 51,200 ns later. */
const SECOND = FIRST_ROUND + 1000 + 51_200;
const AROUND_READS: readonly Event[] = [
  write(10, 3),
  write(FIRST_ROUND, 4),
  write(FIRST_ROUND + 1, 8),
  write(FIRST_ROUND + 1, 700),
  write(FIRST_ROUND + 999, 9),
  write(FIRST_ROUND + 1000, 10),
  write(SECOND + 1, 513),
  write(SECOND + 1, 11),
];

describe('lazy splits', () => {
  const lazy = (name: string, events = AROUND_READS, rest: Partial<Workload> = {}) =>
    migrate(workload(events, rest), { core, name: `${name}+split=lazy`, flushNs: 1000 });

  it('bbm: a read breaks what it finds dirty until its invalidation completes, and returns then', () => {
    const { result, resize, landed } = lazy('iommu:armv8-s1+bbm');
    const windows = { windows: 2, windowNs: 2000, faults: 3, lostBytes: 3 };
    expect(resize.splitting).toEqual({ ...NONE, ...windows, leaves: 2, flushes: 3, durationNs: 3000 });
    expect(landed).toBe(5);
    // Page 700 lands while the first read lasts, behind where it has been; page 11 likewise, in parts by then.
    expect(sizes(result)).toEqual([
      [1024, 512],
      [512, 513],
      [513, 1],
      [1, 0],
      [0, 0],
    ]);
    expect(result.totalTimeNs).toBe(FIRST_ROUND + 51_200 + 51_300 + 100);
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0, truePages: 5 });
  });

  it.each([
    ['iommu:amdv1', 3, 3000],
    ['iommu:armv8-s1+direct2', 3, 3000],
    // Two invalidations each; the longer read puts the second one off until what comes at its time here has landed.
    ['iommu:armv8-s1+nt', 4, 4000],
  ])('%s: breaks nothing, and lands all', (name, flushes, durationNs) => {
    const { result, resize, landed } = lazy(name);
    expect(resize.splitting).toEqual({ ...NONE, leaves: 2, flushes, durationNs });
    expect(landed).toBe(8);
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0, truePages: 8 });
  });

  it('take no part in the reading of leaves that are small, and none in the final read', () => {
    const { resize } = lazy('iommu:armv8-s1+bbm', [write(10, 3), write(FIRST_ROUND + 20_000, 4)]);
    expect(resize.splitting).toMatchObject({ leaves: 1, windows: 1, flushes: 2, durationNs: 2000 });
    const last = lazy('iommu:armv8-s1+bbm', [write(FIRST_ROUND, 3)], { endNs: FIRST_ROUND });
    expect(last.resize.splitting).toMatchObject({ leaves: 1, windows: 1 });
  });

  it('a level at a time', () => {
    const ramBytes = 2 ** 30;
    const pages = ramBytes / 4096;
    const again = [10, pages * 100 + 2000, pages * 200 + 4000].map((timeNs) => write(timeNs, 3));
    const { result, resize } = migrate(workload(again, { ramBytes, endNs: 1e9 }), {
      core,
      name: 'iommu:amdv1+split=lazy',
      leafBytes: 2 ** 30,
      flushNs: 1000,
    });
    expect(sizes(result).slice(0, 4)).toEqual([
      [pages, pages],
      [pages, 512],
      [512, 1],
      [1, 0],
    ]);
    expect(resize.splitting.leaves).toBe(2);
  });

  it("the CPUs' log goes on while a read lasts, and its pages belong to the report and to each interval behind it", () => {
    const cpu = [
      { startNs: FIRST_ROUND + 100, endNs: FIRST_ROUND + 600, pages: [900] },
      { startNs: FIRST_ROUND + 600, endNs: FIRST_ROUND + 5000, pages: [901] },
    ];
    const { result } = lazy('iommu:armv8-s1', [write(10, 3)], { cpu });
    expect(sizes(result)).toEqual([
      [1024, 514],
      [514, 1],
      [1, 0],
      [0, 0],
    ]);
  });
});

describe('merges after the last round', () => {
  const end = FIRST_ROUND + 1000;
  const events = [
    write(end, 1),
    write(end + 1, 20),
    write(end + 1000, 21),
    write(end + 1000, 900),
    write(end + 1999, 901),
    write(end + 2000, 902),
  ];

  it('go block by block under the DMA that goes on, and change nothing of what the migration came to', () => {
    const settings = { core, flushNs: 1000 };
    // Nothing is dirty at the first read: it takes no time, and is the last one.
    const late = events.map((event) => ({ ...event, timeNs: event.timeNs - 1000 })).slice(1);
    const plain = migrate(workload(late), { ...settings, name: 'iommu:armv8-s1+split=eager' });
    const merged = migrate(workload(late), { ...settings, name: 'iommu:armv8-s1+split=eager+merge' });
    expect(merged.resize.merging).toEqual({
      ...NONE,
      leaves: 2,
      windows: 2,
      windowNs: 2000,
      faults: 3,
      lostBytes: 3,
      flushes: 2,
      durationNs: 2000,
    });
    expect(merged.result).toEqual(plain.result);
    expect(plain.fed).toBe(0);
    // The event at the end of the last window comes when everything is over.
    expect([merged.fed, merged.landed]).toEqual([4, 1]);
  });

  it('leave what was never split as it was', () => {
    const { resize } = migrate(workload(events), { core, name: 'iommu:amdv1+bbm+split=lazy+merge', flushNs: 1000 });
    expect([resize.splitting.leaves, resize.merging!.leaves]).toEqual([0, 0]);
    const one = migrate(workload([write(0, 1)]), { core, name: 'iommu:amdv1+bbm+split=lazy+merge', flushNs: 1000 });
    expect([one.resize.splitting.leaves, one.resize.merging!.leaves]).toEqual([1, 1]);
  });

  it('with stalls lose nothing', () => {
    const { resize, fed, landed } = migrate(workload([write(0, 1), ...AROUND_READS]), {
      core,
      name: 'iommu:armv8-s1+split=lazy+merge+fault=stall',
      flushNs: 1000,
    });
    expect(resize.splitting.stalls).toBe(3);
    expect(fed).toBe(landed);
  });
});

describe('reads at a fixed interval', () => {
  it('that last longer than the interval follow each other at once', () => {
    const events = [write(10, 3), write(600, 4), write(700, 600), write(1499, 6), write(1500, 5), write(2499, 601)];
    const { result, resize } = readWindows(workload(events, { endNs: 2500 }), {
      core,
      name: 'iommu:armv8-s1+split=lazy',
      flushNs: 1000,
      windowNs: 500,
    });
    // Read 0 lasts from 500 to 1500, leaf 1 is written meanwhile; so read 1 lasts to 2500, and leaves page 5 to read 2.
    expect(result.windows).toMatchObject({ count: 6, reportedBytes: 1025 * 4096, trueBytes: 3 * 4096 });
    expect(resize.splitting).toMatchObject({ windows: 2, windowNs: 2000, faults: 3, flushes: 3, durationNs: 3000 });
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0 });
  });

  it('wait for eager splits', () => {
    const { result, resize } = readWindows(
      workload([write(10, 3), write(1600, 4), write(2100, 600)], { endNs: 2100 }),
      {
        core,
        name: 'iommu:armv8-s1+split=eager',
        flushNs: 1000,
        windowNs: 1500,
      },
    );
    expect(resize.splitting).toMatchObject({ windows: 2, faults: 1 });
    // The first read takes place at 2000, and finds what landed at 1600.
    expect(result).toMatchObject({ missedPages: 0, stalePages: 0, truePages: 2, reportedPages: 2 });
    expect(result.windows.count).toBe(2);
  });
});
