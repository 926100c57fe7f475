import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { open } from '../../src/core/core.ts';
import { TRACKERS, type TrackerInfo } from '../../src/tracker/registry.ts';
import { FIRST_READ_OP, OPS, type EventBatch } from '../../src/workload/recording.ts';
import { runs } from '../runs.ts';

const PAGE = 4096;

interface Event {
  device: number;
  op: number;
  address: number;
  length: number;
}

function batchOf(events: readonly Event[]): EventBatch {
  return {
    kind: 'dma',
    count: events.length,
    timeNs: Float64Array.from(events, (_, i) => i),
    device: Uint16Array.from(events, (e) => e.device),
    op: Uint8Array.from(events, (e) => e.op),
    address: Float64Array.from(events, (e) => e.address),
    length: Float64Array.from(events, (e) => e.length),
  };
}

function eventsIn(ramBytes: number): fc.Arbitrary<Event[]> {
  const event = fc
    .record({
      device: fc.nat(3),
      op: fc.nat(OPS.length - 1),
      address: fc.nat(ramBytes - 1),
      length: fc.oneof(fc.nat(64), fc.nat(3 * PAGE), fc.nat(ramBytes)),
    })
    .map((e) => ({ ...e, length: Math.min(e.length, ramBytes - e.address) }));
  return fc.array(event, { maxLength: 12 });
}

/** Pages that a tracker with units of `unit` bytes has to report for these events: whole units, clipped to RAM. */
function expected(events: readonly Event[], unit: number, ramBytes: number): number[] {
  const pages = new Set<number>();
  for (const { op, address, length } of events) {
    if (op >= FIRST_READ_OP || length === 0) continue;
    const first = Math.floor(address / unit) * unit;
    const end = Math.min((Math.floor((address + length - 1) / unit) + 1) * unit, Math.ceil(ramBytes / PAGE) * PAGE);
    for (let at = first; at < end; at += PAGE) pages.add(at / PAGE);
  }
  return [...pages].sort((a, b) => a - b);
}

function unitOf(info: TrackerInfo, leafBytes: number, pageSize: number): number {
  return info.leafSizes ? leafBytes : pageSize;
}

interface Case {
  readonly info: TrackerInfo;
  readonly leafBytes: number;
  readonly pageSize: number;
}

const exactCases: Case[] = TRACKERS.filter(({ name }) => name !== 'type1' && name !== 'cpu-only').flatMap((info) =>
  info.leafSizes
    ? info.leafSizes.filter((size) => size <= 2 ** 21).map((leafBytes) => ({ info, leafBytes, pageSize: PAGE }))
    : [PAGE, 8 * PAGE, 2 ** 21].map((pageSize) => ({ info, leafBytes: PAGE, pageSize })),
);

describe('each report holds just the leaves or log pages written since the last one', () => {
  it.each(exactCases.map((c) => ({ ...c, name: c.info.name })))(
    '$name, leaf $leafBytes, log page $pageSize',
    async (c) => {
      await fc.assert(
        fc.asyncProperty(
          // RAM that no large leaf divides: the last one reaches beyond it.
          fc.integer({ min: 1, max: 1200 }).chain((ramPages) => {
            const ramBytes = ramPages * PAGE;
            return fc.record({
              ramBytes: fc.constant(ramBytes),
              rounds: fc.array(eventsIn(ramBytes), { maxLength: 5 }),
            });
          }),
          async ({ ramBytes, rounds }) => {
            const core = await open({ memory: '16MiB' });
            const { info, leafBytes, pageSize } = c;
            const tracker = info.make({ core, ramBytes, devices: 4, leafBytes, leaf: 'x', pageSize });
            const report = core.bitmap({ length: ramBytes });
            tracker.start();
            const seen = rounds.map((events) => {
              tracker.feed(batchOf(events), 0, events.length);
              report.clear();
              tracker.report(report);
              return [...report.pageRuns()].flatMap(({ page, pages }) =>
                Array.from({ length: pages }, (_, i) => page + i),
              );
            });
            tracker.close();
            report.close();
            const unit = unitOf(info, leafBytes, pageSize);
            expect(seen).toEqual(rounds.map((events) => expected(events, unit, ramBytes)));
          },
        ),
        { numRuns: runs(20) },
      );
    },
  );
});

describe('what the others report', () => {
  it('type1: everything, every time; cpu-only: nothing', async () => {
    const core = await open({ memory: '4MiB' });
    const context = { core, ramBytes: 10 * PAGE, devices: 1, leafBytes: PAGE, leaf: 'none', pageSize: PAGE };
    const counts = ['type1', 'cpu-only'].map((name) => {
      const tracker = TRACKERS.find((info) => info.name === name)!.make(context);
      const report = core.bitmap({ length: 10 * PAGE });
      tracker.start();
      tracker.report(report);
      tracker.report(report);
      return report.count();
    });
    expect(counts).toEqual([10, 0]);
  });
});

describe('device:mlx5', () => {
  const mlx5 = TRACKERS.find((info) => info.name === 'device:mlx5')!;
  const make = async (ramBytes: number, pageSize: number) => {
    const core = await open({ memory: '64MiB' });
    return mlx5.make({ core, ramBytes, devices: 1, leafBytes: PAGE, leaf: 'none', pageSize });
  };

  it('clamps the page size to what the device has', async () => {
    const tracker = await make(2 ** 24, 2 ** 30);
    expect(tracker.mappedBytes).toBe(2 ** 24);
    expect((tracker as unknown as { pageSize: number }).pageSize).toBe(2 ** 21);
  });

  it('stalls once per further fill of the report queue', async () => {
    const ramBytes = 2 ** 32;
    const core = await open({ memory: '64MiB' });
    const tracker = mlx5.make({ core, ramBytes, devices: 1, leafBytes: PAGE, leaf: 'none', pageSize: PAGE });
    const report = core.bitmap({ length: ramBytes });
    tracker.start();
    // 2^20 dirty pages, and the queue holds 2^18 records.
    tracker.feed(batchOf([{ device: 0, op: 0, address: 0, length: ramBytes }]), 0, 1);
    tracker.report(report);
    expect(report.count()).toBe(2 ** 20);
    expect(tracker.work.stalls).toBe(3);
  });
});
