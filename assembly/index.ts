export { init } from './memory/init';
export { bitmapCreate, bitmapDestroy } from './bitmap/bitmap';
export { bitmapClear, bitmapMark, bitmapMarkList, bitmapTest } from './bitmap/mark';
export { bitmapCount } from './bitmap/count';
export { bitmapRuns } from './bitmap/runs';
export { bitmapOr } from './bitmap/merge';
export { bitmapDrain } from './bitmap/drain';
export { logCreate, logDestroy, logReport } from './tracker/range-log';
export { iommuCreate, iommuDestroy } from './dma/iommu';
export { deviceAttach, deviceCreate, deviceDestroy, deviceLog } from './dma/device';
export { iommuRun } from './dma/batch';
export { deviceAccess } from './dma/access';
export {
  domainCheckMap,
  domainCheckMerge,
  domainCheckSplit,
  domainCreate,
  domainDestroy,
  domainMap,
  domainMerge,
  domainReadDirty,
  domainSetDirty,
  domainSplit,
  domainTrace,
  domainTrack,
  domainTranslate,
  domainUnmap,
} from './pagetable/operations';
export { domainInvalidate } from './iotlb/invalidate';
