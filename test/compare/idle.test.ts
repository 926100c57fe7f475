import { expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import type { MigrationRow } from '../../src/compare/result.ts';
import type { Recording } from '../../src/workload/recording.ts';

/** A recording in which nothing happens, CPU log included. */
const SILENCE: Recording = {
  name: 'silence',
  ramBytes: 2 ** 22,
  devices: [],
  phases: [{ label: 'idle', startNs: 0 }],
  durationNs: 1_000_000,
  hasCpuLog: false,
  async *segments() {},
};

it('a phase without an event passes time all the same when it repeats', async () => {
  const options = { phase: 'idle', trackers: ['device', 'type1'], downtimeLimitNs: 0, capNs: 200_000_000 };
  const { results } = await compare(SILENCE, options);
  expect((results as readonly MigrationRow[]).map((row) => [row.tracker, row.reason, row.rounds.length])).toEqual([
    // 4 MiB take 33.6 ms, and nothing is left after that; type1 sends it all again until the cap: five times and once more.
    ['device', 'converged', 2],
    ['type1', 'notConverging', 6],
  ]);
});
