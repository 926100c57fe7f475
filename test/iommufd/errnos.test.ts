import { describe, expect, it } from 'vitest';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import type { Capabilities } from '../../src/iommufd/bind-options.ts';
import { throughBoth, type Args, type CommandName } from './doors.ts';
import {
  BUFFER,
  BUFFER_BYTES,
  FAULT_FD,
  FIXED,
  ID,
  MAX,
  MIB,
  MISSING,
  PAGE,
  RAM,
  READABLE,
  READ_ONLY,
  RW,
  TOP,
  VTD_S1,
  WRITEABLE,
  furnish,
  rig,
  type Rig,
} from './rig.ts';

interface Case {
  readonly name: string;
  readonly code: string;
  readonly args: Args;
  /** Fields that it must return. */
  readonly out?: Record<string, unknown>;
  readonly options?: Partial<IommufdOptions>;
  readonly capabilities?: Capabilities;
  /** What comes before, on a furnished rig. */
  readonly before?: (rig: Rig) => unknown;
}

const NOWHERE = 99;
const NEXT = { uapi: 'next' } as const;
const GOOD_MAP = { flags: RW | FIXED, ioasId: ID.ioas, userVa: RAM, length: PAGE, iova: 0n };
const GOOD_COPY = {
  flags: RW | FIXED,
  srcIoasId: ID.ioas,
  dstIoasId: ID.other,
  length: PAGE,
  srcIova: MIB,
  dstIova: 0n,
};
const GOOD_QUERY = { hwptId: ID.hwpt, iova: MIB, length: 16n * PAGE, pageSize: PAGE, data: BUFFER };
const GOOD_INVALIDATE = { hwptId: ID.nested, dataUptr: BUFFER, dataType: 0, entryLen: 24, entryNum: 2 };

const attach = (rig: Rig) => furnishedDevice(rig).attach(ID.hwpt);
const track = ({ fd }: Rig) => fd.hwptSetDirtyTracking({ flags: 1, hwptId: ID.hwpt });
const user = (words: readonly bigint[]) => (rig: Rig) => {
  const bytes = new Uint8Array(new BigUint64Array(words).buffer);
  rig.space.write(BUFFER, bytes);
};
const inTurn =
  (...steps: readonly ((rig: Rig) => unknown)[]) =>
  (rig: Rig) =>
    steps.forEach((step) => step(rig));
const bare = ({ fd }: Rig) => fd.ioasUnmap({ ioasId: ID.ioas, iova: 0, length: MAX });
const closeFile = ({ fd }: Rig) => fd.faultFile(FAULT_FD).close();
const withoutDomain = (rig: Rig) => rig.fd.destroy({ id: ID.hwpt });
const devices = new WeakMap<Rig, ReturnType<typeof furnish>>();
const furnishedDevice = (rig: Rig) => devices.get(rig)!;

// In the kernel's order: each case breaks one rule, and as many later ones as it can.
const TABLE: Partial<Record<CommandName, Case[]>> = {
  destroy: [
    { name: 'no such id', code: 'ENOENT', args: { id: NOWHERE } },
    { name: 'id 0', code: 'ENOENT', args: { id: 0 } },
    { name: 'an IOAS with an HWPT', code: 'EBUSY', args: { id: ID.ioas } },
    { name: 'an HWPT with a nested one', code: 'EBUSY', args: { id: ID.parent } },
    { name: 'an HWPT with a device', code: 'EBUSY', args: { id: ID.hwpt }, before: attach },
    { name: 'a device', code: 'EBUSY', args: { id: ID.device } },
    { name: 'an access', code: 'EBUSY', args: { id: ID.access } },
    {
      name: 'a fault queue that is used',
      code: 'EBUSY',
      args: { id: ID.fault },
      before: (rig) => {
        rig.fd.hwptAlloc({ flags: 4, devId: ID.device, ptId: ID.parent, faultId: ID.fault, ...VTD_S1 });
        closeFile(rig);
      },
    },
    { name: 'a nested HWPT', code: 'none', args: { id: ID.nested } },
    { name: 'an HWPT without devices', code: 'none', args: { id: ID.hwpt } },
    { name: 'an IOAS with areas', code: 'none', args: { id: ID.ioas }, before: withoutDomain },
    { name: 'a fault queue whose file is open', code: 'EBUSY', args: { id: ID.fault } },
    { name: 'a fault queue', code: 'none', args: { id: ID.fault }, before: closeFile },
  ],
  ioasAlloc: [
    { name: 'a flag', code: 'EOPNOTSUPP', args: { flags: 1 } },
    { name: 'the lowest free id', code: 'none', args: {}, out: { outIoasId: 9 } },
    {
      name: 'an id that became free',
      code: 'none',
      args: {},
      before: (rig) => {
        closeFile(rig);
        rig.fd.destroy({ id: ID.fault });
      },
      out: { outIoasId: ID.fault },
    },
  ],
  ioasIovaRanges: [
    { name: 'reserved', code: 'EOPNOTSUPP', args: { ioasId: NOWHERE, __reserved: 1 } },
    { name: 'no such IOAS', code: 'ENOENT', args: { ioasId: NOWHERE } },
    { name: 'another kind of object', code: 'ENOENT', args: { ioasId: ID.hwpt } },
    { name: 'an array that is missing', code: 'EFAULT', args: { ioasId: ID.ioas, numIovas: 9, allowedIovas: MISSING } },
    { name: 'a probe', code: 'EMSGSIZE', args: { ioasId: ID.ioas }, out: { numIovas: 1, outIovaAlignment: PAGE } },
    {
      name: 'room enough',
      code: 'none',
      args: { ioasId: ID.ioas, numIovas: 9, allowedIovas: BUFFER },
      out: { numIovas: 1, outIovaAlignment: PAGE },
    },
    {
      name: 'an IOAS without a domain',
      code: 'EMSGSIZE',
      args: { ioasId: 9 },
      before: ({ fd }) => fd.ioasAlloc(),
      out: { numIovas: 1, outIovaAlignment: 1n },
    },
  ],
  ioasAllowIovas: [
    { name: 'reserved', code: 'EOPNOTSUPP', args: { ioasId: NOWHERE, __reserved: 1 } },
    { name: 'no such IOAS', code: 'ENOENT', args: { ioasId: NOWHERE } },
    { name: 'an array that is missing', code: 'EFAULT', args: { ioasId: ID.ioas, numIovas: 1, allowedIovas: MISSING } },
    {
      name: 'a range of one byte',
      code: 'EINVAL',
      args: { ioasId: ID.ioas, numIovas: 1, allowedIovas: BUFFER },
      before: user([MAX, MAX]),
    },
    {
      name: 'two ranges that overlap',
      code: 'EINVAL',
      args: { ioasId: ID.ioas, numIovas: 2, allowedIovas: BUFFER },
      before: user([0n, 9n, 9n, MAX]),
    },
    {
      name: 'a bad range before one that is missing',
      code: 'EINVAL',
      args: { ioasId: ID.ioas, numIovas: 2, allowedIovas: BUFFER + BUFFER_BYTES - 16n },
    },
    {
      name: 'a range beyond the aperture',
      code: 'EADDRINUSE',
      args: { ioasId: ID.ioas, numIovas: 1, allowedIovas: BUFFER },
      before: user([0n, 2n ** 48n]),
    },
    {
      name: 'a range that does not hold what is mapped',
      code: 'none',
      args: { ioasId: ID.ioas, numIovas: 1, allowedIovas: BUFFER },
      before: user([0n, 1n]),
    },
    { name: 'no range', code: 'none', args: { ioasId: ID.ioas } },
  ],
  ioasMap: [
    { name: 'an unknown flag', code: 'EOPNOTSUPP', args: { ...GOOD_MAP, flags: 8, iova: MAX } },
    { name: 'reserved', code: 'EOPNOTSUPP', args: { ...GOOD_MAP, __reserved: 1, iova: MAX } },
    { name: 'iova 2^64 - 1', code: 'EOVERFLOW', args: { ...GOOD_MAP, flags: 0, iova: MAX } },
    { name: 'length 2^64 - 1', code: 'EOVERFLOW', args: { ...GOOD_MAP, flags: 0, length: MAX } },
    { name: 'no access', code: 'EINVAL', args: { ...GOOD_MAP, flags: FIXED, ioasId: NOWHERE } },
    { name: 'no such IOAS', code: 'ENOENT', args: { ...GOOD_MAP, ioasId: NOWHERE, length: 0n } },
    { name: 'length 0', code: 'EINVAL', args: { ...GOOD_MAP, length: 0n, userVa: MAX } },
    { name: 'length 2^64 - 4096', code: 'EINVAL', args: { ...GOOD_MAP, length: TOP - PAGE, userVa: MAX } },
    { name: 'memory beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD_MAP, length: 1n, userVa: MAX } },
    { name: 'length not aligned', code: 'EINVAL', args: { ...GOOD_MAP, length: 1n, iova: MIB } },
    { name: 'iova not aligned', code: 'EINVAL', args: { ...GOOD_MAP, iova: MIB + 1n } },
    { name: 'an end beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD_MAP, iova: TOP - PAGE, length: 2n * PAGE } },
    { name: 'reserved IOVAs', code: 'EINVAL', args: { ...GOOD_MAP, iova: 2n ** 48n } },
    { name: 'mapped IOVAs', code: 'EEXIST', args: { ...GOOD_MAP, iova: MIB + PAGE, userVa: RAM + 1n } },
    { name: 'an unaligned offset in the page', code: 'EINVAL', args: { ...GOOD_MAP, userVa: MISSING + 1n } },
    { name: 'missing memory', code: 'EFAULT', args: { ...GOOD_MAP, userVa: MISSING } },
    { name: 'read-only memory', code: 'EFAULT', args: { ...GOOD_MAP, userVa: READ_ONLY } },
    {
      name: 'read-only memory for reading',
      code: 'none',
      args: { ...GOOD_MAP, flags: READABLE | FIXED, userVa: READ_ONLY },
    },
    {
      name: 'too many pages',
      code: 'ENOMEM',
      args: { ...GOOD_MAP, length: 2n * PAGE },
      options: { lockedPagesLimit: 17 },
    },
    {
      name: 'missing memory without a domain',
      code: 'none',
      args: { ...GOOD_MAP, userVa: MISSING + 1n, iova: 3n },
      before: withoutDomain,
    },
    { name: 'a fixed IOVA', code: 'none', args: GOOD_MAP, out: { iova: 0n } },
    { name: 'automatic', code: 'none', args: { ...GOOD_MAP, flags: RW, iova: 5n }, out: { iova: PAGE } },
    { name: 'automatic, too long', code: 'EOVERFLOW', args: { ...GOOD_MAP, flags: RW, length: 2n ** 63n } },
    {
      name: 'automatic, less aligned than the IOAS',
      code: 'EINVAL',
      args: { ...GOOD_MAP, flags: RW, userVa: RAM + 1n },
    },
    { name: 'automatic, no room', code: 'ENOSPC', args: { ...GOOD_MAP, flags: RW, length: 2n ** 48n } },
  ],
  ioasCopy: [
    { name: 'an unknown flag', code: 'EOPNOTSUPP', args: { ...GOOD_COPY, flags: 8, srcIova: MAX } },
    { name: 'length 2^64 - 1', code: 'EOVERFLOW', args: { ...GOOD_COPY, flags: 0, length: MAX } },
    { name: 'srcIova 2^64 - 1', code: 'EOVERFLOW', args: { ...GOOD_COPY, flags: 0, srcIova: MAX } },
    { name: 'dstIova 2^64 - 1', code: 'EOVERFLOW', args: { ...GOOD_COPY, flags: 0, dstIova: MAX } },
    { name: 'no access', code: 'EINVAL', args: { ...GOOD_COPY, flags: FIXED, srcIoasId: NOWHERE } },
    { name: 'no such source', code: 'ENOENT', args: { ...GOOD_COPY, srcIoasId: NOWHERE, length: 0n } },
    { name: 'length 0', code: 'EINVAL', args: { ...GOOD_COPY, length: 0n, dstIoasId: NOWHERE } },
    { name: 'a source beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD_COPY, srcIova: TOP - 2n, length: 3n } },
    {
      name: 'a hole in the source',
      code: 'ENOENT',
      args: { ...GOOD_COPY, srcIova: MIB + 15n * PAGE, length: 2n * PAGE },
    },
    {
      name: 'a source that begins in a hole',
      code: 'ENOENT',
      args: { ...GOOD_COPY, srcIova: MIB - PAGE, length: 2n * PAGE },
    },
    { name: 'no such destination', code: 'ENOENT', args: { ...GOOD_COPY, dstIoasId: NOWHERE, length: 1n } },
    { name: 'length not aligned', code: 'EINVAL', args: { ...GOOD_COPY, length: 1n } },
    { name: 'iova not aligned', code: 'EINVAL', args: { ...GOOD_COPY, dstIova: 1n } },
    { name: 'reserved IOVAs', code: 'EINVAL', args: { ...GOOD_COPY, dstIova: 2n ** 48n } },
    { name: 'mapped IOVAs', code: 'EEXIST', args: { ...GOOD_COPY, dstIoasId: ID.ioas, dstIova: MIB } },
    {
      name: 'writing what was mapped for reading',
      code: 'EPERM',
      args: { ...GOOD_COPY, srcIova: 0n },
      before: ({ fd }) => fd.ioasMap({ ...GOOD_MAP, flags: READABLE | FIXED, userVa: READ_ONLY }),
    },
    {
      name: 'reading what was mapped for writing',
      code: 'none',
      args: { ...GOOD_COPY, srcIova: 0n, flags: READABLE | FIXED },
      before: ({ fd }) => fd.ioasMap({ ...GOOD_MAP, flags: WRITEABLE | FIXED }),
    },
    { name: 'a part', code: 'none', args: { ...GOOD_COPY, srcIova: MIB + 3n * PAGE }, out: { dstIova: 0n } },
    { name: 'within one IOAS', code: 'none', args: { ...GOOD_COPY, dstIoasId: ID.ioas } },
    {
      name: 'several areas to an automatic IOVA',
      code: 'none',
      args: { ...GOOD_COPY, flags: RW, srcIova: MIB - PAGE, length: 3n * PAGE },
      before: ({ fd }) => fd.ioasMap({ ...GOOD_MAP, userVa: RAM + PAGE, iova: MIB - PAGE }),
      out: { dstIova: PAGE },
    },
  ],
  ioasUnmap: [
    { name: 'no such IOAS', code: 'ENOENT', args: { ioasId: NOWHERE, iova: MAX } },
    { name: 'iova 2^64 - 1', code: 'EOVERFLOW', args: { ioasId: ID.ioas, iova: MAX } },
    { name: 'length 2^64 - 1', code: 'EOVERFLOW', args: { ioasId: ID.ioas, iova: 1, length: MAX } },
    { name: 'length 0', code: 'EINVAL', args: { ioasId: ID.ioas, iova: MIB } },
    { name: 'an end beyond 2^64', code: 'EOVERFLOW', args: { ioasId: ID.ioas, iova: TOP - 2n, length: 3n } },
    {
      name: 'an area that begins before',
      code: 'ENOENT',
      args: { ioasId: ID.ioas, iova: MIB + 1n, length: 16n * PAGE },
    },
    { name: 'an area that ends behind', code: 'ENOENT', args: { ioasId: ID.ioas, iova: 0n, length: MIB + PAGE } },
    { name: 'nothing there', code: 'ENOENT', args: { ioasId: ID.ioas, iova: 0n, length: MIB } },
    {
      name: 'everything of nothing',
      code: 'none',
      args: { ioasId: ID.other, iova: 0n, length: MAX },
      out: { length: 0n },
    },
    { name: 'everything', code: 'none', args: { ioasId: ID.ioas, iova: 0n, length: MAX }, out: { length: 16n * PAGE } },
    {
      name: 'an area with holes around',
      code: 'none',
      args: { ioasId: ID.ioas, iova: 3n, length: 9n * MIB },
      out: { length: 16n * PAGE },
    },
  ],
  option: [
    { name: 'reserved', code: 'EOPNOTSUPP', args: { optionId: 1, __reserved: 1, objectId: NOWHERE } },
    { name: 'an unknown option', code: 'EOPNOTSUPP', args: { optionId: 2 } },
    { name: 'RLIMIT_MODE of an object', code: 'EOPNOTSUPP', args: { optionId: 0, objectId: ID.ioas, op: 1 } },
    { name: 'RLIMIT_MODE, neither set nor get', code: 'EOPNOTSUPP', args: { optionId: 0, op: 2 } },
    {
      name: 'RLIMIT_MODE without the capability',
      code: 'EPERM',
      args: { optionId: 0, val64: 5n },
      options: { capSysResource: false },
    },
    { name: 'RLIMIT_MODE with objects', code: 'EBUSY', args: { optionId: 0, val64: 5n } },
    { name: 'RLIMIT_MODE', code: 'none', args: { optionId: 0, op: 1 }, out: { val64: 0n } },
    {
      name: 'RLIMIT_MODE of the VFIO node',
      code: 'none',
      args: { optionId: 0, op: 1 },
      options: { node: '/dev/vfio/vfio' },
      out: { val64: 1n },
    },
    { name: 'HUGE_PAGES of no IOAS', code: 'ENOENT', args: { optionId: 1, objectId: ID.hwpt, op: 2 } },
    { name: 'HUGE_PAGES, neither set nor get', code: 'EOPNOTSUPP', args: { optionId: 1, objectId: ID.ioas, op: 2 } },
    { name: 'HUGE_PAGES 2', code: 'EINVAL', args: { optionId: 1, objectId: ID.ioas, val64: 2n } },
    { name: 'no HUGE_PAGES with mapped areas', code: 'EINVAL', args: { optionId: 1, objectId: ID.ioas } },
    { name: 'HUGE_PAGES again', code: 'none', args: { optionId: 1, objectId: ID.ioas, val64: 1n } },
    { name: 'no HUGE_PAGES without areas', code: 'none', args: { optionId: 1, objectId: ID.ioas }, before: bare },
    {
      name: 'no HUGE_PAGES with an unaligned area',
      code: 'EADDRINUSE',
      args: { optionId: 1, objectId: ID.ioas },
      before: inTurn(withoutDomain, ({ fd }) => fd.ioasMap({ ...GOOD_MAP, length: 1n })),
    },
    { name: 'HUGE_PAGES', code: 'none', args: { optionId: 1, objectId: ID.ioas, op: 1 }, out: { val64: 1n } },
  ],
  vfioIoas: [
    { name: 'reserved', code: 'EOPNOTSUPP', args: { __reserved: 1, op: 9 } },
    { name: 'an unknown op', code: 'EOPNOTSUPP', args: { op: 3 } },
    { name: 'none set', code: 'ENODEV', args: { op: 0 } },
    { name: 'no IOAS', code: 'ENOENT', args: { op: 1, ioasId: ID.hwpt } },
    { name: 'set', code: 'none', args: { op: 1, ioasId: ID.ioas } },
    { name: 'clear what is empty', code: 'none', args: { op: 2 } },
    {
      name: 'get',
      code: 'none',
      args: { op: 0 },
      before: ({ fd }) => fd.vfioIoas({ op: 1, ioasId: ID.other }),
      out: { ioasId: ID.other },
    },
    {
      name: 'one that was destroyed',
      code: 'ENODEV',
      args: { op: 0 },
      before: inTurn(
        ({ fd }) => fd.vfioIoas({ op: 1, ioasId: ID.ioas }),
        withoutDomain,
        ({ fd }) => fd.destroy({ id: ID.ioas }),
      ),
    },
  ],
  hwptAlloc: [
    { name: 'reserved', code: 'EOPNOTSUPP', args: { __reserved: 1, dataLen: 1 } },
    { name: 'data without a type', code: 'EINVAL', args: { devId: NOWHERE, dataLen: 1 } },
    { name: 'a type without data', code: 'EINVAL', args: { devId: NOWHERE, dataType: 1 } },
    { name: 'no device', code: 'ENOENT', args: { devId: ID.ioas, ptId: NOWHERE } },
    { name: 'no such ptId', code: 'EINVAL', args: { devId: ID.device, ptId: NOWHERE, flags: 64 } },
    { name: 'ptId of a device', code: 'EINVAL', args: { devId: ID.device, ptId: ID.device, flags: 64 } },
    { name: 'ptId of a nested HWPT', code: 'EINVAL', args: { devId: ID.device, ptId: ID.nested, ...VTD_S1 } },
    { name: 'an unknown flag', code: 'EOPNOTSUPP', args: { devId: ID.device, ptId: ID.ioas, flags: 16 } },
    { name: 'PASID before its time', code: 'EOPNOTSUPP', args: { devId: ID.device, ptId: ID.ioas, flags: 8 } },
    {
      name: 'a fault queue before its time',
      code: 'EOPNOTSUPP',
      args: { devId: ID.device, ptId: ID.ioas, flags: 4, faultId: ID.fault },
    },
    {
      name: 'a fault queue of a nest parent',
      code: 'EOPNOTSUPP',
      args: { devId: ID.device, ptId: ID.ioas, flags: 5, faultId: ID.fault },
      options: NEXT,
    },
    {
      name: 'no such fault queue',
      code: 'ENOENT',
      args: { devId: ID.device, ptId: ID.ioas, flags: 4, faultId: ID.ioas },
      options: NEXT,
    },
    {
      name: 'a fault queue',
      code: 'none',
      args: { devId: ID.device, ptId: ID.ioas, flags: 4, faultId: ID.fault },
      options: NEXT,
      out: { outHwptId: 9 },
    },
    {
      name: 'PASID on a device without',
      code: 'EOPNOTSUPP',
      args: { devId: ID.device, ptId: ID.ioas, flags: 8 },
      options: NEXT,
    },
    {
      name: 'PASID',
      code: 'none',
      args: { devId: ID.device, ptId: ID.ioas, flags: 8 },
      options: NEXT,
      capabilities: { nesting: 'vtd-s1', pasidBits: 16 },
    },
    { name: 'data on an IOAS', code: 'EOPNOTSUPP', args: { devId: ID.device, ptId: ID.ioas, ...VTD_S1 } },
    {
      name: 'tracking and nesting',
      code: 'none',
      args: { devId: ID.device, ptId: ID.ioas, flags: 3 },
      out: { outHwptId: 9 },
    },
    {
      name: 'without flags',
      code: 'none',
      args: { devId: ID.device, ptId: ID.ioas, faultId: NOWHERE, __reserved2: 7 },
      out: { outHwptId: 9 },
    },
    { name: 'nested with a flag', code: 'EOPNOTSUPP', args: { devId: ID.device, ptId: ID.hwpt, flags: 2, ...VTD_S1 } },
    { name: 'nested without data', code: 'EOPNOTSUPP', args: { devId: ID.device, ptId: ID.hwpt } },
    {
      name: 'nested on no nest parent',
      code: 'EINVAL',
      args: { devId: ID.device, ptId: ID.hwpt, ...VTD_S1, dataType: 7 },
    },
    {
      name: 'nested with another type',
      code: 'EOPNOTSUPP',
      args: { devId: ID.device, ptId: ID.parent, ...VTD_S1, dataType: 7, dataLen: 1 },
    },
    {
      name: 'nested with short data',
      code: 'EINVAL',
      args: { devId: ID.device, ptId: ID.parent, ...VTD_S1, dataLen: 23, dataUptr: MISSING },
    },
    {
      name: 'nested with missing data',
      code: 'EFAULT',
      args: { devId: ID.device, ptId: ID.parent, ...VTD_S1, dataUptr: MISSING },
    },
    {
      name: 'nested with a tail',
      code: 'E2BIG',
      args: { devId: ID.device, ptId: ID.parent, ...VTD_S1, dataLen: 32 },
      before: user([0n, 0n, 0n, 1n]),
    },
    {
      name: 'nested with a tail of zeros',
      code: 'none',
      args: { devId: ID.device, ptId: ID.parent, ...VTD_S1, dataLen: 32 },
    },
    {
      name: 'nested, no such fault queue',
      code: 'ENOENT',
      args: { devId: ID.device, ptId: ID.parent, flags: 4, ...VTD_S1 },
    },
    {
      name: 'nested with a fault queue',
      code: 'none',
      args: { devId: ID.device, ptId: ID.parent, flags: 4, faultId: ID.fault, ...VTD_S1 },
      out: { outHwptId: 9 },
    },
  ],
  hwptSetDirtyTracking: [
    { name: 'an unknown flag', code: 'EOPNOTSUPP', args: { flags: 2, hwptId: NOWHERE } },
    { name: 'no such HWPT', code: 'ENOENT', args: { hwptId: NOWHERE } },
    { name: 'a nested HWPT', code: 'ENOENT', args: { hwptId: ID.nested } },
    { name: 'an HWPT that cannot track', code: 'EOPNOTSUPP', args: { flags: 1, hwptId: ID.parent } },
    { name: 'off, of an HWPT that cannot track', code: 'EOPNOTSUPP', args: { hwptId: ID.parent } },
    { name: 'on, reserved or not', code: 'none', args: { flags: 1, hwptId: ID.hwpt, __reserved: 7 } },
    { name: 'off', code: 'none', args: { hwptId: ID.hwpt } },
  ],
  hwptGetDirtyBitmap: [
    { name: 'an unknown flag', code: 'EOPNOTSUPP', args: { ...GOOD_QUERY, flags: 2, hwptId: NOWHERE } },
    { name: 'reserved', code: 'EOPNOTSUPP', args: { ...GOOD_QUERY, __reserved: 1, hwptId: NOWHERE } },
    { name: 'no such HWPT', code: 'ENOENT', args: { ...GOOD_QUERY, hwptId: NOWHERE, length: 0n } },
    { name: 'a nested HWPT', code: 'ENOENT', args: { ...GOOD_QUERY, hwptId: ID.nested, length: 0n } },
    { name: 'length 0', code: 'EINVAL', args: { ...GOOD_QUERY, iova: MAX, length: 0n } },
    { name: 'an end beyond 2^64', code: 'EOVERFLOW', args: { ...GOOD_QUERY, iova: MAX, length: 2n } },
    { name: 'iova not aligned', code: 'EINVAL', args: { ...GOOD_QUERY, iova: MIB + 2048n, pageSize: 1n } },
    { name: 'an end that is not aligned', code: 'EINVAL', args: { ...GOOD_QUERY, length: 2048n, pageSize: 1n } },
    { name: 'pageSize 0', code: 'EINVAL', args: { ...GOOD_QUERY, pageSize: 0n } },
    {
      name: 'iova no multiple of pageSize',
      code: 'EINVAL',
      args: { ...GOOD_QUERY, iova: MIB + PAGE, pageSize: 2n * PAGE, hwptId: ID.parent },
    },
    {
      name: 'iova with a bit of pageSize - 1',
      code: 'EINVAL',
      args: { ...GOOD_QUERY, iova: MIB + 2n * PAGE, length: 2n * PAGE, pageSize: 3n * PAGE },
    },
    { name: 'an HWPT that cannot track', code: 'EOPNOTSUPP', args: { ...GOOD_QUERY, hwptId: ID.parent } },
    { name: 'tracking off', code: 'EINVAL', args: { ...GOOD_QUERY, iova: 0n, data: MISSING } },
    { name: 'a hole', code: 'EINVAL', args: { ...GOOD_QUERY, length: 17n * PAGE, data: MISSING }, before: track },
    { name: 'a query in a hole', code: 'EINVAL', args: { ...GOOD_QUERY, iova: 0n, data: MISSING }, before: track },
    { name: 'a bitmap that is missing', code: 'EFAULT', args: { ...GOOD_QUERY, data: MISSING }, before: track },
    { name: 'a bitmap that is read-only', code: 'EFAULT', args: { ...GOOD_QUERY, data: READ_ONLY }, before: track },
    {
      name: 'a bitmap beyond the end',
      code: 'EFAULT',
      args: { ...GOOD_QUERY, data: BUFFER + BUFFER_BYTES - 1n },
      before: track,
    },
    { name: 'a bitmap beyond 2^64', code: 'EFAULT', args: { ...GOOD_QUERY, data: MAX }, before: track },
    { name: 'all well', code: 'none', args: { ...GOOD_QUERY, data: BUFFER + BUFFER_BYTES - 2n }, before: track },
    { name: 'odd pages', code: 'none', args: { ...GOOD_QUERY, length: PAGE, pageSize: 0x300n }, before: track },
    {
      name: 'the last page of 64 bits on an HWPT without it',
      code: 'EINVAL',
      args: { ...GOOD_QUERY, iova: TOP - PAGE, length: PAGE },
      before: track,
    },
  ],
  hwptInvalidate: [
    {
      name: 'reserved',
      code: 'EOPNOTSUPP',
      args: { ...GOOD_INVALIDATE, __reserved: 1, dataUptr: 0n },
      out: { entryNum: 0 },
    },
    {
      name: 'no pointer',
      code: 'EINVAL',
      args: { ...GOOD_INVALIDATE, dataUptr: 0n, hwptId: NOWHERE },
      out: { entryNum: 0 },
    },
    { name: 'no length', code: 'EINVAL', args: { ...GOOD_INVALIDATE, entryLen: 0, hwptId: NOWHERE } },
    { name: 'a length beyond a page', code: 'EINVAL', args: { ...GOOD_INVALIDATE, entryLen: 4097, hwptId: NOWHERE } },
    { name: 'too many commands', code: 'EINVAL', args: { ...GOOD_INVALIDATE, entryNum: 2 ** 19 + 1, hwptId: NOWHERE } },
    {
      name: 'no limit later',
      code: 'ENOENT',
      args: { ...GOOD_INVALIDATE, entryNum: 2 ** 19 + 1, hwptId: NOWHERE },
      options: NEXT,
    },
    { name: 'no such HWPT', code: 'ENOENT', args: { ...GOOD_INVALIDATE, hwptId: NOWHERE }, out: { entryNum: 0 } },
    { name: 'a paging HWPT', code: 'ENOENT', args: { ...GOOD_INVALIDATE, hwptId: ID.hwpt } },
    { name: 'a paging HWPT later', code: 'EINVAL', args: { ...GOOD_INVALIDATE, hwptId: ID.hwpt }, options: NEXT },
    { name: 'another type', code: 'EINVAL', args: { ...GOOD_INVALIDATE, dataType: 1, entryNum: 0 } },
    { name: 'a probe', code: 'none', args: { hwptId: ID.nested } },
    { name: 'short commands', code: 'EINVAL', args: { ...GOOD_INVALIDATE, entryLen: 23 }, out: { entryNum: 0 } },
    {
      name: 'missing commands',
      code: 'EFAULT',
      args: { ...GOOD_INVALIDATE, dataUptr: BUFFER + BUFFER_BYTES - 24n },
      out: { entryNum: 1 },
    },
    {
      name: 'an unknown flag',
      code: 'EOPNOTSUPP',
      args: GOOD_INVALIDATE,
      before: user([0n, 1n, 1n, 0n, 1n, 2n]),
      out: { entryNum: 1 },
    },
    {
      name: 'an address that is not aligned',
      code: 'EINVAL',
      args: GOOD_INVALIDATE,
      before: user([0n, 1n, 0n, 8n, 1n, 1n]),
      out: { entryNum: 1 },
    },
    {
      name: 'all pages from an address on',
      code: 'EINVAL',
      args: GOOD_INVALIDATE,
      before: user([PAGE, MAX, 0n]),
      out: { entryNum: 0 },
    },
    {
      name: 'all pages',
      code: 'none',
      args: GOOD_INVALIDATE,
      before: user([0n, MAX, 0n, PAGE, 1n, 1n]),
      out: { entryNum: 2 },
    },
  ],
  getHwInfo: [
    { name: 'a flag', code: 'EOPNOTSUPP', args: { flags: 1, devId: NOWHERE } },
    { name: 'reserved', code: 'EOPNOTSUPP', args: { outMaxPasidLog2: 1, devId: NOWHERE } },
    { name: 'another type', code: 'EOPNOTSUPP', args: { flags: 1, devId: ID.device, outDataType: 9 }, options: NEXT },
    { name: 'no device', code: 'ENOENT', args: { devId: ID.ioas, dataLen: 8, dataUptr: MISSING } },
    { name: 'a buffer that is missing', code: 'EFAULT', args: { devId: ID.device, dataLen: 8, dataUptr: MISSING } },
    {
      name: 'a buffer that ends',
      code: 'EFAULT',
      args: { devId: ID.device, dataLen: 8, dataUptr: BUFFER + BUFFER_BYTES - 7n },
    },
    {
      name: 'no buffer',
      code: 'none',
      args: { devId: ID.device },
      out: { dataLen: 0, outDataType: 0, outMaxPasidLog2: 0, outCapabilities: 1n },
    },
    {
      name: 'PASIDs',
      code: 'none',
      args: { devId: ID.device },
      options: NEXT,
      capabilities: { nesting: 'vtd-s1', pasidBits: 20, pasidPriv: true },
      out: { outMaxPasidLog2: 20, outCapabilities: 5n },
    },
  ],
  faultQueueAlloc: [
    { name: 'a flag', code: 'EOPNOTSUPP', args: { flags: 1 } },
    { name: 'all well', code: 'none', args: {}, out: { outFaultId: 9, outFaultFd: FAULT_FD + 1 } },
  ],
};

const rows = Object.entries(TABLE).flatMap(([command, cases]) =>
  cases.map((each) => ({ command: command as CommandName, ...each })),
);

describe('errnos of iommufd', () => {
  it.each(rows)('$command, $name: $code', ({ command, code, args, out, options, capabilities, before }) => {
    const fresh = () => {
      const made = rig(options);
      devices.set(made, furnish(made, capabilities ? { capabilities } : {}));
      before?.(made);
      return made;
    };
    const found = throughBoth(fresh, command, args);
    expect(found.ioctl).toEqual(found.methods);
    expect(found.methods.code).toBe(code);
    expect(found.methods.out).toMatchObject(out ?? {});
  });

  it('gives flags and capabilities that a device lacks', () => {
    const made = rig();
    furnish(made, { capabilities: { nesting: 'vtd-s1' } });
    const { fd, iommu } = made;
    const bind = (capabilities: Capabilities) =>
      fd.bind({ iommu, requesterId: 9, domain: { format: 'vtdss' }, capabilities }).devId;
    const dull = bind({ dirtyTracking: false });
    const plain = bind({ flaggedAllocation: false });
    const tries: [number, number, string][] = [
      [dull, 2, 'EOPNOTSUPP'],
      [dull, 1, 'EOPNOTSUPP'],
      [plain, 2, 'EOPNOTSUPP'],
      [plain, 0, 'none'],
    ];
    for (const [devId, flags, code] of tries) {
      expect(throughOne(() => fd.hwptAlloc({ devId, flags, ptId: ID.ioas }))).toBe(code);
    }
    expect(fd.getHwInfo({ devId: dull }).outCapabilities).toBe(0n);
  });
});

function throughOne(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}
