import { describe, expect, it } from 'vitest';
import { cli } from './run-cli.ts';

interface Step {
  level: number;
  index: number;
  entry: string;
  kind: string;
  size: number | null;
  address: string;
  dirty: boolean;
}

function walk(...args: string[]): { mapped: boolean; pa: string | null; steps: Step[] } {
  const { code, out, err } = cli('walk', ...args, '--format', 'json');
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as { mapped: boolean; pa: string | null; steps: Step[] };
}

describe('walk', () => {
  it('goes from the root to the leaf', () => {
    const { mapped, pa, steps } = walk(
      ...['vtdss', '0x201234', '--map', 'iova=0x200000,pa=0x40000000,length=2M,access=r,leaf=4K'],
    );
    expect([mapped, pa]).toEqual([true, '0x40001234']);
    expect(steps.map(({ level, index, kind }) => [level, index, kind])).toEqual([
      [3, 0, 'table'],
      [2, 0, 'table'],
      [1, 1, 'table'],
      [0, 1, 'leaf'],
    ]);
    expect(steps[3]).toMatchObject({ entry: '0x40001001', size: 4096, address: '0x40001000', dirty: false });
  });

  it.each([
    ['amdv1', '0x5000', 'length=64K', 65536, 5],
    ['vtdss', '0x5000', 'length=64K', 4096, 5],
    ['x86_64', '0x5000', 'length=2M', 2 ** 21, 0],
    ['armv8-s1', '0x5000', 'length=2M', 2 ** 21, 0],
    ['armv8-s2', '0x5000', 'length=2M', 2 ** 21, 0],
    ['riscv', '0x5000', 'length=2M', 2 ** 21, 0],
    ['mock2k', '0x5000', 'length=64K', 2048, 10],
  ])('%s takes the largest leaf that fits', (format, iova, map, size, index) => {
    expect(walk(format, iova, '--map', map).steps.at(-1)).toMatchObject({ kind: 'leaf', size, index });
  });

  it('shows the dirty update of a write', () => {
    for (const format of ['amdv1', 'vtdss', 'x86_64', 'armv8-s1', 'armv8-s2', 'riscv', 'mock2k']) {
      const dirty = (...more: string[]) =>
        walk(format, '0', '--map', 'length=64K', '--track', ...more).steps.at(-1)!.dirty;
      expect([format, dirty('--write'), dirty()]).toEqual([format, true, format === 'armv8-s1']);
    }
  });

  it('takes contiguous runs, granules and widths where asked', () => {
    const contiguous = ['--contiguous', '--map', 'length=64K'];
    expect(walk('riscv', '0x3000', ...contiguous).steps.at(-1)!.size).toBe(65536);
    expect(walk('armv8-s2', '0x3000', ...contiguous).steps.at(-1)!.size).toBe(65536);
    const wide = ['--granule', '64K', '--output-bits', '52', '--map', 'pa=0xf000000000000,length=64K'];
    expect(walk('armv8-s1', '0', ...wide).pa).toBe('0xf000000000000');
    expect(walk('riscv', '0xffffffffc0000000', '--map', 'iova=0xffffffffc0000000,pa=0,length=2M').pa).toBe('0x0');
    expect(walk('amdv1', '0', '--map', 'length=4K;iova=0x7fffffffff000,pa=0,length=4K').steps[0].level).toBe(4);
  });

  it('says where it ends', () => {
    expect(cli('walk', 'amdv1', '0x40000000').out).toMatch(/is not mapped[^]*not present: translation fault/);
    expect(cli('walk', 'amdv1', '0xffff000000000000').out).toMatch(/The root does not reach that far/);
  });

  it.each([
    [['walk'], /FORMAT is missing/],
    [['walk', 'amdv1'], /IOVA is missing/],
    [['walk', 'amdv2', '0'], /there are amdv1, /],
    [['walk', 'vtdss', '0xffff0000', '--input-bits', '40'], /39, 48 or 57/],
    [['walk', 'armv8-s1', '0', '--output-bits', '52'], /LPA2/],
    [['walk', 'vtdss', '0', '--map', 'length=64K,leaf=64K'], /leaves of 4096, 2097152/],
    [['walk', 'vtdss', '0', '--map', 'pa=1'], /no length/],
    [['walk', 'vtdss', '0', '--map', 'length=4K;length=4K'], /mapped there already/],
    [['walk', 'vtdss', '0', '--map', 'length=4K,foo=1'], /write for example/],
    [['walk', 'vtdss', 'x'], /not a number/],
  ])('%j exits with 2', (args, message) => {
    const { code, err } = cli(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});

interface NestedStep {
  gpa: string;
  pa: string | null;
  under: (Step & { madeDirty: boolean })[];
  entry: (Step & { madeDirty: boolean }) | null;
}

interface Nested {
  over: { format: string; granule: string | null };
  mapped: boolean;
  gpa: string | null;
  pa: string | null;
  fault: { stage: number; reason: string; gpa: string | null } | null;
  steps: NestedStep[];
  under: (Step & { madeDirty: boolean })[];
}

function nested(first: string, iova: string, second: string, ...args: string[]): Nested {
  return walk(first, iova, '--over', second, ...args) as unknown as Nested;
}

describe('walk of two stages', () => {
  const SMALL = ['--map', 'gpa=0x200000,length=64K'];

  it.each([
    ['armv8-s1', 'armv8-s2', 2],
    ['x86_64', 'vtdss', 2],
    ['x86_64', 'amdv1', 1],
  ])('%s over %s: each entry of stage 1 after those of stage 2 on the way to it', (first, second, way) => {
    const { over, mapped, gpa, pa, fault, steps, under } = nested(first, '0x5678', second, ...SMALL);
    expect([over.format, mapped, gpa, pa, fault]).toEqual([second, true, '0x205678', '0x100205678', null]);
    expect(steps.map(({ under: rows, entry }) => [rows.length, entry?.level, entry?.kind])).toEqual([
      [way, 3, 'table'],
      [way, 2, 'table'],
      [way, 1, 'table'],
      [way, 0, 'leaf'],
    ]);
    expect(steps.map((step) => step.gpa)).toEqual(['0x40000000', '0x40001000', '0x40002000', '0x40003028']);
    expect(steps.map((step) => step.pa)).toEqual(['0x140000000', '0x140001000', '0x140002000', '0x140003028']);
    expect([under.length, under.at(-1)!.address]).toEqual([way, '0x100000000']);
  });

  it.each([
    ['armv8-s1', 'armv8-s2'],
    ['x86_64', 'vtdss'],
    ['x86_64', 'amdv1'],
  ])(
    '%s over %s: a write makes one leaf of stage 1 dirty, and of stage 2 that of its table and that of the page',
    (a, b) => {
      const leaves = ['--map-over', 'gpa=0,pa=0x80000000,length=1G,leaf=4K', '--ram', 'gpa=0x300000'];
      const dirtied = (...more: string[]) => {
        const { steps, under } = nested(a, '0x5678', b, '--map', 'gpa=0x200000,length=64K', ...leaves, ...more);
        const rows = [...steps.flatMap((step) => [...step.under, step.entry!]), ...under];
        return rows.filter(({ madeDirty }) => madeDirty).map(({ address }) => address);
      };
      expect(dirtied('--write')).toEqual(['0x80303000', '0x205000', '0x80205000']);
      expect(dirtied('--track')).toEqual([]);
    },
  );

  it('takes granules, widths and leaves of either stage', () => {
    const granules = ['--granule', '64K', '--granule-over', '16K', '--input-bits', '42'];
    const { over, steps } = nested('armv8-s1', '0x5678', 'armv8-s2', ...granules, '--map', 'length=64K');
    expect([over.granule, steps.length, steps.at(-1)!.entry!.size]).toEqual(['16K', 2, 65536]);
    expect(nested('x86_64', '0', 'amdv1').steps.at(-1)!.entry!.size).toBe(2 ** 30);
    expect(nested('x86_64', '0', 'amdv1', '--map', 'length=2M,leaf=4K').steps.at(-1)!.entry!.size).toBe(4096);
    const wide = ['--map-over', 'gpa=0,pa=0,length=2G,leaf=32K'];
    expect(nested('x86_64', '0', 'amdv1', ...wide).under.at(-1)!.size).toBe(32768);
  });

  it.each([
    ['stage 1 has no mapping', ['--map', 'length=4K'], { stage: 1, reason: 'translation', gpa: null }],
    ['no stage 2 at a table', ['--map-over', 'length=4K'], { stage: 2, reason: 'translation', gpa: '0x40000000' }],
    [
      'no stage 2 at the page',
      ['--map', 'gpa=0x80000000,length=64K'],
      { stage: 2, reason: 'translation', gpa: '0x80005000' },
    ],
    [
      'beyond stage 2',
      ['--map', 'gpa=0x1000000000000,length=64K'],
      { stage: 2, reason: 'translation', gpa: '0x1000000005000' },
    ],
    ['no memory at a table', ['--ram', 'pa=0x1000'], { stage: 1, reason: 'walk-abort', gpa: '0x40000000' }],
    [
      'a write to what stage 1 lets read',
      ['--map', 'length=64K,access=r', '--write'],
      { stage: 1, reason: 'permission', gpa: null },
    ],
  ])('says which stage faults: %s', (_, args, fault) => {
    const found = nested('x86_64', '0x5000', 'vtdss', ...args);
    expect(found.fault).toEqual(fault);
    expect(found.mapped).toBe(fault.reason === 'permission');
  });

  it('prints the entries in the order of reading', () => {
    const { out } = cli('walk', 'x86_64', '0x5000', '--over', 'amdv1', ...SMALL, '--write');
    expect(out).toMatch(/^x86_64 over amdv1: 0x5000 -> gpa 0x205000 -> pa 0x100205000\n/);
    const stages = [...out.matchAll(/^([12]) {6}(gpa|iova)/gm)].map(([, stage, what]) => stage + what);
    expect(stages).toEqual(['2gpa', '1iova', '2gpa', '1iova', '2gpa', '1iova', '2gpa', '1iova', '2gpa']);
    expect(out).toMatch(/leaf of 4K at 0x205000, rw, dirty, by this write/);
    expect(cli('walk', 'x86_64', '0x5000', '--over', 'amdv1', '--map', 'length=4K').out).toMatch(
      /^stage 1 refuses: translation fault$/m,
    );
  });

  it('is in the help, with an example that runs', () => {
    const { out } = cli('walk', '--help');
    expect(out).toMatch(/--map-over LIST/);
    const [, example] = /wasm-iommu (walk .* --over .*)/.exec(out)!;
    expect(cli(...example.split(' ')).code).toBe(0);
  });

  it.each([
    [['walk', 'armv8-s1', '0', '--over', 'vtdss'], /armv8-s1 goes over armv8-s2, x86_64 over vtdss or amdv1/],
    [['walk', 'x86_64', '0', '--over', 'armv9'], /there are amdv1, /],
    [['walk', 'vtdss', '0', '--ram', 'gpa=0'], /say with --over what stage 2 is/],
    [['walk', 'vtdss', '0', '--map-over', 'length=4K'], /say with --over what stage 2 is/],
    [['walk', 'x86_64', '0', '--over', 'amdv1', '--ram', 'iova=0'], /write for example gpa=/],
    [['walk', 'x86_64', '0', '--over', 'amdv1', '--ram', 'length=4K'], /no room for another table/],
    [['walk', 'x86_64', '0', '--over', 'amdv1', '--map', 'pa=0,length=4K'], /write for example iova=0x100000,gpa=/],
    [['walk', 'x86_64', '0', '--over', 'amdv1', '--map', 'length=4K;length=4K'], /mapped already/],
    [['walk', 'x86_64', '0x1000000000000', '--over', 'amdv1'], /has 48 bits/],
  ])('%j exits with 2', (args, message) => {
    const { code, err } = cli(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
