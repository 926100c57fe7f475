import { IommuError } from '../errno/error.ts';
import type { Steps } from '../schedule/step.ts';
import { ReplyError } from '../uapi/reply-error.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  type IommuHwptAlloc,
  type IommuHwptGetDirtyBitmap,
  type IommuHwptInvalidate,
  type IommuHwptSetDirtyTracking,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import { hex } from '../wasm/address.ts';
import type { Context } from './context.ts';
import type { Device } from './device.ts';
import { readDirty } from './dirty-bitmap.ts';
import type { FaultQueue } from './fault-queue.ts';
import { PagingHwpt } from './hwpt.ts';
import type { Ioas } from './ioas.ts';
import { checkFlags, checkReserved, lastOfRange } from './ioas-commands.ts';
import { stage1Driver } from './nested-data.ts';
import { NestedHwpt, type Hwpt } from './nested-hwpt.ts';

type HwptAlloc = StructOf<typeof IommuHwptAlloc>;

export function hwptAlloc(context: Context, cmd: HwptAlloc) {
  const op = 'hwptAlloc';
  const { objects } = context;
  checkReserved(op, cmd.__reserved);
  if ((cmd.dataType === IOMMU_HWPT_DATA_NONE) !== (cmd.dataLen === 0)) {
    const message = `dataType is ${hex(cmd.dataType)} and dataLen ${cmd.dataLen}; both must be 0, or neither`;
    throw new IommuError('EINVAL', op, message);
  }
  const device = objects.get<Device>(op, 'devId', cmd.devId, 'device');
  const hwpt = makeHwpt(op, context, device, cmd);
  try {
    if (cmd.flags & IOMMU_HWPT_FAULT_ID_VALID) {
      hwpt.fault = objects.get<FaultQueue>(op, 'faultId', cmd.faultId, 'fault');
      hwpt.fault.users++;
    }
  } catch (error) {
    hwpt.destroy();
    throw error;
  }
  return { outHwptId: objects.add(hwpt).id };
}

function makeHwpt(op: string, context: Context, device: Device, cmd: HwptAlloc): Hwpt {
  const parent = context.objects.find(cmd.ptId);
  if (parent?.kind === 'ioas') return makePaging(op, context, device, parent as Ioas, cmd);
  if (parent?.kind === 'hwpt-paging') return makeNested(op, context, device, parent as PagingHwpt, cmd);
  const found = parent ? `the id of a ${parent.kind}` : 'no id of an object';
  throw new IommuError('EINVAL', op, `ptId is ${cmd.ptId}, ${found}; it must be an IOAS or an HWPT of one`);
}

function makePaging(op: string, context: Context, device: Device, ioas: Ioas, cmd: HwptAlloc): PagingHwpt {
  const { flags } = cmd;
  const { capabilities } = device.endpoint;
  const later = context.next ? IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID : 0;
  checkFlags(op, flags, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | later);
  const has = (flag: number) => (flags & flag) !== 0;
  const dirtyTracking = has(IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
  const nestParent = has(IOMMU_HWPT_ALLOC_NEST_PARENT);
  const pasid = has(IOMMU_HWPT_ALLOC_PASID);
  const reason =
    has(IOMMU_HWPT_FAULT_ID_VALID) && nestParent
      ? 'a nest parent has no fault queue'
      : dirtyTracking && !capabilities.dirtyTracking
        ? 'the IOMMU has no dirty tracking for the device'
        : (flags !== 0 || cmd.dataLen !== 0) && !capabilities.flaggedAllocation
          ? 'the driver makes HWPTs without flags and data only'
          : nestParent && !capabilities.nesting
            ? 'the IOMMU has no nested translation for the device'
            : pasid && capabilities.pasidBits === 0
              ? 'the device has no PASIDs'
              : cmd.dataLen !== 0
                ? 'an HWPT on an IOAS takes no data'
                : undefined;
  if (reason) throw new IommuError('EOPNOTSUPP', op, `flags are ${hex(flags)}: ${reason}`);
  const options = { ioas, endpoint: device.endpoint, dirtyTracking, nestParent, pasid };
  const hwpt = new PagingHwpt(op, context, context.objects.nextId(), options);
  try {
    hwpt.enterIoas(op);
  } catch (error) {
    hwpt.destroy();
    throw error;
  }
  return hwpt;
}

function makeNested(op: string, context: Context, device: Device, parent: PagingHwpt, cmd: HwptAlloc): NestedHwpt {
  checkFlags(op, cmd.flags, IOMMU_HWPT_FAULT_ID_VALID | (context.next ? IOMMU_HWPT_ALLOC_PASID : 0));
  const { nesting, flaggedAllocation } = device.endpoint.capabilities;
  if (cmd.dataLen === 0 || !flaggedAllocation) {
    throw new IommuError('EOPNOTSUPP', op, 'a nested HWPT needs data, and a driver that takes them');
  }
  if (!parent.nestParent || !parent.sameDriver(device.endpoint)) {
    const message = `ptId is ${parent.id}; it must be an HWPT made with NEST_PARENT for the same IOMMU`;
    throw new IommuError('EINVAL', op, message);
  }
  if (!nesting || (nesting === 'smmuv3' && !context.next)) {
    throw new IommuError('EOPNOTSUPP', op, 'the IOMMU has no nested translation for the device');
  }
  context.mayFail(op, 'allocate', 'allocating the HWPT');
  context.mayFail(op, 'driver', 'allocating the domain');
  const data = { type: cmd.dataType, length: cmd.dataLen, pointer: cmd.dataUptr };
  const driver = stage1Driver(op, context, nesting, data);
  const pasid = (cmd.flags & IOMMU_HWPT_ALLOC_PASID) !== 0;
  if (pasid && !driver.pasids) {
    throw new IommuError('EOPNOTSUPP', op, `flags are ${hex(cmd.flags)}: PASIDs of ${nesting} are the guest's own`);
  }
  return new NestedHwpt(context.objects.nextId(), parent, driver, pasid);
}

function findPaging(op: string, { objects }: Context, id: number): PagingHwpt {
  return objects.get<PagingHwpt>(op, 'hwptId', id, 'hwpt-paging');
}

function checkTracks(op: string, hwpt: PagingHwpt): void {
  if (hwpt.dirtyTracking) return;
  throw new IommuError('EOPNOTSUPP', op, `HWPT ${hwpt.id} was not made with DIRTY_TRACKING`);
}

export function* hwptSetDirtyTracking(
  context: Context,
  { flags, hwptId }: StructOf<typeof IommuHwptSetDirtyTracking>,
): Steps<void> {
  const op = 'hwptSetDirtyTracking';
  checkFlags(op, flags, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
  const hwpt = findPaging(op, context, hwptId);
  checkTracks(op, hwpt);
  yield* hwpt.setDirtyTrackingSteps(op, flags === IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
}

export function* hwptGetDirtyBitmap(context: Context, cmd: StructOf<typeof IommuHwptGetDirtyBitmap>): Steps<void> {
  const op = 'hwptGetDirtyBitmap';
  const { flags, iova, length, pageSize, data } = cmd;
  checkFlags(op, flags, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
  checkReserved(op, cmd.__reserved);
  const hwpt = findPaging(op, context, cmd.hwptId);
  const last = lastOfRange(op, 'iova', iova, length);
  const range = `[${hex(iova)}, + ${hex(length)})`;
  const ends = iova | ((last + 1n) & ((1n << 64n) - 1n));
  if (ends & (hwpt.ioas.alignment - 1n)) {
    throw new IommuError('EINVAL', op, `${range} must begin and end at multiples of ${hwpt.ioas.alignment}`);
  }
  if (pageSize === 0n) throw new IommuError('EINVAL', op, 'pageSize is 0; it must be at least 1');
  if (ends & (pageSize - 1n)) {
    const message = `${range} must begin and end where pageSize - 1, ${hex(pageSize - 1n)}, has no bits`;
    throw new IommuError('EINVAL', op, message);
  }
  checkTracks(op, hwpt);
  const shift = BigInt((pageSize & -pageSize).toString(2).length - 1);
  yield* readDirty(op, hwpt, { first: iova, last, shift, data, clear: flags === 0 });
}

/** Most bytes of a command, and most commands, that Linux 6.12 takes. */
const INVALIDATE_LIMITS = { entryLen: 4096, entryNum: 2 ** 19 };

function checkInvalidate(op: string, context: Context, cmd: StructOf<typeof IommuHwptInvalidate>): NestedHwpt {
  checkReserved(op, cmd.__reserved);
  if (cmd.entryNum > 0) {
    const { entryLen, entryNum } = context.next ? { entryLen: 2 ** 32, entryNum: 2 ** 32 } : INVALIDATE_LIMITS;
    if (cmd.dataUptr === 0n || cmd.entryLen === 0 || cmd.entryLen > entryLen || cmd.entryNum > entryNum) {
      const right = `dataUptr must not be 0, entryLen be 1 to ${entryLen}, entryNum at most ${entryNum}`;
      throw new IommuError('EINVAL', op, `${cmd.entryNum} commands of ${cmd.entryLen} bytes; ${right}`);
    }
  }
  const object = context.objects.find(cmd.hwptId);
  if (context.next && object && object.kind !== 'hwpt-nested') {
    throw new IommuError('EINVAL', op, `hwptId is ${cmd.hwptId}, the id of a ${object.kind}; it must be a nested HWPT`);
  }
  return context.objects.get<NestedHwpt>(op, 'hwptId', cmd.hwptId, 'hwpt-nested');
}

export function hwptInvalidate(context: Context, cmd: StructOf<typeof IommuHwptInvalidate>) {
  const op = 'hwptInvalidate';
  let done = 0;
  try {
    const { driver, state } = checkInvalidate(op, context, cmd);
    if (driver.invalidateType === undefined) {
      throw new IommuError('EOPNOTSUPP', op, `a nested HWPT of kind ${driver.kind} has no invalidation commands`);
    }
    if (cmd.dataType !== driver.invalidateType) {
      const right = hex(driver.invalidateType);
      throw new IommuError('EINVAL', op, `dataType is ${hex(cmd.dataType)}; this HWPT takes ${right}`);
    }
    const data = { type: cmd.dataType, length: cmd.entryLen, pointer: cmd.dataUptr };
    const domain = state?.kind === 'translate' ? state.domain : undefined;
    for (; done < cmd.entryNum; done++) driver.invalidate(op, context, data, done, domain);
  } catch (error) {
    if (!(error instanceof IommuError)) throw error;
    throw new ReplyError(error.code, op, `command ${done}: ${error.message}`, { entryNum: done });
  }
  return { entryNum: done };
}
