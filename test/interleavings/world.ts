import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import type { Core } from '../../src/core/core.ts';
import type { DeviceLog } from '../../src/device/device-log.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';
import type { Extent, Requester } from '../../src/iommu/requester.ts';
import { Oracle, type OracleTotals } from '../../src/oracle/oracle.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { PAGE, type Dma, type Order, type Scenario } from './scenario.ts';

/** Where the memory begins as the devices see it, and where it really lies. */
const IOVA = 0x4000_0000;
const PHYSICAL = 0x8000_0000;

/** Far enough for a table of its own. */
const FAR = 0x40_0000;

/** The smallest input widths that hold IOVA: fewer tables, the same code. */
const INPUT_BITS: Record<FormatName, number> = {
  amdv1: 32,
  vtdss: 39,
  x86_64: 48,
  'armv8-s1': 32,
  'armv8-s2': 32,
  riscv: 39,
  mock2k: 32,
};

/** How many of the pages [from, to) are in the set. */
function countPages(words: Uint32Array, from: number, to: number): number {
  let count = 0;
  for (let page = from; page < to; page++) count += (words[page >>> 5] >>> (page & 31)) & 1;
  return count;
}

/** A machine at the beginning of a run: memory, IOMMU, devices, trackers, and the oracle beside them. */
export class World {
  readonly scenario: Scenario;
  readonly order: Order;
  readonly bytes: number;
  readonly iommu: Iommu;
  readonly domain: Domain;
  readonly devices: readonly Requester[];
  readonly into: Bitmap;
  readonly oracle: Oracle;
  /** Queues that have not ended. */
  queuesRunning: number;
  /** The devices have been told to start no more DMA. */
  stopping = false;
  /** Over-reported pages in whose leaf nothing had landed either: a leaf is no excuse for them. */
  unexplained = 0;
  /** DMA to the memory that was refused. */
  faults = 0;
  /** DMA that landed where no mapping says. */
  astray = 0;
  /** Over-reported pages of a first report that may hold what landed while tracking was being switched on. */
  excusedOver = 0;
  readonly #logs: readonly DeviceLog[];
  /** What was dirty in leaves that are not mapped any more, for the next report. */
  readonly #aside: Bitmap;
  /** DMA under way, by leaf; below 0 for one that is being taken away. */
  readonly #busy: number[];
  #tracking = false;

  constructor(core: Core, scenario: Scenario, order: Order) {
    const { mapping, tracker, devices } = scenario;
    this.scenario = scenario;
    this.order = order;
    this.bytes = mapping.leafBytes * mapping.leaves;
    this.iommu = core.iommu({ iotlb: scenario.iotlb, requests: 1, events: 1, ...scenario.hardware?.iommu });
    const { format, granule, update, leafBytes, partBytes = leafBytes } = mapping;
    const leafSizes = [...new Set([partBytes, leafBytes])];
    const { quirks = [] } = scenario;
    const options = { format, dirtyTracking: true, inputBits: INPUT_BITS[format], leafSizes, quirks };
    this.domain = this.iommu.domain({ ...options, ...(granule && { granule }), ...(update && { update }) });
    if (scenario.fromStart) this.domain.setDirtyTracking(false);
    this.domain.map({ iova: IOVA, pa: PHYSICAL, length: this.bytes, access: READ | WRITE });
    const ats = scenario.hardware?.ats;
    this.devices = devices.map((_, i) => this.iommu.attach(i, this.domain, ats ? { ats } : {}));
    const range = { iova: IOVA, length: this.bytes };
    const logs = tracker === 'device-log' ? devices : [];
    this.#logs = logs.map(() => core.deviceLog({ ranges: [range] }, this.iommu));
    this.into = core.bitmap({ start: IOVA, length: this.bytes });
    this.oracle = new Oracle(this.into.pages);
    this.#aside = core.bitmap({ start: IOVA, length: this.bytes });
    this.#busy = Array.from({ length: mapping.leaves }, () => 0);
    this.queuesRunning = devices.flat().length;
    if (scenario.fromStart) return;
    this.#forgetFirstState();
    this.#logs.forEach((log, i) => this.devices[i].logTo(log));
    this.#tracking = true;
  }

  /** IOVA of the byte at `offset`. */
  iova(offset: number): number {
    return IOVA + offset + (this.scenario.far && offset >= this.bytes ? FAR : 0);
  }

  /** Every tracker starts while DMA runs. From its return on, landed writes count. */
  *startTrackingSteps(): Steps<void> {
    yield* this.domain.setDirtyTrackingSteps(true);
    for (const [i, log] of this.#logs.entries()) yield* this.devices[i].logToSteps(log);
    this.#tracking = true;
  }

  /** Whether no DMA is between translation and landing. */
  idle(): boolean {
    return this.iommu.inFlight.landedBefore(this.iommu.inFlight.now());
  }

  /** The bytes of a DMA reach physical memory, or come from it. */
  land(extents: readonly Extent[], { offset: from, access }: Dma): void {
    if (extents.length !== 1 || Number(extents[0].address) !== PHYSICAL + from) this.astray++;
    if (!this.#tracking || access !== WRITE) return;
    for (const { address, length } of extents) {
      const offset = Number(address) - PHYSICAL;
      if (offset >= 0 && offset < this.bytes) this.oracle.landBytes(offset, length);
    }
  }

  /** The tracker's read of the dirty state of all of memory, into `into`. */
  *read(): Steps<void> {
    const { order, into } = this;
    const range = { iova: IOVA, length: this.bytes, into, clear: order !== 'no-clear' };
    const early = order === 'report-before-completion' ? order : 'safe';
    if (this.scenario.tracker === 'device-log') {
      for (const log of this.#logs) yield* log.reportSteps({ ...range, order: early });
      return;
    }
    const misinvalidates = order === 'no-invalidate' || order === 'invalidate-before-clear';
    const { lazy, partBytes } = this.scenario.mapping;
    const splitting = lazy && partBytes && range.clear ? { splitTo: partBytes } : {};
    const { queryBytes = this.bytes } = this.scenario;
    for (let from = 0; from < this.bytes; from += queryBytes) {
      const query = { ...range, iova: IOVA + from, length: Math.min(queryBytes, this.bytes - from) };
      yield* this.domain.readAndClearDirtySteps({ ...query, ...splitting, order: misinvalidates ? order : early });
    }
  }

  #leavesOf({ offset, length }: Dma): number[] {
    const { leafBytes, leaves } = this.scenario.mapping;
    const first = Math.floor(offset / leafBytes);
    const last = Math.min(Math.floor((offset + length - 1) / leafBytes), leaves - 1);
    return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);
  }

  /** Whether nobody is taking a leaf of the DMA away. */
  open(dma: Dma): boolean {
    return this.#leavesOf(dma).every((leaf) => this.#busy[leaf] >= 0);
  }

  /** A DMA to open leaves is under way, or no more. */
  use(dma: Dma, change: 1 | -1): void {
    for (const leaf of this.#leavesOf(dma)) this.#busy[leaf] += change;
  }

  /** Takes a leaf of the memory away, and gives it back. */
  *swapSteps(leaf: number): Steps<void> {
    const { leafBytes } = this.scenario.mapping;
    const iova = IOVA + leaf * leafBytes;
    yield { what: `close leaf ${leaf}`, ready: () => this.#busy[leaf] === 0 };
    this.#busy[leaf] = -1;
    if (this.scenario.swapping !== 'forget') {
      const clear = this.scenario.swapping === 'read-and-clear';
      yield* this.domain.readAndClearDirtySteps({ iova, length: leafBytes, into: this.#aside, clear });
    }
    yield* this.domain.unmapSteps(iova, leafBytes);
    const pa = PHYSICAL + leaf * leafBytes;
    yield* this.domain.mapSteps({ iova, pa, length: leafBytes, access: READ | WRITE });
    yield { what: `open leaf ${leaf}` };
    this.#busy[leaf] = 0;
  }

  /** The read has returned. The pages that it reported. */
  judge(): Uint32Array {
    if (this.scenario.swapping) this.into.or(this.#aside);
    this.#aside.clear();
    const reported = this.into.words().slice();
    const { over } = this.oracle.judge(reported);
    // What landed while tracking was being switched on may be in the first report, and the oracle was not told of it.
    const excused = this.scenario.fromStart && this.oracle.reports === 1;
    if (excused) this.excusedOver = over;
    else this.unexplained += this.#countUnexplained(reported, this.oracle.justified());
    return reported;
  }

  /** What the oracle counted. */
  totals(): OracleTotals {
    return this.oracle.totals();
  }

  /** Maps or unmaps the leaf behind the memory; where that is far away, every other time the one as far behind it. */
  *remapSteps(mapped: boolean, turn: number): Steps<void> {
    const { leafBytes } = this.scenario.mapping;
    const second = this.scenario.far && turn % 2 === 1;
    const iova = this.iova(this.bytes) + (second ? FAR : 0);
    const pa = PHYSICAL + this.bytes + (second ? leafBytes : 0);
    if (mapped) yield* this.domain.mapSteps({ iova, pa, length: leafBytes, access: READ | WRITE });
    else yield* this.domain.unmapSteps(iova, leafBytes);
  }

  /** Makes all leaves of the memory small. */
  splitSteps(): Steps<void> {
    const { leafBytes, partBytes = leafBytes } = this.scenario.mapping;
    return this.domain.splitSteps(IOVA, this.bytes, partBytes);
  }

  /** Makes them large again. */
  mergeSteps(): Steps<void> {
    return this.domain.mergeSteps(IOVA, this.bytes, this.scenario.mapping.leafBytes);
  }

  /** Makes all leaves small, where reads don't, and large again. */
  *resizeSteps(): Steps<void> {
    if (!this.scenario.mapping.lazy) yield* this.splitSteps();
    yield* this.mergeSteps();
  }

  close(): void {
    for (const device of this.devices) device.close();
    for (const log of this.#logs) log.close();
    this.domain.close();
    this.iommu.close();
    this.into.close();
    this.#aside.close();
  }

  /** A domain that tracks from the start has only its own few leaves to clean, not all entries of its tables. */
  #forgetFirstState(): void {
    this.domain.readAndClearDirty({ iova: IOVA, length: this.bytes, into: this.into });
    this.into.clear();
  }

  #countUnexplained(reported: Uint32Array, justified: Uint32Array): number {
    const pagesOfLeaf = this.scenario.tracker === 'iommu' ? this.scenario.mapping.leafBytes / PAGE : 1;
    let count = 0;
    for (let leaf = 0; leaf < this.into.pages; leaf += pagesOfLeaf) {
      if (countPages(justified, leaf, leaf + pagesOfLeaf) === 0) {
        count += countPages(reported, leaf, leaf + pagesOfLeaf);
      }
    }
    return count;
  }
}
