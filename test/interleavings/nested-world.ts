import type { GuestRam } from '../../src/address-space/guest-ram.ts';
import type { Bitmap } from '../../src/bitmap/bitmap.ts';
import type { Core } from '../../src/core/core.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { Domain } from '../../src/iommu/domain.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import { GuestPageTable } from '../../src/iommu/guest-page-table.ts';
import type { Iommu } from '../../src/iommu/iommu.ts';
import type { NestedDomain } from '../../src/iommu/nested-domain.ts';
import type { Extent, Requester } from '../../src/iommu/requester.ts';
import type { UpdatePolicy } from '../../src/iommu/update-policy.ts';
import { Oracle, type OracleTotals } from '../../src/oracle/oracle.ts';
import { Prng } from '../../src/random/prng.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { HARDWARE, PAGE, type Hardware, type Order } from './scenario.ts';

const KIB = 1024;

/** Where a guest's RAM really lies; for the guest it begins at 0, with its tables. */
const PHYSICAL = 0x8000_0000;
const TABLES = 64 * KIB;
/** Pages that devices are given, behind the tables. */
const BUFFERS = 6;
/** IOVAs that the guest maps them at. */
const IOVA = 0x1234_0000;
const SLOTS = 4;

/** Stage 1 over stage 2, and how the leaves of stage 2 change size. */
export interface Pair {
  readonly name: string;
  readonly first: FormatName;
  readonly second: FormatName;
  /** Bytes of RAM and of a leaf of stage 2, and what it is split into. */
  readonly ramBytes: number;
  readonly leafBytes: number;
  readonly partBytes: number;
  readonly update: UpdatePolicy;
}

const AMD = { first: 'x86_64', second: 'amdv1', ramBytes: 96 * KIB, leafBytes: 32 * KIB } as const;
const ARM = { first: 'armv8-s1', second: 'armv8-s2', ramBytes: 128 * KIB, leafBytes: 64 * KIB } as const;
const VTD = { first: 'x86_64', second: 'vtdss', ramBytes: 2048 * KIB, leafBytes: 2048 * KIB } as const;

export const PAIRS: readonly Pair[] = [
  { ...AMD, partBytes: 16 * KIB, update: 'direct', name: 'x86_64 over amdv1 32K in 16K direct' },
  { ...AMD, partBytes: 4 * KIB, update: 'bbm', name: 'x86_64 over amdv1 32K in 4K bbm' },
  { ...VTD, partBytes: 4 * KIB, update: 'direct', name: 'x86_64 over vtdss 2M in 4K direct' },
  ...(['bbm', 'nt', 'direct2'] as const).map((update) => {
    return { ...ARM, partBytes: 4 * KIB, update, name: `armv8-s1 over armv8-s2 64K in 4K ${update}` };
  }),
];

interface NestedDma {
  readonly slot: number;
  readonly offset: number;
  readonly length: number;
  readonly access: number;
}

/** What devices, the guest, the host and the migration do; the interleaving is left open. */
export interface NestedScenario {
  readonly pair: Pair;
  /** Whether hardware keeps the dirty state of stage 1 too. */
  readonly tracked: boolean;
  readonly devices: readonly (readonly NestedDma[])[];
  /** Mappings that the guest makes (slot and page) or takes back (slot alone), in order. */
  readonly guest: readonly { readonly slot: number; readonly page: number }[];
  readonly resizes: number;
  readonly rounds: number;
  readonly copyPages: number;
  readonly fromStart: false;
  readonly iotlb: { readonly sets: number; readonly ways: number };
  readonly hardware: Hardware | undefined;
}

/** The scenario of a seed: two to three devices, a guest that maps and unmaps, one to three rounds. */
export function nestedScenario(seed: number, pair: Pair, tracked: boolean): NestedScenario {
  const prng = new Prng(seed);
  const dma = (): NestedDma => ({
    slot: prng.below(SLOTS),
    offset: prng.below(PAGE),
    length: [1, 64, PAGE][prng.below(3)],
    access: prng.below(4) === 0 ? READ : WRITE,
  });
  const many = <T>(least: number, more: number, make: () => T) =>
    Array.from({ length: least + prng.below(more) }, () => make());
  return {
    pair,
    tracked,
    devices: many(2, 2, () => many(2, 4, dma)),
    guest: many(2, 5, () => ({ slot: prng.below(SLOTS), page: prng.below(BUFFERS) })),
    resizes: prng.below(2),
    rounds: 1 + prng.below(3),
    copyPages: pair.ramBytes / PAGE,
    fromStart: false,
    iotlb: { sets: 2 ** prng.below(3), ways: 1 + prng.below(3) },
    // Of a walk cache nested walks make no use.
    hardware: [undefined, ...HARDWARE][prng.below(1 + HARDWARE.length)],
  };
}

/** A guest with tables of its own, and a host that migrates it; the oracle beside them knows physical pages alone. */
export class NestedWorld {
  readonly scenario: NestedScenario;
  readonly order: Order;
  readonly iommu: Iommu;
  readonly parent: Domain;
  readonly domain: NestedDomain;
  readonly devices: readonly Requester[];
  readonly into: Bitmap;
  readonly oracle: Oracle;
  queuesRunning: number;
  stopping = false;
  /** DMA that was refused. */
  faults = 0;
  /** DMA that landed elsewhere than in a page that its slot has ever been mapped to. */
  astray = 0;
  /** Tables of the guest that hardware wrote. */
  tableWrites = 0;
  readonly #ram: GuestRam;
  readonly #table: GuestPageTable;
  readonly #written: Bitmap;
  /** The page of each slot, undefined where the guest has mapped none. */
  readonly #mapped: (number | undefined)[] = [];

  constructor(core: Core, scenario: NestedScenario, order: Order) {
    const { pair, tracked, iotlb, hardware } = scenario;
    const { ramBytes, leafBytes, partBytes, update } = pair;
    this.scenario = scenario;
    this.order = order;
    this.#ram = core.ram({ length: ramBytes, pa: PHYSICAL, va: 0 });
    this.iommu = core.iommu({ iotlb, requests: 1, events: 1, ...hardware?.iommu, ram: this.#ram });
    const leafSizes = [partBytes, leafBytes];
    this.parent = this.iommu.domain({ format: pair.second, dirtyTracking: true, inputBits: 39, leafSizes, update });
    this.parent.map({ iova: 0, pa: PHYSICAL, length: ramBytes, access: READ | WRITE });
    const stage1 = { format: pair.first, dirtyTracking: tracked };
    this.#table = new GuestPageTable({ ...stage1, memory: this.#ram, tables: { gpa: 0, length: TABLES } });
    this.domain = this.iommu.nested(this.parent, { ...stage1, root: this.#table.root });
    const ats = hardware?.ats;
    this.devices = scenario.devices.map((_, i) => this.iommu.attach(i, this.domain, ats ? { ats } : {}));
    this.into = core.bitmap({ length: ramBytes });
    this.#written = core.bitmap({ start: PHYSICAL, length: ramBytes });
    this.iommu.logTableWrites(this.#written);
    this.oracle = new Oracle(this.into.pages);
    this.queuesRunning = scenario.devices.length;
    for (let slot = 0; slot < SLOTS - 1; slot++) this.#map(slot, slot);
    this.parent.readAndClearDirty({ iova: 0, length: ramBytes, into: this.into });
    this.into.clear();
  }

  idle(): boolean {
    return this.iommu.inFlight.landedBefore(this.iommu.inFlight.now());
  }

  // eslint-disable-next-line require-yield -- it tracks from the start
  *startTrackingSteps(): Steps<void> {
    throw new Error('a nested world tracks from the start');
  }

  /** The host's read of the dirty state of all of RAM. */
  *read(): Steps<void> {
    const { into, order } = this;
    const wrong = order === 'no-invalidate' || order === 'report-before-completion';
    const query = { iova: 0, length: this.scenario.pair.ramBytes, into };
    yield* this.parent.readAndClearDirtySteps({ ...query, order: wrong ? order : 'safe' });
  }

  judge(): Uint32Array {
    const reported = this.into.words().slice();
    this.oracle.judge(reported);
    return reported;
  }

  totals(): OracleTotals {
    return this.oracle.totals();
  }

  /** One DMA of a device; what hardware writes to tables on the way lands with its translation. */
  *dma(device: Requester, { slot, offset, length, access }: NestedDma): Steps<void> {
    const bytes = Math.min(length, PAGE - offset);
    const pages = new Set<number | undefined>();
    const steps = device.dmaSteps(IOVA + slot * PAGE + offset, bytes, access, (extents) => {
      this.#land(extents, access, pages);
    });
    for (let next = steps.next(); ; next = steps.next()) {
      this.#landTableWrites();
      if (next.done) {
        if (!next.value) this.faults++;
        return;
      }
      yield next.value;
      // Also an old page is right until the guest's invalidation has completed.
      pages.add(this.#mapped[slot]).add(this.#leaving[slot]);
    }
  }

  readonly #leaving: (number | undefined)[] = [];

  #land(extents: readonly Extent[], access: number, pages: ReadonlySet<number | undefined>): void {
    const [{ address, length }] = extents;
    const at = Number(address) - PHYSICAL;
    if (extents.length !== 1 || !pages.has(Math.floor((at - TABLES) / PAGE))) this.astray++;
    if (access === WRITE) this.oracle.landBytes(at, length);
  }

  #landTableWrites(): void {
    if (this.#written.count() === 0) return;
    for (const { page, pages } of this.#written.pageRuns()) {
      const first = page - PHYSICAL / PAGE + (page < PHYSICAL / PAGE ? PHYSICAL / PAGE : 0);
      this.oracle.land(first, first + pages - 1);
      this.tableWrites += pages;
    }
    this.#written.clear();
  }

  #map(slot: number, page: number): void {
    this.#table.map({ iova: IOVA + slot * PAGE, gpa: TABLES + page * PAGE, length: PAGE, access: READ | WRITE });
    this.#mapped[slot] = page;
  }

  /** The guest's driver maps a slot that is free, and takes back one that is not: entry, invalidation, completion. */
  *guestSteps({ slot, page }: { readonly slot: number; readonly page: number }): Steps<void> {
    const iova = IOVA + slot * PAGE;
    if (this.#mapped[slot] === undefined) {
      yield { what: `guest maps slot ${slot} to page ${page}` };
      this.#map(slot, page);
    } else {
      yield { what: `guest unmaps slot ${slot}` };
      this.#table.unmap(iova, PAGE);
      this.#leaving[slot] = this.#mapped[slot];
      this.#mapped[slot] = undefined;
    }
    yield { what: 'guest invalidates' };
    this.domain.invalidate(iova, PAGE);
    const mark = this.iommu.inFlight.now();
    yield { what: 'guest completes', ready: () => this.iommu.inFlight.landedBefore(mark) };
    this.#leaving[slot] = undefined;
  }

  /** Splits the leaves of stage 2, and merges them again. */
  *resizeSteps(): Steps<void> {
    const { ramBytes, leafBytes, partBytes } = this.scenario.pair;
    yield* this.parent.splitSteps(0, ramBytes, partBytes);
    yield* this.parent.mergeSteps(0, ramBytes, leafBytes);
  }

  close(): void {
    for (const device of this.devices) device.close();
    this.domain.close();
    this.parent.close();
    this.iommu.close();
    this.#ram.close();
    this.#written.close();
    this.into.close();
  }
}
