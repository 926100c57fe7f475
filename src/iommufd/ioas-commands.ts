import { IommuError } from '../errno/error.ts';
import { READ, WRITE } from '../iommu/access.ts';
import { ReplyError } from '../uapi/reply-error.ts';
import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IommuIovaRange,
  type IommuIoasAlloc,
  type IommuIoasAllowIovas,
  type IommuIoasCopy,
  type IommuIoasIovaRanges,
  type IommuIoasMap,
  type IommuIoasUnmap,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import { readUser, writeUser } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import type { Context } from './context.ts';
import { Ioas } from './ioas.ts';
import { mapSlices, slicesOf, unmapRange, userPages } from './ioas-map.ts';
import { ADDRESS_MAX, overlap, type Interval } from './interval.ts';

/** EOPNOTSUPP: `flags` holds others than `known`. */
export function checkFlags(op: string, flags: number, known: number): void {
  if ((flags & ~known) === 0) return;
  throw new IommuError('EOPNOTSUPP', op, `flags are ${hex(flags)}; known are ${hex(known)}`);
}

/** EOPNOTSUPP: a reserved field is not 0. */
export function checkReserved(op: string, reserved: number): void {
  if (reserved === 0) return;
  throw new IommuError('EOPNOTSUPP', op, `__reserved is ${hex(reserved)}; it must be 0`);
}

/** EOVERFLOW: the last address, which no request may name. */
function checkBelowMax(op: string, values: Readonly<Record<string, bigint>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === ADDRESS_MAX) throw new IommuError('EOVERFLOW', op, `${name} is 2^64 - 1; it must be below`);
  }
}

export function findIoas(op: string, { objects }: Context, name: string, id: number): Ioas {
  return objects.get<Ioas>(op, name, id, 'ioas');
}

export function ioasAlloc(context: Context, { flags }: StructOf<typeof IommuIoasAlloc>) {
  const op = 'ioasAlloc';
  checkFlags(op, flags, 0);
  context.mayFail(op, 'allocate', 'allocating the IOAS');
  const { id } = context.objects.add(new Ioas(context, context.objects.nextId()));
  return { outIoasId: id };
}

export function ioasIovaRanges(context: Context, cmd: StructOf<typeof IommuIoasIovaRanges>) {
  const op = 'ioasIovaRanges';
  checkReserved(op, cmd.__reserved);
  const ioas = findIoas(op, context, 'ioasId', cmd.ioasId);
  const ranges = ioas.usable;
  const bytes = new Uint8Array(IommuIovaRange.size);
  ranges.slice(0, cmd.numIovas).forEach(({ first, last }, i) => {
    IommuIovaRange.encode({ start: first, last }, bytes);
    if (writeUser(context.space, cmd.allowedIovas, i * bytes.length, bytes)) return;
    throw new IommuError('EFAULT', op, `range ${i} cannot be written to allowedIovas`);
  });
  const reply = { numIovas: ranges.length, outIovaAlignment: ioas.alignment };
  if (ranges.length <= cmd.numIovas) return reply;
  const message = `numIovas is ${cmd.numIovas}; there are ${ranges.length} ranges`;
  throw new ReplyError('EMSGSIZE', op, message, reply);
}

export function ioasAllowIovas(context: Context, cmd: StructOf<typeof IommuIoasAllowIovas>): void {
  const op = 'ioasAllowIovas';
  checkReserved(op, cmd.__reserved);
  const ioas = findIoas(op, context, 'ioasId', cmd.ioasId);
  const bytes = new Uint8Array(IommuIovaRange.size);
  const allowed: Interval[] = [];
  for (let i = 0; i < cmd.numIovas; i++) {
    if (!readUser(context.space, cmd.allowedIovas, i * bytes.length, bytes)) {
      throw new IommuError('EFAULT', op, `range ${i} cannot be read from allowedIovas`);
    }
    const { start: first, last } = IommuIovaRange.decode(bytes);
    const range = `range ${i}, ${hex(first)} .. ${hex(last)},`;
    if (first >= last) throw new IommuError('EINVAL', op, `${range} must have its start below its last`);
    if (allowed.some((each) => overlap(each, { first, last }))) {
      throw new IommuError('EINVAL', op, `${range} overlaps one before it`);
    }
    context.mayFail(op, 'allocate', 'allocating an allowed range');
    allowed.push({ first, last });
  }
  ioas.allow(op, allowed);
}

const MAP_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;

/** READ, WRITE or both. EINVAL: neither. */
function accessOf(op: string, flags: number): number {
  const access = (flags & IOMMU_IOAS_MAP_READABLE ? READ : 0) | (flags & IOMMU_IOAS_MAP_WRITEABLE ? WRITE : 0);
  if (access !== 0) return access;
  throw new IommuError('EINVAL', op, `flags are ${hex(flags)}; READABLE (4), WRITEABLE (2) or both must be set`);
}

export function ioasMap(context: Context, cmd: StructOf<typeof IommuIoasMap>) {
  const op = 'ioasMap';
  checkFlags(op, cmd.flags, MAP_FLAGS);
  checkReserved(op, cmd.__reserved);
  checkBelowMax(op, { iova: cmd.iova, length: cmd.length });
  const access = accessOf(op, cmd.flags);
  const ioas = findIoas(op, context, 'ioasId', cmd.ioasId);
  const slice = userPages(op, ioas, cmd.userVa, cmd.length, access);
  const iova = cmd.flags & IOMMU_IOAS_MAP_FIXED_IOVA ? cmd.iova : undefined;
  return { iova: mapSlices(op, { ioas, access, iova }, [slice]) };
}

export function ioasCopy(context: Context, cmd: StructOf<typeof IommuIoasCopy>) {
  const op = 'ioasCopy';
  checkFlags(op, cmd.flags, MAP_FLAGS);
  checkBelowMax(op, { length: cmd.length, srcIova: cmd.srcIova, dstIova: cmd.dstIova });
  const access = accessOf(op, cmd.flags);
  const source = findIoas(op, context, 'srcIoasId', cmd.srcIoasId);
  const slices = slicesOf(op, source, cmd.srcIova, lastOfRange(op, 'srcIova', cmd.srcIova, cmd.length));
  const ioas = findIoas(op, context, 'dstIoasId', cmd.dstIoasId);
  const iova = cmd.flags & IOMMU_IOAS_MAP_FIXED_IOVA ? cmd.dstIova : undefined;
  return { dstIova: mapSlices(op, { ioas, access, iova }, slices) };
}

/** EINVAL: no byte; EOVERFLOW: beyond 2^64. */
export function lastOfRange(op: string, name: string, iova: bigint, length: bigint): bigint {
  if (length === 0n) throw new IommuError('EINVAL', op, 'length is 0; it must be at least 1');
  const last = iova + length - 1n;
  if (last <= ADDRESS_MAX) return last;
  throw new IommuError('EOVERFLOW', op, `${name} [${hex(iova)}, + ${hex(length)}) ends beyond 2^64`);
}

export function ioasUnmap(context: Context, { ioasId, iova, length }: StructOf<typeof IommuIoasUnmap>) {
  const op = 'ioasUnmap';
  const ioas = findIoas(op, context, 'ioasId', ioasId);
  if (iova === 0n && length === ADDRESS_MAX) return { length: unmapRange(op, ioas, 0n, ADDRESS_MAX) };
  checkBelowMax(op, { iova, length });
  const unmapped = unmapRange(op, ioas, iova, lastOfRange(op, 'iova', iova, length));
  if (unmapped > 0n) return { length: unmapped };
  throw new IommuError('ENOENT', op, `nothing is mapped in [${hex(iova)}, + ${hex(length)})`);
}
