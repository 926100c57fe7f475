import { describe, expect, it } from 'vitest';
import { compare } from '../../src/compare/compare.ts';
import { TRACKERS } from '../../src/tracker/registry.ts';
import { mapped, migrationsOf, windowsOf, PAGE } from './mapped.ts';

const TAKING_PART = [
  ...['device', 'device:mlx5'],
  ...['iommu:amdv1', 'iommu:vtdss', 'iommu:armv8-s2'],
  ...['type1', 'cpu-only'],
];
/** Those that find single pages, with 4K leaves. */
const EXACT = TAKING_PART.slice(0, 5);
const RAM_PAGES = 64;

interface Case {
  readonly name: string;
  readonly lines: readonly string[];
  /** Distinct pages that are written in each window of 1 ms, summed. */
  readonly pages: number;
  readonly faults: number;
}

const cases: Case[] = [
  {
    name: 'an IOVA that is mapped elsewhere within a window: both pages count',
    lines: [
      '0,d,map,0x10000,4096,0x3000,rw',
      '1,d,w,0x10000,8',
      '2,d,unmap,0x10000,4096',
      '3,d,map,0x10000,4096,0x5000,rw',
      '4,d,w,0x10000,8',
    ],
    pages: 2,
    faults: 0,
  },
  {
    name: 'an unmap with a dirty page, before anybody reads',
    lines: ['0,d,map,0x10000,8192,0x3000,rw', '1,d,w,0x11000,8', '2,d,unmap,0x10000,8192'],
    pages: 1,
    faults: 0,
  },
  {
    name: 'a page that two IOVAs and two devices write in one window counts once, in the next one again',
    lines: [
      '0,d,map,0x10000,4096,0x3000,rw',
      '0,d,map,0x20000,4096,0x3000,rw',
      '0,e,map,0x10000,4096,0x3000,w',
      '1,d,w,0x10000,8',
      '2,d,w,0x20000,8',
      '3,e,w,0x10008,8',
      '1000,e,w,0x10000,8',
    ],
    pages: 2,
    faults: 0,
  },
  {
    name: 'DMA after an unmap faults, though the translation was cached',
    lines: ['0,d,map,0x10000,4096,0x3000,rw', '1,d,r,0x10000,8', '2,d,unmap,0x10000,4096', '3,d,w,0x10000,8'],
    pages: 0,
    faults: 1,
  },
  {
    name: 'a write lands up to the gap, also where what follows is mapped',
    lines: ['0,d,map,0x10000,4096,0x3000,rw', '0,d,map,0x12000,4096,0x7000,rw', '1,d,w,0x10ff0,12288'],
    pages: 1,
    faults: 1,
  },
  {
    name: 'an event of several requests ends with the first that faults',
    lines: ['0,d,map,0x80000000,4096,0x3000,rw', '0,d,map,0,4096,0x5000,rw', '1,d,w,0,4294967296'],
    pages: 1,
    faults: 1,
  },
  {
    name: 'a write meets a mapping for reading only, and another device has none',
    lines: ['0,d,map,0x10000,4096,0x3000,r', '1,d,w,0x10000,8', '2,e,w,0x10000,8', '3,d,r,0x10000,8'],
    pages: 0,
    faults: 2,
  },
  {
    name: 'a mapping that comes after the fault does not make the write good',
    lines: ['0,d,w,0x10000,8', '1,d,map,0x10000,4096,0x3000,rw'],
    pages: 0,
    faults: 1,
  },
  {
    name: 'the rest of a mapping stays when its middle goes',
    lines: ['0,d,map,0x10000,12288,0x3000,rw', '1,d,unmap,0x11000,4096', '2,d,w,0x12000,8', '3,d,w,0x11000,8'],
    pages: 1,
    faults: 1,
  },
  {
    name: 'IOVAs at the end of 48 bits, and DMA beyond',
    lines: ['0,d,map,0xfffffffff000,4096,0x3000,rw', '1,d,w,0xfffffffffff8,16', '2,d,w,0x1000000000000,8'],
    pages: 1,
    faults: 2,
  },
];

describe('recordings in which the guest maps and unmaps', () => {
  it.each(cases)('$name', async ({ lines, pages, faults }) => {
    const result = await compare(await mapped(lines, RAM_PAGES), { windowNs: 1e6, leaf: ['4K'], trackers: EXACT });
    expect(result.input.mappings!.faults).toBe(faults);
    const seen = result.results.map((row) => [row.tracker, row.truePages, row.reportedPages, row.missedPages]);
    expect(seen).toEqual(EXACT.map((name) => [name, pages, pages, 0]));
  });

  it('all that can take part do so by default', async () => {
    const { options, input } = await compare(await mapped(cases[0].lines, RAM_PAGES), { leaf: ['4K'] });
    expect(options.trackers).toEqual(TAKING_PART);
    expect(input).toMatchObject({ events: 5, mappings: { events: 3, faults: 0 } });
    expect(options.setup).toMatch(/a stage 1 for each device/);
  });

  it.each([
    ...TRACKERS.map(({ name }) => name).filter((name) => !TAKING_PART.includes(name)),
    'iommu:armv8-s2+split=eager',
    'qemu:riscv',
  ])('%s is refused', async (name) => {
    const devices = name.startsWith('qemu') ? { devices: 'nolog' } : {};
    const leaf = ['2M'];
    const refused = compare(await mapped(cases[0].lines, RAM_PAGES), { trackers: [name], leaf, ...devices });
    await expect(refused).rejects.toThrow(
      `trackers: '${name}' can't be compared on a recording in which the guest maps and unmaps; ${TAKING_PART.join(', ')} can`,
    );
  });

  it('qemu with a container that can', async () => {
    const rows = await windowsOf(await mapped(cases[0].lines, RAM_PAGES), {
      trackers: ['qemu:vtdss', 'qemu:none'],
      devices: 'nolog',
      leaf: ['4K'],
    });
    expect(rows.map((row) => row.reportedPages)).toEqual([2, RAM_PAGES]);
  });

  it('IOVAs beyond 48 bits are for those without page tables', async () => {
    const recording = () => mapped(['0,d,map,0x1000000000000,4096,0x3000,rw', '1,d,w,0x1000000000000,8'], RAM_PAGES);
    await expect(compare(await recording())).rejects.toThrow(
      /up to 256 TiB.*48 bits: choose device, type1 or cpu-only/,
    );
    const [row] = await windowsOf(await recording(), { trackers: ['device'] });
    expect([row.reportedPages, row.missedPages]).toEqual([1, 0]);
  });

  it('logs and tables that a core cannot hold are refused', async () => {
    const lines = Array.from({ length: 40 }, (_, i) => `0,d,map,${i * 2 ** 42},4096,0x3000,rw`);
    const recording = () => mapped(lines, RAM_PAGES);
    await expect(compare(await recording(), { trackers: ['device:mlx5'] })).rejects.toThrow(
      /'device:mlx5' needs .* of tables or logs .*; at most 2 GiB fit/,
    );
    const rows = await windowsOf(await recording(), { trackers: ['device', 'iommu:vtdss'], leaf: ['4K'] });
    expect(rows.map((row) => row.reportedPages)).toEqual([0, 0]);
  });

  it('large leaves and log pages report more, and nothing is lost', async () => {
    const [device, iommu] = await windowsOf(await mapped(cases[0].lines, 1024), {
      trackers: ['device', 'iommu:vtdss'],
      leaf: ['2M'],
      pageSize: '64K',
    });
    // Of the log page, what is mapped: the page before, and the page after.
    expect([device.reportedPages, device.missedPages]).toEqual([2, 0]);
    expect([iommu.reportedPages, iommu.missedPages]).toEqual([512, 0]);
  });

  it.each(TRACKERS.filter(({ name, leafSizes }) => leafSizes && TAKING_PART.includes(name)))(
    '$name with every leaf size that it has: a leaf of guest-physical pages for each page written',
    async ({ name, leafSizes }) => {
      const lines = ['0,d,map,0x10000,8192,0x3000,rw', '0,d,map,0x40000,4096,0x200000,rw'];
      const writes = ['1,d,w,0x11000,8', '2,d,w,0x40000,8', '3,d,unmap,0x40000,4096', '4,d,w,0x40000,8'];
      const rows = await windowsOf(await mapped([...lines, ...writes], 1024), { trackers: [name], leaf: leafSizes! });
      const expected = leafSizes!.map((leaf) => Math.min(1024, (2 * leaf) / PAGE));
      expect(rows.map((row) => [row.missedPages, row.reportedPages])).toEqual(expected.map((pages) => [0, pages]));
    },
  );

  it('a phase that repeats begins each time with the mappings of its first moment', async () => {
    const lines = [
      '0,d,map,0x10000,4096,0x3000,rw',
      '1000,d,w,0x10000,8',
      '1001,d,unmap,0x10000,4096',
      '1002,d,map,0x10000,8192,0x5000,rw',
      '1003,d,w,0x10000,8192',
      '1999,e,map,0x10000,4096,0x9000,rw',
    ];
    const meta = {
      phases: [
        { t_us: 0, label: 'boot' },
        { t_us: 1000, label: 'work' },
      ],
      duration_us: 2000,
    };
    for (const phase of ['boot', 'work']) {
      const rows = await migrationsOf(await mapped(lines, RAM_PAGES, meta), {
        ...{ phase, trackers: EXACT, leaf: ['4K'], capNs: 40e6, downtimeLimitNs: 0, linkBitsPerSecond: 1e9 },
      });
      expect(rows.map((row) => [row.missedPages, row.stalePages, row.overReportedPages])).toEqual(
        EXACT.map(() => [0, 0, 0]),
      );
      expect(new Set(rows.map((row) => `${row.truePages} ${row.totalBytes}`)).size).toBe(1);
      expect(rows[0].truePages > 0).toBe(phase === 'work');
    }
  });

  it('map and unmap change no state of a device', async () => {
    const quiet = ['0,d,w,0,1', '9000,d,w,0,1'];
    const busy = ['0,d,w,0,1', '1000,d,map,0x10000,8192,0x3000,rw', '1500,d,unmap,0x10000,8192', '9000,d,w,0,1'];
    const options = { trackers: ['device'], deviceState: '64K' };
    const [without] = await migrationsOf(await mapped(quiet, RAM_PAGES), options);
    const [mapping] = await migrationsOf(await mapped(busy, RAM_PAGES), options);
    expect(mapping).toEqual({ ...without, mappedBytes: 8192, modelled: mapping.modelled });
  });

  it('a page that is mapped anew during a round is sent again', async () => {
    const lines = [
      '0,d,map,0x10000,4096,0x3000,rw',
      // The first round takes 2,097 us, one of two pages 66.
      '1500,d,w,0x10000,8',
      '1510,d,unmap,0x10000,4096',
      '1520,d,map,0x10000,4096,0x5000,rw',
      '1530,d,w,0x10000,8',
      '2110,d,w,0x10000,8',
      '2120,d,unmap,0x10000,4096',
      '2130,d,w,0x10000,8',
      '5000,d,r,0x10000,8',
    ];
    const rows = await migrationsOf(await mapped(lines, RAM_PAGES), {
      trackers: EXACT,
      leaf: ['4K'],
      downtimeLimitNs: 0,
    });
    for (const row of rows) {
      expect(row.rounds.map(({ pages }) => pages)).toEqual([RAM_PAGES, 2, 1, 0]);
      expect([row.missedPages, row.stalePages, row.overReportedPages]).toEqual([0, 0, 0]);
    }
    expect(PAGE * (RAM_PAGES + 3)).toBe(rows[0].totalBytes);
  });
});
