import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openTrace } from '../../src/workload/open-trace.ts';
import { phaseSpan } from '../../src/workload/phase-span.ts';
import type { Recording } from '../../src/workload/recording.ts';
import { survey } from '../../src/workload/survey.ts';

const FOLDER = new URL('../../examples/traces/', import.meta.url);

function file(ending: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`v86-debian.${ending}`, FOLDER)));
}

function open(cpuLog = true): Promise<Recording> {
  return openTrace(file('dma.bin.gz'), {
    name: 'examples/traces/v86-debian.dma.bin.gz',
    meta: file('meta.json'),
    cpuDirty: cpuLog ? file('cpu-dirty.bin.gz') : undefined,
  });
}

test('the bundled recording has the figures that its README states', async () => {
  expect(await survey(await open())).toEqual({
    events: 833425,
    writeEvents: 186974,
    bytesWritten: 792833171,
    pagesWritten: 7649,
    endNs: 88075826000,
  });
});

test('the bundled recording states RAM size, devices, phases and duration', async () => {
  const recording = await open();
  expect(recording.name).toBe('v86-debian.dma.bin.gz');
  expect(recording.ramBytes).toBe(128 * 2 ** 20);
  expect(recording.devices.length).toBe(13);
  expect(recording.devices[12]).toBe('isa-dma');
  expect(recording.phases.length).toBe(16);
  expect(recording.phases[1]).toEqual({ label: 'idle-5s', startNs: 31009386000 });
  expect(recording.durationNs).toBe(88075826000);
  expect(recording.hasCpuLog).toBe(true);
  expect((await open(false)).hasCpuLog).toBe(false);
});

test('the CPU log has 756 windows, the last ending at 79.912 s, and each phase starts after its `ev` events', async () => {
  const meta = JSON.parse(new TextDecoder().decode(file('meta.json'))) as { phases: { t_us: number; ev: number }[] };
  let windows = 0;
  let endNs = 0;
  let events = 0;
  const before = meta.phases.map(() => 0);
  for await (const segment of (await open()).segments()) {
    if (segment.kind === 'cpu') {
      windows++;
      endNs = segment.endNs;
      continue;
    }
    events += segment.count;
    for (let i = 0; i < segment.count; i++) {
      meta.phases.forEach((phase, p) => (before[p] += segment.timeNs[i] < phase.t_us * 1000 ? 1 : 0));
    }
  }
  expect(windows).toBe(756);
  expect(Math.round(endNs / 1e6)).toBe(79912);
  expect(events).toBe(833425);
  expect(before).toEqual(meta.phases.map((phase) => phase.ev));
});

test('a phase repeats with identical segments, and without what lies before it being counted', async () => {
  const recording = await open();
  const { startNs, endNs } = phaseSpan(recording, 'odirect-loop-3s');
  const sums: number[][] = [];
  for (const seed of [0, 0, 5, 5]) {
    let [count, order, pages] = [0, 0, 0];
    for await (const segment of recording.segments({ fromNs: startNs, toNs: endNs, seed })) {
      if (segment.kind === 'cpu') {
        for (let i = 0; i < segment.runCount; i++) pages += segment.runs[2 * i + 1];
        continue;
      }
      for (let i = 0; i < segment.count; i++) {
        order = (order * 31 + segment.address[i] + segment.length[i] * 7 + segment.device[i]) % 1000000007;
      }
      count += segment.count;
    }
    sums.push([count, pages, order]);
  }
  expect(sums[0][0]).toBe(788736 - 730128);
  expect(sums[1]).toEqual(sums[0]);
  expect(sums[3]).toEqual(sums[2]);
  expect(sums[2].slice(0, 2)).toEqual(sums[0].slice(0, 2));
});
