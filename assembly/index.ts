export { init } from './memory/init';
export { iommuRam, ramCreate, ramDestroy } from './memory/ram';
export { bitmapCreate, bitmapDestroy } from './bitmap/bitmap';
export { bitmapClear, bitmapMark, bitmapMarkList, bitmapMarkRanges, bitmapTest } from './bitmap/mark';
export { bitmapCount } from './bitmap/count';
export { bitmapRuns } from './bitmap/runs';
export { bitmapPages } from './bitmap/pages';
export { bitmapOr } from './bitmap/merge';
export { bitmapDrain } from './bitmap/drain';
export { logCreate, logDestroy, logReport } from './tracker/range-log';
export { iommuCreate, iommuDestroy, iommuWalkCache, iommuTableWrites } from './dma/iommu';
export { deviceAttach, deviceCache, deviceCreate, deviceDestroy, deviceLog, devicePasid } from './dma/device';
export { iommuRun } from './dma/batch';
export { deviceAccess } from './dma/access';
export { deviceHit } from './dma/hit';
export { deviceEndStalls, iommuAnswer, iommuTakeAnswer } from './dma/answer';
export { iommuEventsTaken } from './dma/events';
export { domainFaults } from './dma/policy';
export { domainMapAtOnce, domainUnmapAtOnce, domainUnmapRest } from './pagetable/at-once';
export {
  domainBeginMerge,
  domainCheckMap,
  domainCheckSplit,
  domainConfigure,
  domainCreate,
  domainDestroy,
  domainFold,
  domainMap,
  domainMerge,
  domainNest,
  domainReadDirty,
  domainReclaim,
  domainReserve,
  domainSetDirty,
  domainSplit,
  domainTrace,
  domainTrack,
  domainTranslate,
  domainUnmap,
} from './pagetable/operations';
export { domainIdentify } from './iotlb/identity';
export { domainInvalidateAs, iommuInvalidate } from './iotlb/invalidate';
export { stateChecksum, stateCreate, stateDestroy } from './state/state-buffer';
export { stateEncode } from './state/encode';
export { stateApply } from './state/apply';
