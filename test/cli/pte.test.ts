import { describe, expect, it } from 'vitest';
import { parse } from '../../src/cli/command.ts';
import { PTE } from '../../src/cli/pte.ts';
import { cli } from './run-cli.ts';

/** What the command prints, run in this process: a process for each of many cases takes long. */
async function printed(...args: string[]): Promise<string> {
  const { values, operands } = parse(PTE, args);
  return PTE.run(values, operands);
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await printed(...args, '--format', 'json')) as Record<string, unknown>;
}

describe('pte', () => {
  it('explains an entry, a line per field', () => {
    const { code, out, err } = cli('pte', 'amdv1', '0x6000000012347e41');
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe(
      [
        'amdv1, level 0: 0x6000000012347e41',
        'a leaf of 64 KiB at 0x12340000, lets reads and writes through, dirty',
        '',
        '  bits   field        value       meaning',
        '  0      PR           1           present',
        '  5      A            0           not accessed since cleared',
        '  6      D            1           dirty: written since cleared',
        '  11:9   NextLevel    7           leaf, size encoded in the address: 64 KiB',
        '  51:12  PageAddress  0x12347000',
        '  59     U            0',
        '  60     FC           0           the device says whether it snoops',
        '  61     IR           1           reads allowed',
        '  62     IW           1           writes allowed',
        '',
        'Note: one of 16 equal entries side by side; D in any one makes all of them dirty.',
        '',
      ].join('\n'),
    );
  });

  it('warns of reserved bits, and names those that hardware ignores', async () => {
    const out = await printed('vtdss', '0xc0000000_00207403', '--level', '1', '--output-bits', '48');
    expect(out).toMatch(/^a table at 0x207000, lets reads and writes through$/m);
    expect(out).toMatch(/^Warning: set, though reserved: bit 62\.$/m);
    expect(out).toMatch(/^Note: set, and ignored by hardware: bits 63, 10\.$/m);
  });

  it('says what hangs on the level, and what it was told of it', async () => {
    expect(await printed('vtdss', '0x40000083')).toMatch(/Note: .*2 MiB at level 1, 1 GiB at level 2/);
    expect(await printed('vtdss', '0x40000083', '--level', '2')).toMatch(/^a leaf of 1 GiB at 0x40000000/m);
  });

  it('says that nothing is there', async () => {
    expect(await printed('riscv', '0')).toMatch(/^not present/m);
  });

  it('gives JSON with its keys in one order', async () => {
    const out = await printed('riscv', '0x80000000000120d7', '--format', 'json');
    expect(out).toBe(
      `${JSON.stringify(
        {
          ...{ format: 'riscv', granule: null, value: '0x80000000000120d7', present: true, kind: 'leaf', level: 0 },
          ...{ size: 65536, address: '0x40000', read: true, write: true, accessed: true, dirty: true },
          fields: {
            ...{ V: 1, R: 1, W: 1, X: 0, U: 1, G: 0, A: 1, D: 1, RSW: 0 },
            ...{ PPN: '0x48', PBMT: 0, N: 1 },
          },
          ...{ ignored: '0x0', reserved: '0x0', notes: ['one of 16 equal entries side by side'] },
        },
        null,
        2,
      )}\n`,
    );
  });

  it('takes decimal digits, underscores and a granule', async () => {
    expect(await json('mock2k', '6159', '--level', '0')).toMatchObject({
      value: '0x180f',
      size: 2048,
      address: '0x1800',
    });
    expect(await json('armv8-s1', '0x1234_5678_af47', '--level', '0', '--granule', '64k')).toMatchObject({
      ...{ granule: '64K', size: 65536, address: '0xa123456780000' },
    });
  });

  it.each([
    ['amdv1', 'address=0x12340000,size=64K,read,write,dirty', '0x6000000012347e41'],
    ['amdv1', 'table,level=2,address=0x7fff000', '0x6000000007fff401'],
    ['vtdss', 'address=0xabcde000,size=4K,read,write,accessed,dirty,SNP', '0xabcdeb03'],
    ['x86_64', 'address=0x40200000,size=2M,read', '0x402000a5'],
    ['armv8-s1', 'address=0x12345000,size=4K,read,write,clean', '0x8000012345fc7'],
    ['armv8-s1', 'address=0x12345000,size=4K,read,AP[2]=0,accessed=0', '0x12345b47'],
    ['armv8-s2', 'address=0x40200000,level=1,read,write,MemAttr=0x1', '0x402007c5'],
    ['riscv', 'address=0x1234_0000,size=64K,read,write,dirty', '0x80000000048d20d7'],
    ['mock2k', 'address=6144,size=2K,read,write,dirty', '0x180f'],
  ])('makes an entry of %s: %s', async (format, list, value) => {
    expect(await printed(format, '--encode', list)).toBe(`${value}\n`);
  });

  it('explains in JSON what it has made', async () => {
    const made = await json('vtdss', '--encode', 'address=0x40200000,size=2M,read');
    expect(made).toEqual(await json('vtdss', '0x40200081', '--level', '1'));
    expect(await json('vtdss', '--encode', 'table,address=0x1000')).toMatchObject({ kind: 'table', level: null });
  });
});

describe('wrong usage of pte exits with 2 and says what would be right', () => {
  it.each<[string, string[], RegExp]>([
    ['nothing', [], /FORMAT is missing; there are amdv1, vtdss, x86_64, armv8-s1, armv8-s2, riscv, mock2k/],
    ['no value', ['amdv1'], /VALUE is missing/],
    ['no such format', ['amdv2', '1'], /format is 'amdv2'; there are amdv1, /],
    ['no number', ['amdv1', '12x4'], /VALUE: '12x4' is not a number/],
    ['hexadecimal without 0x', ['amdv1', '6000e01f'], /hexadecimal needs 0x: 0x6000e01f/],
    ['65 bits', ['amdv1', '0x10000000000000000'], /more than 64 bits/],
    ['a level that is no number', ['amdv1', '1', '--level', 'x'], /--level: 'x'; it is a number/],
    ['no such level', ['vtdss', '1', '--level', '5'], /level is 5; vtdss has levels 0 .* to 4/],
    ['no such granule', ['armv8-s1', '3', '--granule', '8K'], /granule is '8K'; armv8-s1 has 4K, 16K, 64K/],
    ['LPA2', ['armv8-s1', '3', '--output-bits', '52'], /LPA2/],
    ['a width that is no number', ['armv8-s1', '3', '--output-bits', 'x'], /--output-bits: 'x'/],
    ['no such output', ['amdv1', '1', '--format', 'xml'], /--format: 'xml'; it is text or json/],
    ['a value to encode', ['amdv1', '1', '--encode', 'address=0'], /one VALUE too many/],
    ['no address', ['amdv1', '--encode', 'size=4K,read'], /address is missing/],
    ['no such size', ['vtdss', '--encode', 'address=0,size=8K,read'], /vtdss has leaves of 4K, 2M, 1G/],
    ['no size at all', ['vtdss', '--encode', 'address=0,size=x,read'], /--encode: size/],
    ['no such word', ['vtdss', '--encode', 'adress=0,size=4K'], /there is no 'adress'; there are address=, size=/],
    [
      'no such field',
      ['vtdss', '--encode', 'address=0,size=4K,read,FC=1'],
      /no field 'FC' in a leaf of vtdss; there are R, W/,
    ],
    ['a switch with a value', ['vtdss', '--encode', 'address=0,size=4K,read=yes'], /read=yes; write read, or read=0/],
    ['a word without its value', ['vtdss', '--encode', 'address,size=4K,read'], /write address=VALUE/],
    ['twice the same', ['vtdss', '--encode', 'address=0,size=4K,read,dirty,clean'], /clean says again/],
    ['two levels', ['vtdss', '--level', '0', '--encode', 'address=0,level=0,read'], /--level says; say it once/],
  ])('%s', async (_name, args, message) => {
    await expect(printed(...args)).rejects.toThrow(message);
    // What the command line answers with 2 and a hint at --help.
    await expect(printed(...args)).rejects.toThrow(expect.objectContaining({ name: expect.stringMatching(USAGE) }));
  });

  it.each([
    ['of its own', ['amdv1', '6000e01f'], /hexadecimal needs 0x/],
    ['of the library', ['amdv2', '1'], /format is 'amdv2'; there are amdv1, /],
  ])('as an error %s', (_name, args, message) => {
    const { code, out, err } = cli('pte', ...args);
    expect(err).toMatch(message);
    expect(err).toMatch(/Try 'wasm-iommu pte --help'/);
    expect([code, out]).toEqual([2, '']);
  });
});

const USAGE = /^(UsageError|IommuError)$/;
