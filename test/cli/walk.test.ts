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
