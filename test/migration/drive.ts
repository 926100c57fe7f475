import fc from 'fast-check';
import type { CpuWindow, EventBatch } from '../../src/workload/recording.ts';

/** A DMA event; times are those of the migration clock. */
export interface Event {
  readonly timeNs: number;
  readonly op: number;
  readonly address: number;
  readonly length: number;
}

export interface CpuPages {
  readonly startNs: number;
  readonly endNs: number;
  readonly pages: readonly number[];
}

export interface Workload {
  readonly ramBytes: number;
  /** In time order. */
  readonly events: readonly Event[];
  /** In order of their starts. */
  readonly cpu: readonly CpuPages[];
  /** Not before the last event. */
  readonly endNs: number;
}

/** The 4 KiB pages that bytes of an event lie on. */
export function pagesOf({ address, length }: Event): number[] {
  const pages: number[] = [];
  for (let end = address; end < address + length; end = 4096 * (pages[pages.length - 1] + 1)) {
    pages.push(Math.floor(end / 4096));
  }
  return pages;
}

/** What is driven: a migration, or windows. */
export interface Driven {
  readonly done: boolean;
  start(): void;
  dma(batch: EventBatch, offsetNs: number): void;
  cpu(window: CpuWindow, offsetNs: number): void;
  inputEnded(timeNs: number): void;
}

/** A write of one byte to a page. */
export function write(timeNs: number, page: number): Event {
  return { timeNs, op: 0, address: page * 4096 + 7, length: 1 };
}

/**
 * Plays a workload as a reader would: in batches of at most `batchSize` that never reach past the start of the next CPU
 * window, in columns that are used again, on a recording clock that is `offsetNs` behind. It goes on after the end.
 */
export function drive(driven: Driven, workload: Workload, batchSize = 8, offsetNs = 0): void {
  const batch = columns(batchSize);
  const runs = new Uint32Array(256);
  driven.start();
  let next = 0;
  const play = (beforeNs: number): void => {
    while (next < workload.events.length && workload.events[next].timeNs < beforeNs) {
      batch.count = 0;
      while (batch.count < batchSize && workload.events[next]?.timeNs < beforeNs) {
        put(batch, workload.events[next++], offsetNs);
      }
      driven.dma(batch, offsetNs);
    }
  };
  for (const { startNs, endNs, pages } of workload.cpu) {
    play(startNs);
    runs.fill(1);
    pages.forEach((page, i) => runs.set([page, 1], 2 * i));
    const window = {
      kind: 'cpu',
      startNs: startNs - offsetNs,
      endNs: endNs - offsetNs,
      runs,
      runCount: pages.length,
    } as const;
    driven.cpu(window, offsetNs);
  }
  play(Infinity);
  driven.inputEnded(workload.endNs);
}

function columns(size: number): EventBatch {
  return {
    kind: 'dma',
    count: 0,
    timeNs: new Float64Array(size + 2),
    device: new Uint16Array(size + 2),
    op: new Uint8Array(size + 2),
    address: new Float64Array(size + 2),
    length: new Float64Array(size + 2),
  };
}

function put(batch: EventBatch, event: Event, offsetNs: number): void {
  const i = batch.count++;
  batch.timeNs[i] = event.timeNs - offsetNs;
  batch.op[i] = event.op;
  batch.address[i] = event.address;
  batch.length[i] = event.length;
}

/** Random workloads whose times are often equal to each other and to multiples of `gridNs`. */
export function workloads(gridNs: number): fc.Arbitrary<Workload> {
  const time = fc.oneof(
    fc.nat(60).map((n) => n * gridNs),
    fc.nat(60 * gridNs),
  );
  return fc
    .record({
      ramBytes: fc.integer({ min: 1, max: 40 * 4096 }),
      raw: fc.array(fc.tuple(time, fc.nat(4), fc.nat(), fc.nat(9000)), { maxLength: 60 }),
      cpuEnds: fc.uniqueArray(time, { maxLength: 6 }),
      cpuPages: fc.array(fc.uniqueArray(fc.nat(39), { maxLength: 6 }), { minLength: 6, maxLength: 6 }),
      idleNs: fc.oneof(fc.constant(0), time),
    })
    .map(({ ramBytes, raw, cpuEnds, cpuPages, idleNs }) => {
      const events = raw.map(([timeNs, op, at, bytes]) => {
        const address = at % ramBytes;
        return { timeNs, op, address, length: Math.min(bytes, ramBytes - address) };
      });
      events.sort((a, b) => a.timeNs - b.timeNs);
      const ends = cpuEnds.filter((end) => end > 0).sort((a, b) => a - b);
      const cpu = ends.map((endNs, i) => ({
        startNs: ends[i - 1] ?? 0,
        endNs,
        pages: cpuPages[i].filter((page) => page < Math.ceil(ramBytes / 4096)),
      }));
      const endNs =
        Math.max(0, ...events.map((event) => event.timeNs), ...cpu.map((window) => window.startNs)) + idleNs;
      return { ramBytes, events, cpu, endNs };
    });
}
