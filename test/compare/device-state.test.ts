import { describe, expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import type { CompareOptions } from '../../src/compare/options.ts';
import type { MigrationRow } from '../../src/compare/result.ts';
import { parseStateSizes } from '../../src/compare/state-sizes.ts';
import { conclusion } from '../../src/report/conclusion.ts';
import { toJson } from '../../src/report/json.ts';
import { openBundled, PHASE } from './bundled.ts';

const MIB = 2 ** 20;

async function run(options: CompareOptions) {
  const result = await compare(await openBundled(), { phase: PHASE, trackers: ['device'], ...options });
  return { result, row: result.results[0] as MigrationRow };
}

describe('device state in a comparison', () => {
  it('adds to rounds and downtime what it sends, and changes nothing else', async () => {
    const plain = await run({});
    const { result, row } = await run({ deviceState: '64M' });
    const state = row.deviceState!;
    expect([plain.row.deviceState, plain.result.options.deviceState, result.options.deviceState]).toEqual([
      null,
      null,
      '64M',
    ]);
    expect([state.devices, state.bytes, state.preCopyBytes > state.bytes]).toEqual([13, 13 * 64 * MIB, true]);
    expect(row.rounds.map(({ pages, bytes }) => bytes - 4096 * pages)).toEqual(state.rounds);
    expect([row.missedPages, row.stalePages, row.converged]).toEqual([0, 0, true]);
    expect(conclusion(result).join(' ')).toMatch(/The state of 13 devices, 832 MiB of local memory in all, adds/);
    expect(toJson(result)).toBe(toJson((await run({ deviceState: '64M' })).result));
  });

  it('that cannot be sent ahead is all downtime: its size over the rate of the link', async () => {
    const name = 'virtio-net.q0';
    const ahead = (await run({ deviceState: `${name}=64M` })).row;
    const late = (await run({ deviceState: `${name}=64M:stop-copy` })).row;
    const pages = (64 * MIB) / 4096;
    expect(late.deviceState).toMatchObject({ preCopyBytes: 0, stopCopyBytes: 56 + pages * 4128 + 376 });
    expect([ahead.reason, late.reason]).toEqual(['converged', 'notConverging']);
    expect(late.downtimeNs).toBeGreaterThan(64 * MIB * 8);
    expect(ahead.downtimeNs).toBeLessThanOrEqual(40e6);
    expect(late.rounds.length).toBeLessThan(10);
    expect(late.why).toMatch(/does not fit 64\.5 MiB of device state/);
  });

  it.each([
    [{ deviceState: 'gpu=64M' }, /'gpu=64M' names gpu; the recording has ide-primary-master, /],
    [{ deviceState: '5000' }, /'5000' is not a multiple of 4K/],
    [{ deviceState: '64M,isa-dma=1M' }, /gives isa-dma a size twice/],
    [{ deviceState: '2T' }, /up to 1T/],
    [{ deviceState: 'a lot' }, /device-state: "a lot" is not a size/],
    [{ deviceState: '64M', windowNs: 1e6, phase: undefined }, /^deviceState: has no effect with windows/],
  ])('refuses %j', async (options, message) => {
    await expect(run(options)).rejects.toThrow(message);
    await expect(run(options)).rejects.toMatchObject({ name: 'UsageError' });
  });

  it('is named for each device, or for some', () => {
    const names = ['nic', 'gpu', 'disk'];
    expect(parseStateSizes('8K', names).map(({ device, bytes }) => [device, bytes])).toEqual([
      [0, 8192],
      [1, 8192],
      [2, 8192],
    ]);
    expect(parseStateSizes('disk=4K, gpu=1M:stop-copy', names)).toEqual([
      { device: 1, bytes: MIB, preCopy: false },
      { device: 2, bytes: 4096, preCopy: true },
    ]);
    expect(() => parseStateSizes('4K', [])).toThrow(/no devices/);
  });
});
