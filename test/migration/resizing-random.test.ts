import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { open, type Core } from '../../src/core/core.ts';
import { runs } from '../runs.ts';
import type { Event, Workload } from './drive.ts';
import { LEAF, migrate, readWindows, type Setting } from './resizing-run.ts';

interface Case {
  readonly name: string;
  readonly leafBytes: number;
}

const SMALL = 2 ** 16;

const CASES: readonly Case[] = [
  ...['', '+bbm'].map((policy) => ({ name: `iommu:amdv1${policy}`, leafBytes: SMALL })),
  { name: 'iommu:riscv+bbm', leafBytes: SMALL },
  { name: 'iommu:vtdss', leafBytes: LEAF },
  { name: 'iommu:x86_64+bbm', leafBytes: LEAF },
  ...['bbm', 'nt', 'direct2'].map((policy) => ({ name: `iommu:armv8-s1+${policy}`, leafBytes: LEAF })),
  { name: 'iommu:armv8-s2+bbm', leafBytes: LEAF },
];

const STRATEGIES = ['+split=eager', '+split=lazy'];
const STALLS = STRATEGIES.map((split) => ({ name: `iommu:armv8-s1${split}+fault=stall`, leafBytes: LEAF }));
const EACH = [...CASES.flatMap((one) => STRATEGIES.map((split) => ({ ...one, name: one.name + split }))), ...STALLS];

let core: Core;
beforeAll(async () => {
  core = await open({ memory: '8MiB' });
});

/** Workloads on three leaves, the last of them in part, busy while the first rounds and long windows pass. */
function workloads(leafBytes: number): fc.Arbitrary<Workload> {
  const time = fc.nat(Math.floor(leafBytes / 6));
  const raw = fc.tuple(time, fc.nat(4), fc.nat(), fc.oneof(fc.nat(64), fc.nat(9000), fc.nat(leafBytes)));
  return fc
    .record({ cut: fc.nat(leafBytes - 1), raw: fc.array(raw, { maxLength: 60 }), idleNs: fc.nat(1000) })
    .map(({ cut, raw, idleNs }) => {
      const ramBytes = 3 * leafBytes - cut;
      const events = raw.map(([timeNs, op, at, bytes]): Event => {
        const address = at % ramBytes;
        return { timeNs, op, address, length: Math.min(bytes, ramBytes - address) };
      });
      events.sort((a, b) => a.timeNs - b.timeNs);
      return { ramBytes, events, cpu: [], endNs: Math.max(0, ...events.map(({ timeNs }) => timeNs)) + idleNs };
    });
}

const flush = fc.oneof(fc.constantFrom(0, 1, 1000), fc.nat(30_000), fc.nat(200_000));
const batch = fc.integer({ min: 1, max: 9 });

// With any seed a few runs may miss every window, which is what `hits` is to rule out.
const FIXED = process.env.SOAK ? {} : { seed: 11 };

describe.each(EACH)('$name at $leafBytes', ({ name, leafBytes }) => {
  const breaks = !/nt|direct|amdv1\+split|vtdss\+split/.test(name);
  const stalls = name.endsWith('stall');
  const seen = { hits: 0 };

  /** What is true of every outcome: nothing that landed is lost to the reader, and what did not land is accounted for. */
  function account(merged: boolean, workload: Workload, setting: Omit<Setting, 'core' | 'name' | 'leafBytes'>) {
    const run = setting.windowNs ? readWindows : migrate;
    const whole = merged ? `${name}+merge` : name;
    const { result, resize, fed, landed } = run(workload, { core, name: whole, leafBytes, ...setting });
    const works = [resize.splitting, ...(resize.merging ? [resize.merging] : [])];
    const sum = (field: 'lostBytes' | 'faults' | 'stalls' | 'windows') => works.reduce((n, work) => n + work[field], 0);
    seen.hits += sum('faults') + sum('stalls');
    return {
      lost: [result.missedPages, result.stalePages],
      unaccounted: fed - landed - sum('lostBytes'),
      strange: [!breaks && sum('windows'), stalls ? sum('faults') + sum('lostBytes') : sum('stalls')],
    };
  }
  const RIGHT = { lost: [0, 0], unaccounted: 0, strange: [false, 0] };
  const right = breaks ? RIGHT : { ...RIGHT, strange: [0, 0] };

  it('loses nothing that landed, and accounts for what did not, in migrations', () => {
    fc.assert(
      fc.property(workloads(leafBytes), flush, batch, fc.boolean(), (workload, flushNs, batchSize, merged) => {
        expect(account(merged, workload, { flushNs, batchSize })).toEqual(right);
      }),
      { numRuns: runs(25), ...FIXED },
    );
    if (breaks) expect(seen.hits).toBeGreaterThan(0);
  });

  it('and in reads at a fixed interval', () => {
    fc.assert(
      fc.property(workloads(leafBytes), flush, batch, fc.integer({ min: 500, max: 40_000 }), (...drawn) => {
        const [workload, flushNs, batchSize, windowNs] = drawn;
        expect(account(false, workload, { flushNs, batchSize, windowNs })).toEqual(right);
      }),
      { numRuns: runs(10) },
    );
  });
});

/** What falls on leaf k in [k F, (k + 1) F): what eager splits by break-before-make come to, without any table. */
function expectedFaults({ events, ramBytes }: Workload, leafBytes: number, flushNs: number) {
  const leaves = Math.ceil(ramBytes / leafBytes);
  let [faults, lostBytes] = [0, 0];
  for (const { timeNs, op, address, length } of events) {
    const leaf = flushNs === 0 ? leaves : Math.floor(timeNs / flushNs);
    const from = Math.max(address, leaf * leafBytes);
    const meets = leaf < leaves && length > 0 && from < Math.min(address + length, (leaf + 1) * leafBytes);
    if (!meets) continue;
    faults++;
    if (op < 3) lostBytes += address + length - from;
  }
  return { faults, lostBytes, windows: leaves, windowNs: leaves * flushNs };
}

describe('eager splits by break-before-make', () => {
  it.each([
    { name: 'iommu:amdv1+bbm+split=eager', leafBytes: SMALL },
    { name: 'iommu:armv8-s1+split=eager', leafBytes: LEAF },
  ])('$name: fault exactly what falls on the leaf that is broken at that time', ({ name, leafBytes }) => {
    fc.assert(
      fc.property(workloads(leafBytes), flush, batch, (workload, flushNs, batchSize) => {
        const { resize } = migrate(workload, { core, name, leafBytes, flushNs, batchSize });
        const { faults, lostBytes, windows, windowNs } = resize.splitting;
        expect({ faults, lostBytes, windows, windowNs }).toEqual(expectedFaults(workload, leafBytes, flushNs));
      }),
      { numRuns: runs(60) },
    );
  });
});
