/** The raw exports of the core (assembly/index.ts). Each returns 0 or more, 1 for "more", or -errno; `core` is the base. */
export type CoreExports = {
  init(core: number, units: number): number;
  bitmapCreate(core: number, pages: number, shift: number): number;
  bitmapDestroy(core: number, bitmap: number): number;
  bitmapClear(core: number, bitmap: number): number;
  bitmapMark(core: number, bitmap: number, first: number, count: number): number;
  bitmapMarkList(core: number, bitmap: number, count: number): number;
  bitmapMarkRanges(core: number, bitmap: number, count: number): number;
  bitmapTest(core: number, bitmap: number, page: number): number;
  bitmapCount(core: number, bitmap: number): number;
  bitmapRuns(core: number, bitmap: number, most: number): number;
  bitmapPages(core: number, bitmap: number, most: number): number;
  bitmapOr(core: number, into: number, from: number): number;
  bitmapDrain(core: number, from: number, into: number, flags: number): number;
  logCreate(core: number, shift: number, ranges: number): number;
  logDestroy(core: number, log: number): number;
  logReport(core: number, log: number, bitmap: number, flags: number, budget: number): number;
  iommuCreate(
    core: number,
    sets: number,
    ways: number,
    requests: number,
    events: number,
    stalls: number,
    pages: number,
    mode: number,
  ): number;
  iommuWalkCache(core: number, iommu: number, sets: number, ways: number): number;
  iommuDestroy(core: number, iommu: number): number;
  iommuRun(core: number, iommu: number, budget: number): number;
  deviceCreate(core: number, iommu: number, requester: number, kind: number): number;
  deviceCache(core: number, device: number, sets: number, ways: number, kind: number): number;
  devicePasid(core: number, device: number, pasid: number): number;
  deviceDestroy(core: number, device: number): number;
  deviceAttach(core: number, device: number, domain: number): number;
  deviceLog(core: number, device: number, log: number): number;
  deviceEndStalls(core: number, device: number): number;
  iommuAnswer(core: number, iommu: number, queue: number, index: number, answer: number): number;
  iommuTakeAnswer(core: number, iommu: number, queue: number, index: number): number;
  iommuEventsTaken(core: number, iommu: number): number;
  iommuInvalidate(core: number, iommu: number, flags: number): number;
  deviceAccess(core: number, device: number, access: number): number;
  deviceHit(core: number, device: number, iova: number, length: number, access: number): number;
  domainCreate(core: number, iommu: number, format: number, inputBits: number, flags: number): number;
  domainDestroy(core: number, domain: number): number;
  domainCheckMap(core: number, domain: number, access: number, budget: number): number;
  domainMap(core: number, domain: number, access: number, budget: number): number;
  domainUnmap(core: number, domain: number, budget: number): number;
  domainTranslate(core: number, domain: number): number;
  domainMapAtOnce(
    core: number,
    domain: number,
    iova: number,
    pa: number,
    length: number,
    access: number,
    budget: number,
  ): number;
  domainUnmapAtOnce(core: number, domain: number, iova: number, length: number, budget: number): number;
  domainUnmapRest(core: number, domain: number, budget: number): number;
  domainReadDirty(core: number, domain: number, bitmap: number, flags: number, budget: number): number;
  domainSetDirty(core: number, domain: number): number;
  domainCheckSplit(core: number, domain: number, shift: number, budget: number): number;
  domainReserve(core: number, domain: number, budget: number): number;
  domainSplit(core: number, domain: number, shift: number, how: number, budget: number): number;
  domainBeginMerge(core: number, domain: number): number;
  domainMerge(core: number, domain: number, shift: number, how: number, budget: number): number;
  domainFold(core: number, domain: number, budget: number): number;
  domainReclaim(core: number, domain: number, budget: number): number;
  domainConfigure(core: number, domain: number, update: number, conflict: number, quirks: number): number;
  domainNest(core: number, parent: number, format: number, inputBits: number, flags: number): number;
  ramCreate(core: number, bytes: number): number;
  ramDestroy(core: number, ram: number): number;
  iommuRam(core: number, iommu: number, ram: number): number;
  iommuTableWrites(core: number, iommu: number, bitmap: number): number;
  domainTrace(core: number, domain: number): number;
  domainTrack(core: number, domain: number, enable: number): number;
  domainIdentify(core: number, domain: number, vmid: number, asid: number): number;
  domainFaults(core: number, domain: number, response: number, silent: number): number;
  domainInvalidateAs(core: number, domain: number, flags: number): number;
  stateCreate(core: number, pages: number): number;
  stateDestroy(core: number, state: number): number;
  stateChecksum(core: number, state: number, length: number): number;
  stateEncode(core: number, source: number, last: number, bitmap: number, budget: number): number;
  stateApply(core: number, target: number, budget: number): number;
};
