export { open, type Core, type OpenOptions } from './core/core.ts';
export type { Bitmap, BitmapOptions, DrainOptions, PageRun, Run } from './bitmap/bitmap.ts';
export * from './address-space/index.ts';
export * from './device/index.ts';
export * from './iommu/index.ts';
export * from './iommufd/index.ts';
export * from './type1/index.ts';
export * from './vfio/index.ts';
export * as uapi from './uapi/index.ts';
export { ReplyError } from './uapi/reply-error.ts';
export type { UserPointer } from './uapi/user-pointer.ts';
export { IommuError } from './errno/error.ts';
export { ERRNO, type ErrnoCode } from './errno/errno.ts';
export type { Fail, FailPoint } from './errno/fail-point.ts';
export type { Step, Steps } from './schedule/step.ts';
export type { Address } from './wasm/address.ts';
export type { HostMemory } from './wasm/instance.ts';
export type { CoreOptions } from './wasm/instantiate.ts';
export { compare } from './compare/compare.ts';
export type { CompareOptions, Progress } from './compare/options.ts';
export type {
  CompareResult,
  CostParameterResult,
  DeviceStateResult,
  InputSummary,
  MigrationRow,
  ModelledCost,
  OptionsResult,
  QemuChoices,
  Reason,
  ResizeResult,
  ResizeWork,
  RoundResult,
  RowBase,
  WindowsResult,
  WindowsRow,
} from './compare/result.ts';
export { CostModel } from './cost/cost-model.ts';
export { CostError } from './cost/cost-error.ts';
export { QEMU_TRACKERS, type QemuTrackerInfo } from './tracker/qemu.ts';
export type { CostParameter } from './cost/parameters.ts';
export type { PricedWork } from './cost/priced-work.ts';
export { TRACKERS, type MappedContext, type TrackerContext, type TrackerInfo } from './tracker/registry.ts';
export { suffixesOf, type ResizeStrategy, type Suffix } from './tracker/resize-strategy.ts';
export type { Landed, Resizing } from './tracker/resizing.ts';
export type { Claim, IotlbCounters, Tracker, TrackerWork } from './tracker/tracker.ts';
export { toJson } from './report/json.ts';
export { toTable, type TableOptions } from './report/table.ts';
export { conclusion } from './report/conclusion.ts';
export { openTrace, type OpenTraceOptions } from './workload/open-trace.ts';
export type { TraceFormat } from './workload/stored-recording.ts';
export type { BlobLike, ByteStream, ByteStreamReader, TraceSource } from './workload/byte-source.ts';
export { TraceError, type RecordUnit, type TracePlace } from './workload/trace-error.ts';
export { GuestMappings, type GuestMapping } from './workload/guest-mappings.ts';
export type { MappedSpan } from './workload/mapped-spans.ts';
export { FIRST_MAPPING_OP, FIRST_READ_OP, MAP_OP, MAPPING_OPS, OPS, UNMAP_OP } from './workload/recording.ts';
export type {
  CpuWindow,
  EventBatch,
  MappingColumns,
  Phase,
  Recording,
  Segment,
  SegmentOptions,
} from './workload/recording.ts';
export { UsageError } from './units/usage-error.ts';
