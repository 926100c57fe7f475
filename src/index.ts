export { open, type Core, type OpenOptions } from './core/core.ts';
export type { Bitmap, BitmapOptions, DrainOptions, PageRun, Run } from './bitmap/bitmap.ts';
export type { DeviceLog, DeviceLogOptions, IovaRange, ReportOptions } from './device/device-log.ts';
export { READ, WRITE, type FaultReason, type FaultResponse } from './iommu/access.ts';
export type { AtsOptions, AttachOptions } from './iommu/attach-options.ts';
export type { Fault } from './iommu/fault.ts';
export type { FaultPolicy } from './iommu/fault-policy.ts';
export { FORMATS, type FormatInfo, type FormatName, type GranuleName } from './iommu/formats.ts';
export type { InputRange } from './iommu/input-ranges.ts';
export type { Domain, MapOptions, ReadDirtyOptions, Translation, WalkStep } from './iommu/domain.ts';
export type { DomainOptions } from './iommu/domain-options.ts';
export { QUIRKS, type QuirkInfo, type QuirkName, type Quirks } from './iommu/quirks.ts';
export { updatePolicies, type ConflictOutcome, type UpdatePolicy } from './iommu/update-policy.ts';
export { decodeEntry, type DecodedEntry, type DecodedField } from './iommu/entries/decode.ts';
export { encodeEntry, type EntryToEncode } from './iommu/entries/encode.ts';
export type { PlaceOptions } from './iommu/entries/registry.ts';
export {
  GuestPageTable,
  type GuestMapOptions,
  type GuestMemory,
  type GuestPageTableOptions,
} from './iommu/guest-page-table.ts';
export type { NestedDomain, NestedOptions, NestedWalk, NestedWalkStep } from './iommu/nested-domain.ts';
export type { GuestRam, GuestRamOptions } from './address-space/guest-ram.ts';
export type { ReadOrder } from './iommu/dirty-read.ts';
export type { ReportOrder } from './device/device-log.ts';
export type { InvalidateOptions } from './iommu/invalidation.ts';
export type { Iommu } from './iommu/iommu.ts';
export type { CacheCounters, FaultCounters, IommuCounters } from './iommu/iommu-counters.ts';
export type { CacheGeometry, IommuOptions } from './iommu/iommu-options.ts';
export type { PageAnswer, PageRequest, StallAnswer } from './iommu/waiting.ts';
export type { Extent, Requester, WriteLog } from './iommu/requester.ts';
export { IommuError } from './errno/error.ts';
export { ERRNO, type ErrnoCode } from './errno/errno.ts';
export type { Step, Steps } from './schedule/step.ts';
export type { Address } from './wasm/address.ts';
export type { HostMemory } from './wasm/instance.ts';
export { compare } from './compare/compare.ts';
export type { CompareOptions, Progress } from './compare/options.ts';
export type {
  CompareResult,
  CostParameterResult,
  InputSummary,
  MigrationRow,
  ModelledCost,
  OptionsResult,
  Reason,
  RoundResult,
  RowBase,
  WindowsResult,
  WindowsRow,
} from './compare/result.ts';
export { CostModel } from './cost/cost-model.ts';
export { CostError } from './cost/cost-error.ts';
export { TRACKERS, type TrackerInfo } from './tracker/registry.ts';
export type { Claim, IotlbCounters, Tracker, TrackerWork } from './tracker/tracker.ts';
export { toJson } from './report/json.ts';
export { toTable, type TableOptions } from './report/table.ts';
export { conclusion } from './report/conclusion.ts';
export { openTrace, type OpenTraceOptions } from './workload/open-trace.ts';
export type { TraceSource } from './workload/byte-source.ts';
export { TraceError } from './workload/trace-error.ts';
export type { CpuWindow, EventBatch, Phase, Recording, Segment, SegmentOptions } from './workload/recording.ts';
export { UsageError } from './units/usage-error.ts';
export type { DataStream } from './vfio/data-stream.ts';
export { VfioDevice, type LoggingReport, type LoggingStart, type VfioDeviceOptions } from './vfio/device.ts';
export { DEVICE_FEATURES, type DeviceFeature, type FeatureData } from './vfio/device-feature.ts';
export { IDEAL_DEVICE, MLX5_DEVICE, type DeviceProfile, type LogOverflow } from './vfio/device-profile.ts';
export { DeviceState, STATE_NAMES, type DeviceStateName } from './vfio/device-state.ts';
export type { DmaLogging, DmaLoggingOptions } from './vfio/dma-logging.ts';
export { DRIVER_ARCS, driverArcs, sessionOn, type DriverArc } from './vfio/driver-arcs.ts';
export { FileTable } from './vfio/file-table.ts';
export type {
  Arc,
  MigrationDriver,
  MigrationHooks,
  PrecopyInfo,
  ResumeStream,
  SaveStream,
} from './vfio/migration-driver.ts';
export { MigrationMachine } from './vfio/migration-machine.ts';
export { nextState } from './vfio/next-state.ts';
export { VFIO_QUIRKS, type VfioQuirk, type VfioQuirks } from './vfio/quirks.ts';
export { statePath } from './vfio/state-path.ts';
