import { IommuError } from '../errno/error.ts';
import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_CAP_PCI_PASID_PRIV,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  type IommuDestroy,
  type IommuFaultAlloc,
  type IommuHwInfo,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import { writeUser } from '../uapi/user-pointer.ts';
import type { Context } from './context.ts';
import type { Device } from './device.ts';
import { FaultQueue } from './fault-queue.ts';
import { checkFlags, checkReserved } from './ioas-commands.ts';

export function destroy(context: Context, { id }: StructOf<typeof IommuDestroy>): void {
  const op = 'destroy';
  const object = context.objects.find(id);
  if (!object) throw new IommuError('ENOENT', op, `id is ${id}; there is no such object`);
  context.objects.destroy(op, object);
}

/** Bytes cleared at a time behind what the driver gives. */
const CLEARED = 4096;

function writeInfo(op: string, context: Context, cmd: StructOf<typeof IommuHwInfo>, data: Uint8Array): void {
  const copied = data.subarray(0, cmd.dataLen);
  let ok = writeUser(context.space, cmd.dataUptr, 0, copied);
  for (let at = copied.length; ok && at < cmd.dataLen; at += CLEARED) {
    ok = writeUser(context.space, cmd.dataUptr, at, new Uint8Array(Math.min(CLEARED, cmd.dataLen - at)));
  }
  if (!ok) throw new IommuError('EFAULT', op, `${cmd.dataLen} bytes cannot be written to dataUptr`);
}

export function getHwInfo(context: Context, cmd: StructOf<typeof IommuHwInfo>) {
  const op = 'getHwInfo';
  checkFlags(op, cmd.flags, context.next ? IOMMU_HW_INFO_FLAG_INPUT_TYPE : 0);
  for (const reserved of cmd.__reserved) checkReserved(op, reserved);
  if (!context.next) checkReserved(op, cmd.outMaxPasidLog2);
  const { hwInfo, capabilities } = context.objects.get<Device>(op, 'devId', cmd.devId, 'device').endpoint;
  if (cmd.flags && cmd.outDataType !== 0 && cmd.outDataType !== hwInfo.type) {
    throw new IommuError('EOPNOTSUPP', op, `outDataType is ${cmd.outDataType}; the device's IOMMU has ${hwInfo.type}`);
  }
  context.mayFail(op, 'allocate', 'allocating the info');
  writeInfo(op, context, cmd, hwInfo.data);
  const { dirtyTracking, pasidBits, pasidExec, pasidPriv } = capabilities;
  const pasid = context.next && pasidBits > 0;
  return {
    dataLen: hwInfo.data.length,
    outDataType: hwInfo.type,
    outMaxPasidLog2: pasid ? pasidBits : 0,
    outCapabilities:
      (dirtyTracking ? IOMMU_HW_CAP_DIRTY_TRACKING : 0n) |
      (pasid && pasidExec ? IOMMU_HW_CAP_PCI_PASID_EXEC : 0n) |
      (pasid && pasidPriv ? IOMMU_HW_CAP_PCI_PASID_PRIV : 0n),
  };
}

export function faultQueueAlloc(context: Context, { flags }: StructOf<typeof IommuFaultAlloc>) {
  const op = 'faultQueueAlloc';
  checkFlags(op, flags, 0);
  context.mayFail(op, 'allocate', 'allocating the fault queue');
  const queue = new FaultQueue(context, context.objects.nextId(), context.takeDescriptor());
  context.objects.add(queue);
  context.files.set(queue.descriptor, queue);
  return { outFaultId: queue.id, outFaultFd: queue.descriptor };
}
