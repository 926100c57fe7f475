import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, cliProcess } from './run-cli.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const traces = join(root, 'examples/traces');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wasm-iommu-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const CSV = ['t_us,dev,op,gpa,len', '0,nic,w,0x1000,64', '500,disk,w,8192,9000', '900,nic,r,0,4096', ''].join('\n');

// The other tests run the command line in a thread. Of each way to end, and of more output than a pipe holds, one is here.
describe('a process of its own ends as a run in a thread does', () => {
  it.each<[string, string[], number]>([
    ['help', ['--help'], 0],
    ['its version', ['--version'], 0],
    ['much output', ['compare', '--trackers', 'device,iommu:amdv1', '--format', 'json'], 0],
    ['another command', ['walk', 'vtdss', '0x201234', '--map', 'iova=0x200000,length=2M,leaf=4K'], 0],
    ['an option that there is not', ['compare', '--leafs', '4K'], 2],
    ['a tracker that there is not', ['compare', '--trackers', 'iommu:foo'], 2],
    ['a file that there is not', ['compare', '--ram', '1M', 'nowhere.csv'], 1],
  ])('%s', (_name, args, code) => {
    const outcome = cliProcess(...args);
    expect([outcome.code, outcome.out === '', outcome.err === '']).toEqual([code, code !== 0, code === 0]);
    expect(outcome).toEqual(cli(...args));
  });
});

describe('compare', () => {
  it('without arguments compares all trackers on the bundled recording', () => {
    const { code, out, err } = cli('compare');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/device .* converged/);
    expect(out).toMatch(/iommu:armv8-s1 +2M +not converging/);
    expect(out).toMatch(/cpu-only .* 1,024 /);
    expect(out).toMatch(/silent corruption/);
  });

  it('prints the golden JSON, whichever way the bundled recording is named', () => {
    const golden = readFileSync(join(root, 'test/golden/compare.json'), 'utf8');
    expect(cli('compare', '--format', 'json').out === golden).toBe(true);
    expect(cli('compare', '--format', 'json', join(traces, 'v86-debian.dma.bin.gz')).out === golden).toBe(true);
  });

  it("compares QEMU's choice for a mixed set of devices", () => {
    const set = ['--trackers', 'qemu,device', '--devices', '12xlog,1xnolog', '--leaf', '4K'];
    const { code, out } = cli('compare', ...set);
    expect([code, out.replaceAll(/\s+/g, ' ')]).toEqual([
      0,
      expect.stringMatching(/QEMU qemu comes down to iommu:amdv1/),
    ]);
    expect(JSON.parse(cli('compare', ...set, '--format', 'json').out).options.qemu).toMatchObject({
      devices: '12xlog,1xnolog',
      chosen: [{ tracker: 'qemu', uses: 'iommu:amdv1' }],
    });
  });

  it('writes a file, whole, and prints nothing then', () => {
    const path = join(folder, 'out.json');
    const { code, out } = cli('compare', '--trackers', 'device', '--format', 'json', '--out', path);
    expect([code, out]).toEqual([0, '']);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ schema: 'wasm-iommu/compare@1' });
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('reads a CSV, gzipped or not, with --ram', () => {
    const plain = cli('compare', '--ram', '1M', '--format', 'json', write('a.csv', CSV));
    const zipped = cli('compare', '--ram', '1M', '--format', 'json', write('b.csv.gz', gzipSync(CSV)));
    expect(plain.err).toBe('');
    expect(JSON.parse(plain.out).input).toEqual({
      name: 'a.csv',
      events: 3,
      writeEvents: 2,
      bytesWritten: 9064,
      pagesWritten: 4,
      ramBytes: 2 ** 20,
    });
    expect(zipped.out.replace('b.csv.gz', 'a.csv')).toBe(plain.out);
  });

  it('takes every option', () => {
    const cost = write('cost.json', '{"iotlbMiss": 1}');
    const { code, out, err } = cli(
      ...['compare', '--trackers', 'device,iommu:amdv1', '--leaf', '64K', '--page-size', '8K', '--link', '10Gbit'],
      ...['--downtime-limit', '1ms', '--phase', 'wget-16MB', '--no-loop', '--cap', '5s', '--seed', '3'],
      ...['--cost', cost, '--meta', join(traces, 'v86-debian.meta.json'), '--ram', '256M', '--format', 'json'],
      ...['--cpu-dirty', join(traces, 'v86-debian.cpu-dirty.bin.gz'), join(traces, 'v86-debian.dma.bin.gz')],
    );
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out).options).toMatchObject({
      mode: 'migration',
      trackers: ['device', 'iommu:amdv1'],
      leaf: ['64K'],
      pageSize: 8192,
      ramBytes: 2 ** 28,
      linkBitsPerSecond: 1e10,
      downtimeLimitNs: 1e6,
      phase: 'wget-16MB',
      startNs: 53_128_507_000,
      repeatPhase: false,
      capNs: 5e9,
      seed: 3,
      cpuLog: true,
    });
    expect(JSON.parse(out).options.cost).toContainEqual({
      name: 'iotlbMiss',
      value: 1,
      unit: 'ns/miss',
      source: 'assumed: --cost',
    });
  });

  it('begins at a time', () => {
    const { out } = cli('compare', '--start', '71.4s', '--trackers', 'device', '--format', 'json');
    expect(JSON.parse(out).options).toMatchObject({ startNs: 71_400_000_000, phase: null, repeatPhase: false });
  });

  it('without a CPU log says so', () => {
    const { out } = cli('compare', '--ram', '1M', '--format', 'json', write('c.csv', CSV));
    expect(JSON.parse(out).options.cpuLog).toBe(false);
  });
});

describe('wrong usage exits with 2 and says what would be right', () => {
  const csv = () => write('usage.csv', CSV);
  it.each<[string, () => string[], RegExp]>([
    ['no such command', () => ['compere'], /there is no command 'compere'; there are compare/],
    ['no such option', () => ['compare', '--leafs', '4K'], /--leafs/],
    ['no such tracker', () => ['compare', '--trackers', 'iommu:foo'], /'iommu:foo'; there are device, /],
    [
      'no such container',
      () => ['compare', '--trackers', 'qemu:foo'],
      /there is no 'qemu:foo'; there are qemu:amdv1, /,
    ],
    ['devices for nobody', () => ['compare', '--devices', 'log'], /devices: has no effect without a tracker qemu/],
    [
      'another number of devices',
      () => ['compare', '--trackers', 'qemu', '--devices', '3xlog,1xnolog'],
      /'3xlog,1xnolog' does not make the 13 devices of the recording/,
    ],
    [
      'no such device',
      () => ['compare', '--device-state', 'gpu=1M'],
      /names gpu; the recording has ide-primary-master/,
    ],
    ['an empty name', () => ['compare', '--trackers', 'device,,'], /--trackers/],
    [
      'a suffix that the format lacks',
      () => ['compare', '--trackers', 'iommu:amdv1+nt+split=eager'],
      /no suffix '\+nt'; it has \+direct, /,
    ],
    [
      'a stall where nothing breaks',
      () => ['compare', '--trackers', 'iommu:armv8-s1+nt+split=lazy+fault=stall'],
      /goes with '\+bbm'/,
    ],
    [
      'a split of 4K',
      () => ['compare', '--trackers', 'iommu:amdv1+split=eager', '--leaf', '4K'],
      /no leaf of 4K to split/,
    ],
    ['no such leaf', () => ['compare', '--trackers', 'iommu:vtdss', '--leaf', '64K'], /it has 4K, 2M, 1G/],
    ['no size', () => ['compare', '--leaf', '3K'], /leaf: 3K is not a page size/],
    ['no rate', () => ['compare', '--link', '1GB'], /--link/],
    ['no time', () => ['compare', '--cap', '60'], /--cap/],
    ['no such phase', () => ['compare', '--phase', 'x'], /its phases are boot, /],
    ['phase and start', () => ['compare', '--phase', 'boot', '--start', '1s'], /startNs/],
    ['windows and a link', () => ['compare', '--windows', '1s', '--link', '1Gbit'], /no effect with windows/],
    ['a loop without phase', () => ['compare', '--start', '1s', '--no-loop'], /without a phase/],
    ['start behind the end', () => ['compare', '--start', '100s'], /behind the end/],
    ['no seed', () => ['compare', '--seed', '-1'], /seed/],
    ['no format', () => ['compare', '--format', 'xml'], /table or json/],
    ['two traces', () => ['compare', 'a', 'b'], /unexpected argument 'b'/],
    ['a CSV without RAM', () => ['compare', csv()], /--ram/],
    ['RAM in half pages', () => ['compare', '--ram', '6K', csv()], /ramBytes/],
    ['no such price', () => ['compare', '--cost', write('bad.json', '{"foo": 1}')], /there is no cost 'foo'/],
    ['cost that is no JSON', () => ['cost', '--cost', write('worse.json', '{')], /is not JSON/],
    ['a binary without meta', () => ['compare', write('lonely.dma.bin', 'x')], /--meta/],
  ])('%s', (_name, args, message) => {
    const { code, out, err } = cli(...args());
    expect(err).toMatch(message);
    expect(err).toMatch(/--help/);
    expect([code, out]).toEqual([2, '']);
  });
});

describe('bad input exits with 1 and says where', () => {
  const meta = join(traces, 'v86-debian.meta.json');
  it('a truncated recording', () => {
    const whole = readFileSync(join(traces, 'v86-debian.dma.bin.gz'));
    const { code, out, err } = cli('compare', '--meta', meta, write('cut.dma.bin.gz', whole.subarray(0, 500_000)));
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/cut\.dma\.bin\.gz.*event \d+.*byte/);
  });

  it('a foreign file', () => {
    const { code, err } = cli('compare', '--meta', meta, write('foreign.dma.bin', 'this is not a trace of anything'));
    expect(code).toBe(1);
    expect(err).toMatch(/foreign\.dma\.bin/);
  });

  it('an event outside RAM', () => {
    const { code, err } = cli('compare', '--ram', '4K', write('outside.csv', CSV));
    expect(code).toBe(1);
    expect(err).toMatch(/line 2/);
  });

  it('a file that is not there', () => {
    const { code, err } = cli('compare', '--meta', meta, join(folder, 'nowhere.dma.bin'));
    expect([code, /nowhere\.dma\.bin/.test(err), /at .*\.js/.test(err)]).toEqual([1, true, false]);
  });

  it('a result that can not be written leaves nothing behind', () => {
    const { code, out } = cli('compare', '--trackers', 'type1', '--out', join(folder, 'no/such/folder.json'));
    expect([code, out]).toEqual([1, '']);
    expect(existsSync(join(folder, 'no'))).toBe(false);
  });
});

describe('help and lists', () => {
  it('teaches', () => {
    expect(cli('--help').out).toMatch(/compare .*\n.*trackers .*\n.*cost /);
    expect(cli().out).toBe(cli('--help').out);
    expect(cli('compare', '--help').out).toMatch(/--downtime-limit TIME .*default 40ms/);
    expect(cli('--version').out).toBe(`${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}\n`);
  });

  it('lists the trackers with their claims', () => {
    expect(cli('trackers').out).toMatch(/type1 {2}\(claims: sound\)\n.*everything mapped is dirty/);
    const list = JSON.parse(cli('trackers', '--format', 'json').out) as { name: string; claims: string }[];
    expect(list.map(({ name, claims }) => `${name} ${claims}`)).toEqual([
      'device sound',
      'device:mlx5 sound',
      'iommu:amdv1 sound',
      'iommu:vtdss sound',
      'iommu:x86_64 sound',
      'iommu:armv8-s1 sound',
      'iommu:armv8-s2 sound',
      'iommu:riscv sound',
      'type1 sound',
      'cpu-only none',
      'qemu:amdv1 sound',
      'qemu:vtdss sound',
      'qemu:x86_64 sound',
      'qemu:armv8-s1 sound',
      'qemu:armv8-s2 sound',
      'qemu:riscv sound',
      'qemu:type1 sound',
      'qemu:none sound',
    ]);
  });

  it('explains the suffixes, those of each tracker and what each one does', () => {
    const { out } = cli('trackers');
    expect(out).toMatch(/iommu:amdv1 .*\n(.*\n){3} {4}suffixes: \+direct, \+bbm, \+split=eager, .*\+fault=abort\n/);
    for (const name of ['direct', 'bbm', 'nt', 'direct2', 'split=eager', 'split=lazy', 'merge', 'fault=stall']) {
      expect(out).toMatch(new RegExp(`^ {4}\\+${name} +\\S`, 'm'));
    }
    const list = JSON.parse(cli('trackers', '--format', 'json').out) as { name: string; suffixes: string[] }[];
    expect(list.filter(({ suffixes }) => suffixes.includes('+nt')).map(({ name }) => name)).toEqual([
      'iommu:armv8-s1',
      'iommu:armv8-s2',
    ]);
    const plain = list.filter(({ name, suffixes }) => suffixes.length === 0 && !name.startsWith('qemu'));
    expect(plain.map(({ name }) => name)).toEqual(['device', 'device:mlx5', 'type1', 'cpu-only']);
    expect(cli('compare', '--help').out).toContain(
      'iommu:FORMAT[+POLICY]+split=eager|lazy[+merge][+fault=abort|stall]',
    );
  });

  it('compares what suffixes ask for', () => {
    const trackers = 'iommu:amdv1+split=eager,iommu:armv8-s2+bbm+split=lazy+merge';
    const { results } = JSON.parse(cli('compare', '--trackers', trackers, '--format', 'json').out) as {
      results: { tracker: string; leaf: string; resize: object }[];
    };
    expect(results.map(({ tracker, leaf }) => `${tracker} ${leaf}`)).toEqual([
      'iommu:amdv1+split=eager 2M',
      'iommu:armv8-s2+bbm+split=lazy+merge 2M',
    ]);
    expect(results.map(({ resize }) => resize)).toMatchObject([
      { update: 'direct', split: 'eager', merging: null },
      { update: 'bbm', split: 'lazy', merging: { faults: 0 } },
    ]);
  });

  it('prints the cost model with sources', () => {
    expect(cli('cost').out).toMatch(/tableEntry +3\.2 +ns\/entry/);
    expect(cli('cost').out).toMatch(/tableEntry +measured: Linux/);
  });

  it('a reader that stops early is no error', () => {
    const main = join(root, 'dist/src/cli/main.js');
    // More than a pipe holds.
    const compare = 'compare --trackers device,iommu:amdv1 --format json';
    const { stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${main}" ${compare} | head -c 10`], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
  });
});
