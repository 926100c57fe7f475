/** VFIO devices (Linux 6.12): features, DMA logging, and the migration state machine with its data streams. */
export type { IovaRange as LoggedRange } from './combine-ranges.ts';
export type { DataStream } from './data-stream.ts';
export { VfioDevice, type LoggingReport, type LoggingStart, type VfioDeviceOptions } from './device.ts';
export { DEVICE_FEATURES, type DeviceFeature, type FeatureData, type FeatureStruct } from './device-feature.ts';
export { IDEAL_DEVICE, MLX5_DEVICE, type DeviceProfile, type LogOverflow } from './device-profile.ts';
export { DeviceState, STATE_NAMES, type DeviceStateName } from './device-state.ts';
export type { DmaLogging, DmaLoggingOptions, LogQuery } from './dma-logging.ts';
export { DRIVER_ARCS, driverArcs, sessionOn, type DriverArc, type StatePair } from './driver-arcs.ts';
export { FileTable } from './file-table.ts';
export type {
  Arc,
  MigrationDriver,
  MigrationHooks,
  PrecopyInfo,
  ResumeStream,
  SaveStream,
} from './migration-driver.ts';
export { MigrationMachine } from './migration-machine.ts';
export { nextState } from './next-state.ts';
export { VFIO_QUIRKS } from './quirks.ts';
export { statePath } from './state-path.ts';
export { DmaDeviceDriver, type DmaDeviceDriverOptions } from './dma-device-driver.ts';
export { MigratingDevice, type MigratingDeviceOptions } from './migrating-device.ts';
export { chooseTracker, type DirtySource, type TrackerChoice, type TrackingAbilities } from './tracker-choice.ts';
