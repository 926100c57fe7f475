import { readFile } from 'node:fs/promises';
import { TRACKERS, compare, open, openTrace, type EventBatch, type Recording, type Tracker } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';

const TRACES = new URL('examples/traces/', import.meta.resolve('wasm-iommu/package.json'));
const LEAVES = [
  { leafBytes: 4096, leaf: '4K' },
  { leafBytes: 2 ** 21, leaf: '2M' },
];

async function readTrace(): Promise<() => Promise<Recording>> {
  const read = async (name: string) => new Uint8Array(await readFile(new URL(name, TRACES)));
  const trace = await read('v86-debian.dma.bin.gz');
  const meta = await read('v86-debian.meta.json');
  const cpuDirty = await read('v86-debian.cpu-dirty.bin.gz');
  return () => openTrace(trace, { name: 'v86-debian.dma.bin.gz', meta, cpuDirty });
}

/** Hands every batch of the recording to `take`; the number of events. */
async function eachBatch(recording: Recording, take?: (batch: EventBatch) => void): Promise<number> {
  let events = 0;
  for await (const segment of recording.segments()) {
    if (segment.kind !== 'dma') continue;
    events += segment.count;
    take?.(segment);
  }
  return events;
}

async function keepBatches(recording: Recording): Promise<EventBatch[]> {
  const kept: EventBatch[] = [];
  await eachBatch(recording, ({ kind, count, timeNs, device, op, address, length }) => {
    kept.push({
      kind,
      count,
      timeNs: timeNs.slice(0, count),
      device: device.slice(0, count),
      op: op.slice(0, count),
      address: address.slice(0, count),
      length: length.slice(0, count),
    });
  });
  return kept;
}

/** A tracker with its bitmap, in a core of its own. A replay ends with a report, so that each begins clean. */
interface Tracked {
  readonly label: string;
  readonly tracker: Tracker;
  report(): number;
}

async function makeTrackers(recording: Recording): Promise<Tracked[]> {
  const { ramBytes, devices } = recording;
  const made: Tracked[] = [];
  for (const info of TRACKERS) {
    for (const { leafBytes, leaf } of info.leafSizes ? LEAVES : LEAVES.slice(0, 1)) {
      const core = await open({ memory: '32MiB' });
      const tracker = info.make({ core, ramBytes, devices: devices.length, leafBytes, leaf, pageSize: 4096 });
      const into = core.bitmap({ length: ramBytes });
      tracker.start();
      const report = () => {
        into.clear();
        tracker.report(into);
        return into.count();
      };
      made.push({ label: info.leafSizes ? `${info.name} ${leaf}` : info.name, tracker, report });
    }
  }
  return made;
}

function replays(
  recording: Recording,
  kept: readonly EventBatch[],
  trackers: readonly Tracked[],
  work: number,
): Case[] {
  const shared = { unit: 'event', work };
  return trackers.flatMap(({ label, tracker, report }) => {
    const decodeAndFeed = async () => {
      await eachBatch(recording, (batch) => tracker.feed(batch, 0, batch.count));
      return report();
    };
    const feed = () => {
      for (const batch of kept) tracker.feed(batch, 0, batch.count);
      return report();
    };
    return [
      { ...shared, name: `decode and replay, ${label}`, run: decodeAndFeed, awaits: true },
      { ...shared, name: `replay alone, ${label}`, run: feed },
    ];
  });
}

function comparisons(recording: Recording): Case[] {
  const rows = async (options: Parameters<typeof compare>[1]) => (await compare(recording, options)).results.length;
  const shared = { unit: 'comparison', work: 1, awaits: true };
  return [
    { ...shared, name: 'compare all trackers, migration', run: () => rows({ phase: 'odirect-loop-3s' }) },
    { ...shared, name: 'compare all trackers, windows of 100 ms', run: () => rows({ windowNs: 100e6 }) },
  ];
}

async function openReplay(): Promise<Bench> {
  const fresh = await readTrace();
  const recording = await fresh();
  const kept = await keepBatches(recording);
  const events = kept.reduce((sum, { count }) => sum + count, 0);
  const trackers = await makeTrackers(recording);
  const shared = { unit: 'event', work: events, awaits: true };
  const cases: Case[] = [
    { ...shared, name: 'decompress and decode', run: async () => eachBatch(await fresh()) },
    { ...shared, name: 'decode', run: () => eachBatch(recording) },
    ...replays(recording, kept, trackers, events),
    ...comparisons(recording),
  ];
  const labels = trackers.map(({ label }) => label);
  const claims = [
    {
      name: 'trackers against decoding alone',
      cases: ['decode', 'decompress and decode', ...labels.map((label) => `decode and replay, ${label}`)],
    },
  ];
  return { cases, claims };
}

/** The bundled recording, through each tracker. */
export const replay: Area = {
  name: 'replay',
  about: 'the bundled recording (833,425 events): decoding, each tracker, whole comparisons',
  open: openReplay,
};
