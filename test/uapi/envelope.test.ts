import { describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { ERRNO, type ErrnoCode } from '../../src/errno/errno.ts';
import { IommuError } from '../../src/errno/error.ts';
import {
  handler,
  iommufdIoctl,
  readArgsz,
  readStruct,
  resultOf,
  vfioIoctl,
  writeStruct,
  type Handler,
  type IoctlArg,
} from '../../src/uapi/envelope.ts';
import {
  IommuHwptAlloc,
  IommuIoasAlloc,
  IommuIoasUnmap,
  IommuIovaRange,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_UNMAP,
} from '../../src/uapi/iommufd.ts';
import { ReplyError } from '../../src/uapi/reply-error.ts';
import { VfioIommuType1Info, VFIO_IOMMU_TYPE1_INFO_MINSZ } from '../../src/uapi/type1.ts';

const PAGE = 0x1000;
/** Two writable pages, then a read-only one, then nothing. */
const BASE = 0x10000n;
const READ_ONLY = BASE + 2n * 0x1000n;

function memory() {
  const space = new PlainAddressSpace();
  space.mmap({ va: BASE, length: 2 * PAGE });
  space.mmap({ va: READ_ONLY, length: PAGE });
  return space;
}

/** A space that holds `bytes` at `va`, with the third page made read-only after that. */
function holding(va: bigint, bytes: Uint8Array): PlainAddressSpace {
  const space = memory();
  if (!space.write(va, bytes)) throw new Error('the test writes where nothing is');
  space.mprotect({ va: READ_ONLY, length: PAGE, writable: false });
  return space;
}

function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function read(space: PlainAddressSpace, va: bigint, words: number): number[] {
  const bytes = new Uint8Array(4 * words);
  if (!space.read(va, bytes)) throw new Error('nothing is there');
  return [...new Uint32Array(bytes.buffer)];
}

/** What ran, and doors in which each command does what its `id` or flags say. */
class Recorder {
  readonly calls: unknown[] = [];
  readonly handlers = new Map<number, Handler>([
    [
      IOMMU_IOAS_ALLOC,
      handler(
        IommuIoasAlloc,
        (input) => {
          this.calls.push(input);
          if (input.flags === 1) throw new IommuError('EOPNOTSUPP', 'ioasAlloc', 'flags is 1; it must be 0');
          if (input.flags === 2) throw new ReplyError('EMSGSIZE', 'ioasAlloc', 'too small', { outIoasId: 9 });
          if (input.flags === 3) throw new TypeError('a bug');
          if (input.flags === 4) return {};
          return { outIoasId: 7 };
        },
        (outputs) => this.calls.push(['undo', outputs]),
      ),
    ],
    [IOMMU_IOAS_UNMAP, handler(IommuIoasUnmap, (input) => void this.calls.push(input))],
    [IOMMU_HWPT_ALLOC, handler(IommuHwptAlloc, (input) => (this.calls.push(input), { outHwptId: 3, dataLen: 5 }))],
  ]);
}

interface Case {
  name: string;
  request: number;
  /** The struct; its `size` comes first. */
  bytes: Uint8Array;
  /** Where it lies; default BASE. */
  at?: bigint;
  result: ErrnoCode | 0;
  ran: number;
}

const BIG = new Uint8Array(PAGE + 64);
BIG.set(words(PAGE + 64));
const BIG_NONZERO = BIG.slice();
BIG_NONZERO[PAGE + 63] = 1;
// From the end of the last page on: the tail lies where nothing is.
const END = BASE + 3n * 0x1000n;

const CASES: Case[] = [
  { name: 'runs', request: IOMMU_IOAS_ALLOC, bytes: words(12, 0, 0), result: 0, ran: 1 },
  { name: 'a number below the table', request: 0x3b7f, bytes: words(12, 0, 0), result: 'ENOTTY', ran: 0 },
  { name: 'a number behind the table', request: 0x3b8f, bytes: words(12, 0, 0), result: 'ENOTTY', ran: 0 },
  { name: 'a number below the table, of any type', request: 0x7f, bytes: words(0), result: 'ENOTTY', ran: 0 },
  { name: 'another type of ioctl', request: 0x3c81, bytes: words(12, 0, 0), result: 'ENOTTY', ran: 0 },
  { name: 'an ioctl with a direction', request: 0x400c3b81, bytes: words(12, 0, 0), result: 'ENOTTY', ran: 0 },
  { name: 'no handler', request: IOMMU_FAULT_QUEUE_ALLOC, bytes: words(16, 0, 0, 0), result: 'ENOTTY', ran: 0 },
  { name: 'another type, too small', request: 0x3c81, bytes: words(0), result: 'ENOTTY', ran: 0 },
  { name: 'size 0', request: IOMMU_IOAS_ALLOC, bytes: words(0, 0, 0), result: 'EINVAL', ran: 0 },
  { name: 'one byte too small', request: IOMMU_IOAS_ALLOC, bytes: words(11, 0, 0), result: 'EINVAL', ran: 0 },
  {
    name: 'too small, and the rest missing',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(11),
    at: END - 4n,
    result: 'EINVAL',
    ran: 0,
  },
  { name: 'the rest missing', request: IOMMU_IOAS_ALLOC, bytes: words(12), at: END - 4n, result: 'EFAULT', ran: 0 },
  { name: 'a tail of zeros', request: IOMMU_IOAS_ALLOC, bytes: words(20, 0, 0, 0, 0), result: 0, ran: 1 },
  { name: 'a tail that is not', request: IOMMU_IOAS_ALLOC, bytes: words(20, 0, 0, 0, 1), result: 'E2BIG', ran: 0 },
  { name: 'the byte right behind', request: IOMMU_IOAS_ALLOC, bytes: words(13, 0, 0, 1), result: 'E2BIG', ran: 0 },
  { name: 'the byte behind the tail', request: IOMMU_IOAS_ALLOC, bytes: words(13, 0, 0, 256), result: 0, ran: 1 },
  { name: 'a long tail of zeros', request: IOMMU_IOAS_ALLOC, bytes: BIG, result: 0, ran: 1 },
  { name: 'a long tail that is not', request: IOMMU_IOAS_ALLOC, bytes: BIG_NONZERO, result: 'E2BIG', ran: 0 },
  {
    name: 'a tail beyond memory',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(16, 0, 0),
    at: END - 12n,
    result: 'EFAULT',
    ran: 0,
  },
  {
    name: 'a tail that is not zeros before it is missing',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(64, 0, 0, 5),
    at: END - 16n,
    result: 'E2BIG',
    ran: 0,
  },
  {
    name: 'a head whose end is missing behind a tail',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(2 ** 32 - 1, 0, 0),
    at: END - 12n,
    result: 'EFAULT',
    ran: 0,
  },
  { name: 'the least size', request: IOMMU_HWPT_ALLOC, bytes: words(24, 0, 1, 2, 0, 0), result: 0, ran: 1 },
  { name: 'one byte less', request: IOMMU_HWPT_ALLOC, bytes: words(23, 0, 1, 2, 0, 0), result: 'EINVAL', ran: 0 },
  { name: 'an error of the handler', request: IOMMU_IOAS_ALLOC, bytes: words(12, 1, 0), result: 'EOPNOTSUPP', ran: 1 },
  {
    name: 'outputs that cannot be written',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(12, 0, 0),
    at: READ_ONLY,
    result: 'EFAULT',
    ran: 2,
  },
  {
    name: 'no outputs, read-only',
    request: IOMMU_IOAS_UNMAP,
    bytes: words(24, 1, 0, 0, 0, 0),
    at: READ_ONLY,
    result: 0,
    ran: 1,
  },
  {
    name: 'empty outputs, read-only',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(12, 4, 0),
    at: READ_ONLY,
    result: 'EFAULT',
    ran: 2,
  },
  {
    name: 'an error, read-only',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(12, 1, 0),
    at: READ_ONLY,
    result: 'EOPNOTSUPP',
    ran: 1,
  },
  { name: 'a reply with an error', request: IOMMU_IOAS_ALLOC, bytes: words(12, 2, 0), result: 'EMSGSIZE', ran: 1 },
  {
    name: 'a reply with an error, read-only',
    request: IOMMU_IOAS_ALLOC,
    bytes: words(12, 2, 0),
    at: READ_ONLY,
    result: 'EFAULT',
    ran: 1,
  },
];

function expected(result: ErrnoCode | 0): number {
  return result === 0 ? 0 : -ERRNO[result];
}

describe('the envelope of iommufd', () => {
  it.each(CASES)('$name: $result', ({ request, bytes, at = BASE, result, ran }) => {
    const recorder = new Recorder();
    expect(iommufdIoctl(holding(at, bytes), recorder.handlers, request, at)).toBe(expected(result));
    expect(recorder.calls.length).toBe(ran);
  });

  it.each(CASES.filter(({ at }) => at !== READ_ONLY))('$name, as bytes: $result', ({ request, bytes, result, ran }) => {
    const recorder = new Recorder();
    const space = new PlainAddressSpace();
    expect(iommufdIoctl(space, recorder.handlers, request, bytes.slice())).toBe(expected(result));
    expect(recorder.calls.length).toBe(ran);
  });

  it('faults before it looks for the command, where the size cannot be read', () => {
    const { handlers } = new Recorder();
    const space = memory();
    const results = [IOMMU_DESTROY, 0x3c81, IOMMU_IOAS_ALLOC].flatMap((request) =>
      ([0n, END, END - 3n, 2n ** 64n - 2n, new Uint8Array(3)] as IoctlArg[]).map((arg) =>
        iommufdIoctl(space, handlers, request, arg),
      ),
    );
    expect(results).toEqual(Array(15).fill(-14));
  });

  it('leaves numbers that are not its own to whom they belong, unread', () => {
    const seen: unknown[] = [];
    const below = (...call: unknown[]) => seen.push(call);
    const { handlers } = new Recorder();
    const requests = [0x3b64, 0x3b7f, 0x3b8f, 0x3bff, IOMMU_DESTROY];
    const results = requests.map((request) => iommufdIoctl(memory(), handlers, request, 0n, below));
    expect([results, seen]).toEqual([
      [1, 2, 3, 4, -14],
      [0x3b64, 0x3b7f, 0x3b8f, 0x3bff].map((request) => [request, 0n]),
    ]);
  });

  it('reads 0 where a short struct ends, and writes no further', () => {
    const recorder = new Recorder();
    const space = memory();
    // What follows in memory is not the struct's.
    space.write(BASE, words(28, 1, 2, 3, 0, 0, 0xdead, 9, 9, 9, 9, 9));
    expect(iommufdIoctl(space, recorder.handlers, IOMMU_HWPT_ALLOC, BASE)).toBe(0);
    expect(recorder.calls).toEqual([
      {
        size: 28,
        flags: 1,
        devId: 2,
        ptId: 3,
        outHwptId: 0,
        __reserved: 0,
        dataType: 0xdead,
        dataLen: 0,
        dataUptr: 0n,
        faultId: 0,
        __reserved2: 0,
      },
    ]);
    expect(read(space, BASE, 12)).toEqual([28, 1, 2, 3, 3, 0, 0xdead, 9, 9, 9, 9, 9]);
  });

  it('writes outputs into the struct, and not behind it', () => {
    const recorder = new Recorder();
    const space = memory();
    space.write(BASE, words(16, 0, 0, 0, 5));
    expect(iommufdIoctl(space, recorder.handlers, IOMMU_IOAS_ALLOC, BASE)).toBe(0);
    expect(read(space, BASE, 5)).toEqual([16, 0, 7, 0, 5]);
  });

  it('writes the outputs of a ReplyError, and nothing for another error', () => {
    const { handlers } = new Recorder();
    const [reply, plain] = [words(12, 2, 0), words(12, 1, 0)];
    const results = [reply, plain].map((arg) => iommufdIoctl(memory(), handlers, IOMMU_IOAS_ALLOC, arg));
    expect([results, [...new Uint32Array(reply.buffer)], [...new Uint32Array(plain.buffer)]]).toEqual([
      [-90, -95],
      [12, 2, 9],
      [12, 1, 0],
    ]);
  });

  it('undoes a creation whose outputs cannot be written', () => {
    const recorder = new Recorder();
    iommufdIoctl(holding(READ_ONLY, words(12, 0, 0)), recorder.handlers, IOMMU_IOAS_ALLOC, READ_ONLY);
    expect(recorder.calls[1]).toEqual(['undo', { outIoasId: 7 }]);
  });

  it('lets bugs through', () => {
    const { handlers } = new Recorder();
    expect(() => iommufdIoctl(memory(), handlers, IOMMU_IOAS_ALLOC, words(12, 3, 0))).toThrow(TypeError);
  });
});

describe('the envelope of VFIO', () => {
  const info = (calls: unknown[] = []) =>
    handler(VfioIommuType1Info, (input) => {
      calls.push(input);
      if (input.flags === 1) throw new IommuError('EBUSY', 'getInfo', 'flags is 1');
      if (input.flags === 2) throw new ReplyError('ENOENT', 'getInfo', 'flags is 2', { iovaPgsizes: 5 });
      return { flags: 3, iovaPgsizes: 0x1000 };
    });
  const call = (space: PlainAddressSpace, arg: IoctlArg, minSize?: number, calls: unknown[] = []) =>
    vfioIoctl(space, info(calls), arg, 'getInfo', minSize);
  const MINSZ = VFIO_IOMMU_TYPE1_INFO_MINSZ;

  it.each<[string, Uint8Array, bigint, number, ErrnoCode | 0]>([
    ['runs', words(24, 0, 0, 0, 0, 0), BASE, 24, 0],
    ['argsz too small', words(23, 0, 0, 0, 0, 0), BASE, 24, 'EINVAL'],
    ['argsz of the least size', words(16, 0, 0, 0), BASE, MINSZ, 0],
    ['argsz below the least size', words(15, 0, 0, 0), BASE, MINSZ, 'EINVAL'],
    ['a tail that is not 0', words(32, 0, 0, 0, 0, 0, 9, 9), BASE, 24, 0],
    ['argsz too small, and the struct missing', words(0), END - 4n, 24, 'EFAULT'],
    ['a tail that is missing', words(64, 0, 0, 0), END - 16n, MINSZ, 0],
    ['an error', words(24, 1, 0, 0, 0, 0), BASE, 24, 'EBUSY'],
    ['a reply with an error', words(24, 2, 0, 0, 0, 0), BASE, 24, 'ENOENT'],
    ['read-only', words(24, 0, 0, 0, 0, 0), READ_ONLY, 24, 'EFAULT'],
  ])('%s', (_, bytes, at, minSize, result) => {
    const space = memory();
    space.write(at, bytes);
    if (at === READ_ONLY) space.mprotect({ va: READ_ONLY, length: PAGE, writable: false });
    expect(call(space, at, minSize)).toBe(expected(result));
  });

  it('writes over the bytes that it read, and no others', () => {
    const bytes = words(32, 0, 0, 0, 7, 8);
    const calls: unknown[] = [];
    expect(call(memory(), bytes, MINSZ, calls)).toBe(0);
    expect([[...new Uint32Array(bytes.buffer)], calls]).toEqual([
      [32, 3, 0x1000, 0, 7, 8],
      [{ argsz: 32, flags: 0, iovaPgsizes: 0n, capOffset: 0, pad: 0 }],
    ]);
  });

  it('writes the outputs of a ReplyError', () => {
    const bytes = words(24, 2, 0, 0, 0, 0);
    expect([call(memory(), bytes), [...new Uint32Array(bytes.buffer)]]).toEqual([-2, [24, 2, 5, 0, 0, 0]]);
  });
});

describe('the parts of an envelope', () => {
  it('resultOf: what an ioctl returns', () => {
    expect([resultOf(() => 3), resultOf(() => {}), resultOf(() => raise('EBUSY'))]).toEqual([3, 0, -16]);
  });

  it('readArgsz: names what is wrong', () => {
    const read = (bytes: Uint8Array) => readArgsz(memory(), VfioIommuType1Info, bytes, 'getInfo', 16);
    expect(() => read(words(8, 0, 0, 0))).toThrow(
      'getInfo: argsz is 8; vfio_iommu_type1_info has at least 16 bytes (EINVAL)',
    );
    expect(() => read(words(24))).toThrow('getInfo: 16 bytes are not accessible in the 4 bytes given (EFAULT)');
    expect([...read(words(16, 1, 2, 3, 4))]).toEqual([...words(16, 1, 2, 3, 0, 0)]);
  });

  it('readStruct and writeStruct: one of an array in user memory', () => {
    const space = memory();
    writeStruct(space, IommuIovaRange, BASE, { start: 1, last: 2n ** 64n - 1n }, 'op', 16);
    expect(readStruct(space, IommuIovaRange, BASE, 'op', 16)).toEqual({ start: 1n, last: 2n ** 64n - 1n });
    expect(() => readStruct(space, IommuIovaRange, END, 'op')).toThrow(
      'op: 16 bytes are not accessible at 0x13000 (EFAULT)',
    );
    expect(() => writeStruct(space, IommuIovaRange, new Uint8Array(31), {}, 'op', 16)).toThrow(/EFAULT/);
  });
});

function raise(code: ErrnoCode): never {
  throw new IommuError(code, 'op', 'message');
}
