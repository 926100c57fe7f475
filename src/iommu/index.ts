/** The IOMMU as hardware: what `core.iommu()` gives, its formats, tables of guests, and the mistakes of drivers. */
export { READ, WRITE, type FaultReason, type FaultResponse } from './access.ts';
export type { AtsOptions, AttachOptions } from './attach-options.ts';
export type { ReadOrder } from './dirty-read.ts';
export type { Domain, MapOptions, ReadDirtyOptions, Translation, WalkStep } from './domain.ts';
export type { DomainOptions } from './domain-options.ts';
export { decodeEntry, type DecodedEntry, type DecodedField } from './entries/decode.ts';
export { encodeEntry, type EntryToEncode } from './entries/encode.ts';
export type { PlaceOptions } from './entries/registry.ts';
export type { Fault } from './fault.ts';
export type { FaultPolicy } from './fault-policy.ts';
export { FORMATS, type FormatInfo, type FormatName, type GranuleName } from './formats.ts';
export {
  GuestPageTable,
  type GuestMapOptions,
  type GuestMemory,
  type GuestPageTableOptions,
} from './guest-page-table.ts';
export type { InputRange } from './input-ranges.ts';
export type { InvalidateOptions } from './invalidation.ts';
export type { Iommu } from './iommu.ts';
export type { CacheCounters, FaultCounters, IommuCounters } from './iommu-counters.ts';
export type { CacheGeometry, IommuOptions, TableMemory } from './iommu-options.ts';
export type { NestedDomain, NestedOptions, NestedWalk, NestedWalkStep } from './nested-domain.ts';
export { QUIRKS, type QuirkInfo, type QuirkName, type Quirks } from './quirks.ts';
export type { Extent, Requester, TranslationDomain, WriteLog } from './requester.ts';
export { updatePolicies, type ConflictOutcome, type UpdatePolicy } from './update-policy.ts';
export type { PageAnswer, PageRequest, StallAnswer } from './waiting.ts';
export type { ResizeCounts } from './resize-counts.ts';
