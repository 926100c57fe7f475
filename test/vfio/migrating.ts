import type { Core } from '../../src/core/core.ts';
import { TO_IOVA } from '../../src/device/descriptor.ts';
import type { DmaDevice } from '../../src/device/dma-device.ts';
import { IommuError } from '../../src/errno/error.ts';
import { runWhole, type Steps } from '../../src/schedule/step.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { DeviceState } from '../../src/vfio/device-state.ts';
import { DmaDeviceDriver } from '../../src/vfio/dma-device-driver.ts';
import type { DataStream } from '../../src/vfio/data-stream.ts';
import { DATA_IOVA, Machine, RAM_IOVA, type MachineOptions } from '../device/machine.ts';
import { binary, SET, typed } from './doors.ts';

const MIG_DEVICE_STATE = 2;
const { RUNNING, RESUMING, STOP, STOP_COPY } = DeviceState;

/** A guest whose devices are assigned: a VFIO device for each of them. */
export class Guest extends Machine {
  readonly vfio: readonly VfioDevice[];

  constructor(core: Core, flags: number, options: MachineOptions = {}) {
    super(core, options);
    this.vfio = this.devices.map((device) => new VfioDevice({ migration: new DmaDeviceDriver(device, { flags }) }));
  }

  /** Everything that a guest can see: RAM, the devices' memory and registers. */
  get seen(): Buffer {
    const registers = this.devices.flatMap((device) =>
      (['control', 'status', 'interruptStatus', 'interruptMask', 'scratch'] as const).map((name) =>
        device.register(name),
      ),
    );
    const heads = this.devices.flatMap((device) => queuesOf(device).map((q) => device.queueRegister(q, 'head')));
    const memories = this.devices.map((_, n) => this.memory(n));
    return Buffer.concat([this.ram.bytes, ...memories, Buffer.from(Uint32Array.from([...registers, ...heads]).buffer)]);
  }

  /** Executes all that there is to do, on devices that run. */
  finish(): void {
    for (let busy = true; busy;) {
      for (const device of this.devices) device.run();
      busy = this.devices.some((device) => queuesOf(device).some((q) => device.hasWork(q)));
    }
  }
}

export function queuesOf(device: DmaDevice): number[] {
  return Array.from({ length: device.parameters.queues }, (_, q) => q);
}

/** A guest with one device that has something in its memory, and orders to and from RAM. */
export function busyGuest(core: Core, flags: number, options: MachineOptions = {}): Guest {
  const guest = new Guest(core, flags, options);
  const [device] = guest.devices;
  device.memory.fill(0, 4096, (bytes) => bytes.forEach((_, i) => (bytes[i] = i % 64 === 0 ? i / 64 + 1 : 0)));
  device.writeRegister('scratch', 0xfeedf00d);
  for (let i = 0; i < 256; i++) guest.ram.bytes[DATA_IOVA - RAM_IOVA + i] = i + 1;
  guest.order(0, 0, [
    { iova: DATA_IOVA, local: 100, length: 40, flags: 0 },
    { iova: DATA_IOVA + 0x1000, local: 96, length: 60, flags: TO_IOVA },
    { iova: DATA_IOVA + 4, local: 5000, length: 10, flags: 0 },
    { iova: DATA_IOVA + 0x2000, local: 4998, length: 9, flags: TO_IOVA },
  ]);
  return guest;
}

/** Which way a request goes: with methods, or as bytes through the ioctl. */
export type Door = 'typed' | 'binary';

/** Asks for a state: the errno's name or `none`, and the data stream that begins. */
export function ask(door: Door, vfio: VfioDevice, deviceState: number): { code: string; stream?: DataStream } {
  const through = door === 'typed' ? typed : binary;
  const { code, out } = through(vfio, SET | MIG_DEVICE_STATE, { deviceState, dataFd: -1 });
  const fd = (out?.dataFd as number | undefined) ?? -1;
  return fd < 0 ? { code } : { code, stream: vfio.files.get(fd) };
}

/** `ask`, step by step, through the typed door; errors are thrown. */
export function* askSteps(vfio: VfioDevice, deviceState: number): Steps<DataStream | undefined> {
  const out = yield* vfio.deviceFeatureSteps(SET | MIG_DEVICE_STATE, { deviceState, dataFd: -1 });
  return (out.dataFd as number) < 0 ? undefined : vfio.files.get(out.dataFd as number);
}

/** Reads until there is nothing, for now or for good, a piece a step. */
export function* drainSteps(stream: DataStream, parts: Buffer[], size = 700): Steps<void> {
  const into = new Uint8Array(size);
  for (let count = -1; count !== 0;) {
    yield { what: 'read state' };
    count = readNow(stream, into);
    parts.push(Buffer.from(into.subarray(0, count)));
  }
}

/** What there is to read, in one piece. */
export function drain(stream: DataStream, size?: number): Buffer {
  const parts: Buffer[] = [];
  runWhole(drainSteps(stream, parts, size));
  return Buffer.concat(parts);
}

/** read(2), with 0 for ENOMSG. */
function readNow(stream: DataStream, into: Uint8Array): number {
  try {
    return stream.read(into);
  } catch (error) {
    if (error instanceof IommuError && error.code === 'ENOMSG') return 0;
    throw error;
  }
}

/** Writes all of `bytes`, in pieces of these sizes in turn. */
export function fill(stream: DataStream, bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): void {
  for (let at = 0, i = 0; at < bytes.length; i++) at += stream.write(bytes.subarray(at, at + sizes[i % sizes.length]));
}

/** The state of a device that runs, through its fd: it stops for it, and stays so. */
export function imageOf(vfio: VfioDevice): Buffer {
  const { stream } = ask('typed', vfio, STOP_COPY);
  const image = drain(stream!);
  stream!.close();
  ask('typed', vfio, STOP);
  return image;
}

/** Resumes a device with `image`; the errno's name where it is refused. */
export function resume(door: Door, vfio: VfioDevice, image: Uint8Array, sizes?: readonly number[]): string {
  const { stream } = ask(door, vfio, RESUMING);
  fill(stream!, image, sizes);
  const { code } = ask(door, vfio, STOP);
  stream!.close();
  return code;
}

/** Lets a device that is stopped, or resumed, run. */
export function run(vfio: VfioDevice): void {
  vfio.setMigDeviceState({ deviceState: RUNNING });
}
