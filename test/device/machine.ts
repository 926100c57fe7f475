import type { Core } from '../../src/core/core.ts';
import { Bus, type FrameMemory } from '../../src/device/bus.ts';
import { DESCRIPTOR_BYTES, descriptorBytes, type Descriptor } from '../../src/device/descriptor.ts';
import type { DmaDevice } from '../../src/device/dma-device.ts';
import { REGISTERS_BYTES } from '../../src/device/registers.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';

export const RAM_IOVA = 0x100000;
const RAM_PA = 0x40000000n;
export const RAM_BYTES = 0x20000;
/** Device n has its BAR there; the domain maps it at the same IOVA. */
export const BAR = 0x80000000;
export const BAR_STRIDE = 0x1000000;

/** Guest RAM as one array; frames elsewhere there are none. */
export class Ram implements FrameMemory {
  readonly bytes = new Uint8Array(RAM_BYTES);

  readFrame(pa: bigint, into: Uint8Array): boolean {
    const at = Number(pa - RAM_PA);
    if (at < 0 || at + into.length > RAM_BYTES) return false;
    into.set(this.bytes.subarray(at, at + into.length));
    return true;
  }

  writeFrame(pa: bigint, from: Uint8Array): boolean {
    const at = Number(pa - RAM_PA);
    if (at < 0 || at + from.length > RAM_BYTES) return false;
    this.bytes.set(from, at);
    return true;
  }
}

export interface MachineOptions {
  readonly devices?: number;
  readonly memory?: number;
  readonly queues?: number;
  readonly type?: number;
}

/**
 * A guest with RAM and devices in one domain; queue q of device n lies in RAM behind those before it, 8 descriptors
 * each.
 */
export class Machine {
  readonly ram = new Ram();
  readonly bus = new Bus(this.ram);
  readonly iommu: Iommu;
  readonly domain: Domain;
  readonly devices: readonly DmaDevice[];

  constructor(core: Core, options: MachineOptions = {}) {
    const { devices = 1, memory = 8192, queues = 1, type = 1 } = options;
    this.iommu = core.iommu({ iotlb: { sets: 4, ways: 2 }, requests: 1, events: 1 });
    this.domain = this.iommu.domain({ format: 'amdv1' });
    this.domain.map({ iova: RAM_IOVA, pa: RAM_PA, length: RAM_BYTES, access: READ | WRITE });
    this.devices = Array.from({ length: devices }, (_, n) => {
      const bar = BAR + n * BAR_STRIDE;
      this.domain.map({ iova: bar, pa: bar, length: REGISTERS_BYTES + memory, access: READ | WRITE });
      const requester = this.iommu.attach(n, this.domain);
      const device = core.dmaDevice({ requester, bus: this.bus, bar, memory, queues, type });
      device.writeRegister('control', 1);
      for (let q = 0; q < queues; q++) device.setQueue(q, this.queueIova(n, q), QUEUE_SIZE);
      return device;
    });
  }

  /** IOVA of the queue's descriptors. */
  queueIova(device: number, queue: number): number {
    return RAM_IOVA + (device * 4 + queue) * QUEUE_SIZE * DESCRIPTOR_BYTES;
  }

  /** Puts descriptors into a queue and rings its doorbell. */
  order(device: number, queue: number, descriptors: readonly Descriptor[]): void {
    const { devices, ram } = this;
    let tail = devices[device].queueRegister(queue, 'tail');
    for (const descriptor of descriptors) {
      ram.bytes.set(descriptorBytes(descriptor), this.#at(device, queue, tail));
      tail = (tail + 1) % QUEUE_SIZE;
    }
    devices[device].writeQueueRegister(queue, 'tail', tail);
  }

  /** Status and bytes moved of descriptor number `index` of a queue. */
  completion(device: number, queue: number, index: number): [number, number] {
    const view = new DataView(this.ram.bytes.buffer, this.#at(device, queue, index));
    return [view.getUint32(24, true), view.getUint32(28, true)];
  }

  /** The bytes of a device's local memory. */
  memory(device = 0): Buffer {
    const { memory } = this.devices[device];
    return Buffer.from(memory.view(0, memory.bytes));
  }

  #at(device: number, queue: number, index: number): number {
    return this.queueIova(device, queue) - RAM_IOVA + index * DESCRIPTOR_BYTES;
  }
}

export const QUEUE_SIZE = 8;

/** Where in RAM the data of descriptors lie in these tests, behind all queues. */
export const DATA_IOVA = RAM_IOVA + 0x8000;
