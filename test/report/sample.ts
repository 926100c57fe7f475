import type {
  CompareResult,
  MigrationRow,
  OptionsResult,
  ResizeResult,
  ResizeWork,
  RoundResult,
  RowBase,
  WindowsRow,
} from '../../src/compare/result.ts';

const MIB = 2 ** 20;
const RAM = 128 * MIB;

export const INPUT = {
  name: 'v86-debian.dma.bin.gz',
  events: 833_425,
  writeEvents: 186_974,
  bytesWritten: 792_833_171,
  pagesWritten: 7_649,
  ramBytes: RAM,
};

export const OPTIONS: OptionsResult = {
  mode: 'migration',
  trackers: ['device', 'iommu:amdv1', 'iommu:vtdss', 'type1', 'cpu-only'],
  leaf: ['4K', '2M'],
  qemu: null,
  deviceState: null,
  pageSize: 4096,
  ramBytes: RAM,
  loop: 'classic rounds',
  linkBitsPerSecond: 1e9,
  downtimeLimitNs: 40_000_000,
  startNs: 78_000_000_000,
  phase: 'odirect-loop-3s',
  repeatPhase: true,
  capNs: 60_000_000_000,
  windowNs: null,
  seed: 0,
  cpuLog: true,
  setup: 'one domain for all devices; IOVA = GPA = HPA over [0, ram)',
  iotlb: { sets: 64, ways: 8, replacement: 'lru' },
  cost: [
    { name: 'entryRead', value: 3.2, unit: 'ns', source: 'assumed' },
    { name: 'flush', value: 1000, unit: 'ns', source: 'assumed' },
  ],
};

export const BASE: RowBase = {
  tracker: 'device',
  claims: 'sound',
  leaf: 'none',
  missedPages: 0,
  stalePages: 0,
  overReportedPages: 0,
  truePages: 2_000,
  reportedPages: 2_000,
  extraBytesSent: 0,
  mappedBytes: RAM,
  resize: null,
};

export const RESIZE_WORK: ResizeWork = {
  leaves: 64,
  windows: 64,
  windowNs: 640_000_000,
  faults: 48,
  lostBytes: 2_871_296,
  stalls: 0,
  stalledNs: 0,
  deepestQueue: 0,
  flushes: 64,
  durationNs: 640_000_000,
};

/** Eager splits and a merge by break-before-make, which DMA met. */
export const RESIZE: ResizeResult = {
  update: 'bbm',
  split: 'eager',
  merge: true,
  fault: 'abort',
  splitting: RESIZE_WORK,
  merging: { ...RESIZE_WORK, leaves: 1_024, windows: 1, windowNs: 10_000_000, faults: 1, lostBytes: 0 },
};

const COUNTERS = {
  iotlb: { hits: 1_000, misses: 20, invalidations: 3 },
  modelled: { queryNs: 10_000, flushNs: 3_000, iotlbMissNs: 2_000, dmaStallNs: 0 },
};

const ROUNDS: readonly RoundResult[] = [
  { index: 0, pages: 32_768, bytes: RAM, durationNs: 1_073_741_824, dirtiedPages: 1_000 },
  { index: 1, pages: 1_000, bytes: 4_096_000, durationNs: 32_768_000, dirtiedPages: 0 },
];

/** A converging row of a migration with two rounds; `change` replaces fields. */
export function migrationRow(change: Partial<MigrationRow> = {}): MigrationRow {
  return {
    ...BASE,
    rounds: ROUNDS,
    totalBytes: RAM + 4_096_000,
    totalTimeNs: 1_106_509_824,
    downtimeNs: 32_768_000,
    converged: true,
    reason: 'converged',
    why: '1,000 pages remain, of which 1,220 fit the limit.',
    deviceState: null,
    ...COUNTERS,
    ...change,
  };
}

/** A row that does not converge for over-reporting. */
export function coarseRow(change: Partial<MigrationRow> = {}): MigrationRow {
  return migrationRow({
    leaf: '2M',
    overReportedPages: 1_800_000,
    truePages: 80_000,
    reportedPages: 1_880_000,
    extraBytesSent: 6_900 * MIB,
    totalBytes: 7_148 * MIB,
    totalTimeNs: 60_100_000_000,
    downtimeNs: 1_023_450_000,
    converged: false,
    reason: 'notConverging',
    ...change,
  });
}

/** What the defaults give, in small: 4K converges, 2M and type1 do not, cpu-only loses pages. */
export const DEFAULT_ROWS: readonly MigrationRow[] = [
  migrationRow(),
  migrationRow({ tracker: 'iommu:amdv1', leaf: '4K' }),
  coarseRow({ tracker: 'iommu:amdv1' }),
  migrationRow({ tracker: 'iommu:vtdss', leaf: '4K' }),
  coarseRow({ tracker: 'iommu:vtdss' }),
  coarseRow({ tracker: 'type1', leaf: 'none' }),
  migrationRow({
    tracker: 'cpu-only',
    claims: 'none',
    missedPages: 1_300,
    stalePages: 1_012,
    reportedPages: 0,
    downtimeNs: 5_000_000,
    mappedBytes: 0,
  }),
];

export function migrationResult(rows: readonly MigrationRow[], options: Partial<OptionsResult> = {}): CompareResult {
  return { schema: 'wasm-iommu/compare@1', input: INPUT, options: { ...OPTIONS, ...options }, results: rows };
}

/** A row of windows that reports exactly what was written; `change` replaces fields. */
export function windowsRow(change: Partial<WindowsRow> = {}): WindowsRow {
  const windows = { count: 881, reportedBytes: 8_192_000, trueBytes: 8_192_000, ratio: 1 };
  return { ...BASE, windows, ...COUNTERS, ...change };
}

export function windowsResult(rows: readonly WindowsRow[], options: Partial<OptionsResult> = {}): CompareResult {
  return {
    schema: 'wasm-iommu/compare@1',
    input: INPUT,
    options: { ...OPTIONS, mode: 'windows', windowNs: 100_000_000, phase: null, ...options },
    results: rows,
  };
}
