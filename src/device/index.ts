/** Device models: the log that a device keeps of its writes, and a device with registers, queues and a state to migrate. */
export { Bus, type BarTarget, type FrameMemory } from './bus.ts';
export {
  COMPLETION,
  COMPLETION_OFFSET,
  DESCRIPTOR_BYTES,
  INTERRUPT,
  MAX_TRANSFER,
  TO_IOVA,
  descriptorBytes,
  type Descriptor,
} from './descriptor.ts';
export type { DeviceLog, DeviceLogOptions, IovaRange, ReportOptions, ReportOrder } from './device-log.ts';
export type { DeviceParameters } from './device-parameters.ts';
export type { Activity, DmaDevice, DmaDeviceOptions } from './dma-device.ts';
export type { LoadStream as DeviceLoadStream } from './load-stream.ts';
export type { LocalMemory } from './local-memory.ts';
export { QUEUE_REGISTER, REGISTER, REGISTERS_BYTES, type QueueRegisterName, type RegisterName } from './registers.ts';
export type { PrecopyInfo as DevicePrecopyInfo, SaveStream as DeviceSaveStream } from './save-stream.ts';
export type { RecordCounts } from './state-buffer.ts';
