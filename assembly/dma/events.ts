import {
  EVENT_ACCESS,
  EVENT_BYTES,
  EVENT_IOVA,
  EVENT_REASON,
  EVENT_REQUESTER,
  EVENT_STREAM,
  IOMMU_EVENTS,
  IOMMU_EVENTS_LOST,
  IOMMU_EVENT_CAPACITY,
  IOMMU_EVENT_COUNT,
} from '../layout';

/** Records a fault in the IOMMU's event queue; a full queue counts it as lost. */
export function recordFault(
  core: usize,
  iommu: usize,
  reason: u32,
  stream: u32,
  requester: u32,
  iova: u64,
  access: u32,
): void {
  const count = load<u32>(iommu, IOMMU_EVENT_COUNT);
  if (count >= load<u32>(iommu, IOMMU_EVENT_CAPACITY)) {
    store<u32>(iommu, load<u32>(iommu, IOMMU_EVENTS_LOST) + 1, IOMMU_EVENTS_LOST);
    return;
  }
  const at = core + load<u32>(iommu, IOMMU_EVENTS) + count * EVENT_BYTES;
  store<u64>(at, iova, EVENT_IOVA);
  store<u32>(at, reason, EVENT_REASON);
  store<u32>(at, stream, EVENT_STREAM);
  store<u32>(at, access, EVENT_ACCESS);
  store<u32>(at, requester, EVENT_REQUESTER);
  store<u32>(iommu, count + 1, IOMMU_EVENT_COUNT);
}
