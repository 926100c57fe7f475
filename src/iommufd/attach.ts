import { IommuError } from '../errno/error.ts';
import type { Device } from './device.ts';
import { PagingHwpt } from './hwpt.ts';
import type { Ioas } from './ioas.ts';
import { NO_PASID, type Attachment } from './iommu-group.ts';
import type { Hwpt } from './nested-hwpt.ts';

/** What a device is attached to by id: an IOAS or an HWPT. ENOENT: no such object; EINVAL: another kind. */
function target(op: string, { context }: Device, ptId: number): Hwpt | Ioas {
  const object = context.objects.find(ptId);
  if (!object) throw new IommuError('ENOENT', op, `ptId is ${ptId}, no id of an object; it must be an IOAS or an HWPT`);
  if (object.kind === 'ioas') return object as Ioas;
  if (object.kind === 'hwpt-paging' || object.kind === 'hwpt-nested') return object as Hwpt;
  throw new IommuError('EINVAL', op, `ptId is ${ptId}, the id of a ${object.kind}; it must be an IOAS or an HWPT`);
}

/** What the driver and the group say to leading a device into an HWPT. */
function checkFits(op: string, device: Device, pasid: number, hwpt: Hwpt): void {
  const { attachments } = device.group;
  hwpt.checkFits(op, device.endpoint);
  if (pasid === NO_PASID) {
    const pasids = attachments.size > (attachments.has(NO_PASID) ? 1 : 0);
    if (pasids && !hwpt.pasid) {
      throw new IommuError('EINVAL', op, `HWPT ${hwpt.id} was not made for PASIDs, and one is attached`);
    }
    return;
  }
  const whole = attachments.get(NO_PASID)?.hwpt;
  if (!hwpt.pasid || (whole && !whole.pasid)) {
    const which = hwpt.pasid ? `HWPT ${whole!.id}, to which the device is attached,` : `HWPT ${hwpt.id}`;
    throw new IommuError('EINVAL', op, `${which} was not made for PASIDs (flag ALLOC_PASID)`);
  }
  const stage2 = hwpt.kind === 'hwpt-nested' ? hwpt.parent : hwpt;
  const intel = device.endpoint.format.name === 'vtdss' || device.endpoint.format.name === 'x86_64';
  if (intel && stage2.dirtyTracking && !device.context.strict) {
    const message = `HWPT ${stage2.id} tracks dirty pages, which VT-d in Linux does not do for a PASID`;
    throw new IommuError('EINVAL', op, message);
  }
}

function attachTo(op: string, device: Device, pasid: number, hwpt: Hwpt): void {
  const { attachments } = device.group;
  const there = attachments.get(pasid);
  if (there && (there.hwpt !== hwpt || there.devices.has(device))) {
    const who = there.devices.has(device) ? 'the device' : "the device's group";
    throw new IommuError('EINVAL', op, `${who} is attached to HWPT ${there.hwpt.id} already; use replace`);
  }
  if (pasid === NO_PASID) hwpt.ioas.reserve(op, device, device.endpoint.reserved);
  try {
    checkFits(op, device, pasid, hwpt);
    device.context.mayFail(op, 'driver', 'attaching the device');
    device.lead(pasid, hwpt.translation(op, device.endpoint));
  } catch (error) {
    settle(hwpt);
    if (pasid === NO_PASID) hwpt.ioas.release(device);
    throw error;
  }
  const attachment: Attachment = there ?? { hwpt, devices: new Set() };
  attachment.devices.add(device);
  attachments.set(pasid, attachment);
  hwpt.users++;
}

/** Stage 1 goes with its last device. */
function settle(hwpt: Hwpt): void {
  if (hwpt.kind === 'hwpt-nested') hwpt.settle();
}

/** Lets go of an HWPT; one that the kernel made goes with its last device. */
function release({ context }: Device, hwpt: Hwpt, uses: number): void {
  hwpt.users -= uses;
  settle(hwpt);
  if (hwpt.auto && hwpt.users === 1) context.objects.destroy('detach', hwpt);
}

/**
 * An HWPT of the kernel's own for an IOAS, in which `use` is done before the areas are mapped, and undone where they
 * cannot be.
 */
function makeAuto(
  op: string,
  device: Device,
  ioas: Ioas,
  use?: { do(hwpt: PagingHwpt): void; undo(): void },
): PagingHwpt {
  const { context, endpoint } = device;
  const hwpt = new PagingHwpt(op, context, context.objects.nextId(), { ioas, endpoint, auto: true });
  try {
    use?.do(hwpt);
    try {
      hwpt.enterIoas(op);
    } catch (error) {
      use?.undo();
      throw error;
    }
  } catch (error) {
    hwpt.destroy();
    throw error;
  }
  return context.objects.add(hwpt);
}

/** HWPTs that the kernel has made for an IOAS, by age. */
function autosOf({ context }: Device, ioas: Ioas): PagingHwpt[] {
  return [...context.objects].filter(
    (object): object is PagingHwpt => object instanceof PagingHwpt && object.auto && object.ioas === ioas,
  );
}

/** The first of the kernel's HWPTs that works; undefined where each is refused with EINVAL. */
function firstFitting<T>(hwpts: readonly PagingHwpt[], attempt: (hwpt: PagingHwpt) => T): T | undefined {
  for (const hwpt of hwpts) {
    try {
      return attempt(hwpt);
    } catch (error) {
      if (!(error instanceof IommuError) || error.code !== 'EINVAL') throw error;
    }
  }
  return undefined;
}

/** See Device.attach. Returns the id of the HWPT. */
export function attach(op: string, device: Device, pasid: number, ptId: number): number {
  const object = target(op, device, ptId);
  if (object.kind !== 'ioas') {
    attachTo(op, device, pasid, object);
    return object.id;
  }
  const found = firstFitting(autosOf(device, object), (hwpt) => {
    attachTo(op, device, pasid, hwpt);
    return hwpt;
  });
  if (found) return found.id;
  const hwpt = makeAuto(op, device, object, {
    do: (hwpt) => attachTo(op, device, pasid, hwpt),
    undo: () => leave(device, pasid),
  });
  return hwpt.id;
}

/** Takes a device off; what becomes of the HWPT is left to the caller. */
function leave(device: Device, pasid: number): Hwpt {
  const attachment = device.group.attachments.get(pasid)!;
  attachment.devices.delete(device);
  if (attachment.devices.size === 0) device.group.attachments.delete(pasid);
  attachment.hwpt.fault?.giveUp(device, pasid);
  device.lead(pasid, null);
  if (pasid === NO_PASID) attachment.hwpt.ioas.release(device);
  return attachment.hwpt;
}

/** See Device.detach. */
export function detach(op: string, device: Device, pasid: number): void {
  const { attachments } = device.group;
  if (!attachments.get(pasid)?.devices.has(device)) {
    throw new IommuError(
      'EINVAL',
      op,
      pasid === NO_PASID ? 'the device is not attached' : `PASID ${pasid} is not attached`,
    );
  }
  release(device, leave(device, pasid), 1);
}

/** Has all devices of an attachment go over to `hwpt`, or none. */
function replaceBy(op: string, device: Device, pasid: number, attachment: Attachment, hwpt: Hwpt): void {
  const old = attachment.hwpt;
  if (old === hwpt) return;
  const devices = [...attachment.devices];
  const reserves = pasid === NO_PASID && old.ioas !== hwpt.ioas;
  const moved: Device[] = [];
  try {
    for (const each of reserves ? devices : []) hwpt.ioas.reserve(op, each, each.endpoint.reserved);
    for (const each of devices) checkFits(op, each, pasid, hwpt);
    device.context.mayFail(op, 'driver', 'replacing the domain');
    for (const each of devices) {
      each.lead(pasid, hwpt.translation(op, each.endpoint));
      moved.push(each);
    }
  } catch (error) {
    for (const each of moved) each.lead(pasid, old.translation(op, each.endpoint));
    settle(hwpt);
    for (const each of reserves ? devices : []) hwpt.ioas.release(each);
    throw error;
  }
  for (const each of reserves ? devices : []) old.ioas.release(each);
  for (const each of devices) old.fault?.giveUp(each, pasid);
  attachment.hwpt = hwpt;
  hwpt.users += devices.length;
  release(device, old, devices.length);
}

/** See Device.replace. */
export function replace(op: string, device: Device, pasid: number, ptId: number): number {
  const object = target(op, device, ptId);
  const attachment = device.group.attachments.get(pasid);
  if (!attachment?.devices.has(device)) {
    throw new IommuError('EINVAL', op, 'nothing is attached that could be replaced; use attach');
  }
  if (object.kind !== 'ioas') {
    replaceBy(op, device, pasid, attachment, object);
    return object.id;
  }
  const found = firstFitting(autosOf(device, object), (hwpt) => {
    replaceBy(op, device, pasid, attachment, hwpt);
    return hwpt;
  });
  if (found) return found.id;
  const hwpt = makeAuto(op, device, object);
  try {
    replaceBy(op, device, pasid, attachment, hwpt);
  } catch (error) {
    device.context.objects.destroy(op, hwpt);
    throw error;
  }
  return hwpt.id;
}
