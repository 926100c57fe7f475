import { describe, expect, it } from 'vitest';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import { codeOf } from '../core/builds.ts';
import { codeOfResult } from './doors.ts';
import { ARGS, BUFFER, ID, MAX, MIB, MISSING, PAGE, RAM, READ_ONLY, TOP, furnish, rig, type Rig } from './rig.ts';

const [TYPE1, TYPE1V2] = [1, 3];
const [CHECK, SET_IOMMU, GET_INFO, MAP, UNMAP, DIRTY_PAGES] = [0x3b65, 0x3b66, 0x3b70, 0x3b71, 0x3b72, 0x3b75];
const [READ, RW, ALL] = [1, 3, 2];

/** A furnished rig whose first IOAS, with 16 pages at 1 MiB, stands for the container. */
function container(options: Partial<IommufdOptions> = {}, set = true): Rig {
  const made = rig(options);
  furnish(made);
  if (set) made.fd.vfioIoas({ op: 1, ioasId: ID.ioas });
  return made;
}

interface MapCase {
  readonly name: string;
  readonly code: string;
  readonly args: { flags?: number; vaddr?: bigint; iova?: bigint; size?: bigint };
  readonly set?: false;
  readonly argsz?: number;
}

const GOOD = { flags: RW, vaddr: RAM, iova: 0n, size: PAGE };

// In the kernel's order: each case breaks one rule, and as many later ones as it can.
const MAPS: MapCase[] = [
  { name: 'a struct that is too short', code: 'EINVAL', args: GOOD, argsz: 31, set: false },
  { name: 'an unknown flag', code: 'EINVAL', args: { ...GOOD, flags: 4 | RW }, set: false },
  { name: 'no IOAS', code: 'ENODEV', args: { ...GOOD, size: 0n }, set: false },
  { name: 'size 0', code: 'EINVAL', args: { ...GOOD, size: 0n } },
  { name: 'memory beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD, vaddr: MAX } },
  { name: 'size not aligned', code: 'EINVAL', args: { ...GOOD, size: 1n } },
  { name: 'an end beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD, iova: TOP - PAGE, size: 2n * PAGE } },
  { name: 'reserved IOVAs', code: 'EINVAL', args: { ...GOOD, iova: TOP - PAGE } },
  { name: 'mapped IOVAs', code: 'EEXIST', args: { ...GOOD, iova: MIB, vaddr: MISSING } },
  { name: 'missing memory', code: 'EFAULT', args: { ...GOOD, vaddr: MISSING } },
  { name: 'read-only memory', code: 'EFAULT', args: { ...GOOD, vaddr: READ_ONLY } },
  { name: 'read-only memory for reading', code: 'none', args: { ...GOOD, flags: READ, vaddr: READ_ONLY } },
  { name: 'all well', code: 'none', args: GOOD },
];

interface UnmapCase extends Omit<MapCase, 'args'> {
  readonly args: { flags?: number; iova?: bigint; size?: bigint };
  readonly size?: bigint;
  readonly type?: number;
  /** An IOAS without a domain, so that version 1 can be chosen after mapping. */
  readonly bare?: true;
}

const UNMAPS: UnmapCase[] = [
  { name: 'a struct that is too short', code: 'EINVAL', args: {}, argsz: 23, set: false },
  { name: 'an unknown flag', code: 'EINVAL', args: { flags: 1 }, set: false },
  { name: 'no IOAS', code: 'ENODEV', args: { flags: ALL, iova: 1n }, set: false },
  { name: 'all, with an iova', code: 'EINVAL', args: { flags: ALL, iova: 1n } },
  { name: 'all, with a size', code: 'EINVAL', args: { flags: ALL, size: 1n } },
  { name: 'size 0', code: 'EINVAL', args: { iova: MIB }, size: 0n },
  { name: 'an end beyond 2^64', code: 'EOVERFLOW', args: { iova: TOP - 1n, size: 2n }, size: 0n },
  { name: 'a part, version 2', code: 'ENOENT', args: { iova: MIB, size: PAGE }, size: 0n },
  { name: 'nothing there', code: 'none', args: { iova: 0n, size: MIB }, size: 0n },
  { name: 'all well', code: 'none', args: { iova: MIB, size: 16n * PAGE }, size: 16n * PAGE },
  { name: 'all', code: 'none', args: { flags: ALL }, size: 16n * PAGE },
  {
    name: 'a part, version 1',
    code: 'none',
    args: { iova: MIB + 3n * PAGE, size: PAGE },
    size: PAGE,
    type: TYPE1,
    bare: true,
  },
];

describe('the VFIO container on an iommufd', () => {
  const prepare = ({ set, bare, type }: { set?: false; bare?: true; type?: number }) => {
    const made = container({}, set ?? true);
    if (bare) made.fd.destroy({ id: ID.hwpt });
    if (type !== undefined) made.fd.vfio.setIommu(type);
    return made;
  };
  const request = ({ space }: Rig, words: readonly bigint[]) => {
    space.write(ARGS, new Uint8Array(new BigUint64Array(words).buffer));
    return ARGS;
  };

  it.each(MAPS)('MAP, $name: $code', ({ code, args, argsz = 32, ...how }) => {
    const { flags = 0, vaddr = 0n, iova = 0n, size = 0n } = args;
    const made = prepare(how);
    const words = [BigInt(argsz) | (BigInt(flags) << 32n), vaddr, iova, size];
    expect(codeOfResult(made.fd.ioctl(MAP, request(made, words)))).toBe(code);
    if (argsz >= 32) expect(codeOf(() => prepare(how).fd.vfio.mapDma(args))).toBe(code);
  });

  it.each(UNMAPS)('UNMAP, $name: $code', ({ code, args, size, argsz = 24, ...how }) => {
    const made = prepare(how);
    const words = [BigInt(argsz) | (BigInt(args.flags ?? 0) << 32n), args.iova ?? 0n, args.size ?? 0n];
    expect(codeOfResult(made.fd.ioctl(UNMAP, request(made, words)))).toBe(code);
    const reply = new Uint8Array(8);
    made.space.read(ARGS + 16n, reply);
    expect(new BigUint64Array(reply.buffer)[0]).toBe(size ?? args.size ?? 0n);
    if (argsz < 24) return;
    let found: bigint | undefined;
    const typed = prepare(how).fd.vfio;
    expect(codeOf(() => plain(() => (found = typed.unmapDma(args).size)))).toBe(code);
    if (code === 'none') expect(found).toBe(size);
  });

  it('answers what needs no struct', () => {
    const empty = container({}, false).fd;
    const set = container().fd;
    const check = (extension: number) => [empty, set].map((fd) => codeOrNumber(fd.ioctl(CHECK, BigInt(extension))));
    expect([1, 3, 9, 6, 10, 99].map(check)).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(check(4)).toEqual(['ENODEV', 1]);
    expect(empty.ioctl(0x3b64, 0n)).toBe(0);
    const setIommu = (type: number) => [empty, set].map((fd) => codeOrNumber(fd.ioctl(SET_IOMMU, BigInt(type))));
    expect([setIommu(TYPE1V2), setIommu(7), setIommu(TYPE1V2)]).toEqual([
      ['ENODEV', 0],
      ['EINVAL', 'EINVAL'],
      ['ENODEV', 0],
    ]);
    expect(setIommu(TYPE1)[1]).toBe('EINVAL');
    expect(codeOrNumber(set.ioctl(DIRTY_PAGES, BUFFER))).toBe('ENOTTY');
    expect(codeOrNumber(set.ioctl(0x3b00, BUFFER))).toBe('ENOTTY');
  });

  it('cuts areas in version 1, on both edges, and keeps their pins', () => {
    const { fd, space } = prepare({ bare: true, type: TYPE1 });
    fd.hwptAlloc({ devId: ID.device, ptId: ID.ioas });
    expect(space.pinnedBytes).toBe(16n * PAGE);
    expect(fd.vfio.unmapDma({ iova: MIB + 4n * PAGE, size: 8n * PAGE })).toEqual({ size: 8n * PAGE });
    expect(space.pinnedBytes).toBe(8n * PAGE);
    expect(codeOf(() => fd.ioasUnmap({ ioasId: ID.ioas, iova: MIB, length: 4n * PAGE }))).toBe('none');
    expect(fd.vfio.unmapDma({ iova: 0, size: 2n * MIB })).toEqual({ size: 4n * PAGE });
    expect(space.pinnedBytes).toBe(0n);
  });

  it('cuts nothing that an access has pinned, or that is not aligned', () => {
    const { fd } = prepare({ bare: true, type: TYPE1 });
    const access = fd.createAccess({ pinsPages: true });
    access.attach(ID.ioas);
    const unmap = (iova: bigint, size: bigint) => codeOf(() => plain(() => fd.vfio.unmapDma({ iova, size })));
    access.pin({ iova: MIB, length: PAGE });
    expect(unmap(MIB + 4n * PAGE, PAGE)).toBe('EINVAL');
    access.unpin({ iova: MIB, length: PAGE });
    expect(unmap(MIB + 4n * PAGE, 1n)).toBe('EINVAL');
    expect(unmap(MIB + 4n * PAGE, PAGE)).toBe('none');
  });

  it('describes itself by a chain of capabilities that never passes argsz', () => {
    const { fd, space } = container();
    const read = (argsz: number) => {
      const bytes = new Uint8Array(96).fill(0xee);
      new DataView(bytes.buffer).setUint32(0, argsz, true);
      space.write(BUFFER, bytes);
      const code = codeOrNumber(fd.ioctl(GET_INFO, BUFFER));
      space.read(BUFFER, bytes);
      return {
        code,
        view: new DataView(bytes.buffer),
        touched: [...bytes].map((byte) => byte !== 0xee).lastIndexOf(true) + 1,
      };
    };
    // 24 bytes, DMA_AVAIL 12 (16 with padding), IOVA_RANGE 16 and one range of 16.
    const { code, view } = read(72);
    const words = Array.from({ length: 18 }, (_, i) => view.getUint32(4 * i, true));
    expect(code).toBe(0);
    expect(words.slice(0, 6)).toEqual([72, 3, 0x40201000, 0, 24, 0]);
    expect(words.slice(6, 9)).toEqual([0x10003, 40, 0xffffffff]);
    expect(words.slice(10)).toEqual([0x10001, 0, 1, 0, 0, 0, 0xffffffff, 0xffff]);
    const short = [71, 40, 36, 24, 16].map((argsz) => {
      const { view, touched } = read(argsz);
      return [view.getUint32(0, true), argsz >= 24 ? view.getUint32(16, true) : 0, touched <= argsz];
    });
    expect(short).toEqual([71, 40, 36, 24, 16].map(() => [72, 0, true]));
    expect([read(15).code, codeOrNumber(fd.ioctl(GET_INFO, MISSING))]).toEqual(['EINVAL', 'EFAULT']);
    expect(fd.vfio.getInfo()).toEqual({
      iovaPgsizes: 0x40201000n,
      dmaAvail: 0xffffffff,
      iovaRanges: [{ first: 0n, last: 2n ** 48n - 1n }],
    });
    const none = container({}, false).fd;
    expect(codeOrNumber(none.ioctl(GET_INFO, BUFFER))).toBe('EINVAL');
    expect(codeOf(() => none.vfio.getInfo())).toBe('ENODEV');
  });
});

/** Runs it with a ReplyError under its family's name. */
function plain<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    (error as Error).name = 'IommuError';
    throw error;
  }
}

function codeOrNumber(result: number): string | number {
  return result < 0 ? codeOfResult(result) : result;
}
