import type {
  CompareResult,
  CostParameterResult,
  DeviceStateResult,
  InputSummary,
  MigrationRow,
  ModelledCost,
  OptionsResult,
  ResizeResult,
  ResizeWork,
  RoundResult,
  RowBase,
  WindowsResult,
  WindowsRow,
} from '../compare/result.ts';
import type { IotlbCounters } from '../tracker/tracker.ts';
import { rowsOf } from './rows.ts';

/**
 * The result as JSON text: two spaces of indentation, a newline at the end, keys in the order of the contract whatever
 * order the caller's objects have, and no key that the contract does not name. Equal results give identical bytes.
 *
 * Throws a RangeError that names the path where a number is not an integer from 0 to 2^53 - 1 (a windows ratio and the
 * value of a cost parameter need only be finite and at least 0), a TypeError where a field is missing or a row does not
 * belong to `options.mode`.
 */
export function toJson(result: CompareResult): string {
  const found = rowsOf(result);
  const ordered = {
    schema: result.schema,
    input: inputOf(result.input),
    options: optionsOf(result.options),
    results: found.mode === 'windows' ? found.rows.map(windowsRowOf) : found.rows.map(migrationRowOf),
  } satisfies CompareResult;
  check(ordered, '');
  return `${JSON.stringify(ordered, null, 2)}\n`;
}

/** Paths of the only numbers that may have a fraction. */
const FRACTIONAL = /^(?:results\[\d+\]\.windows\.ratio|options\.cost\[\d+\]\.value)$/;

function check(value: unknown, path: string): void {
  if (value === undefined) throw new TypeError(`${path} is missing from the result`);
  if (typeof value === 'number') checkNumber(value, path);
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    // Not forEach: it would pass over the holes of a sparse array, which JSON prints as null.
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`);
    return;
  }
  for (const [key, field] of Object.entries(value)) check(field, path === '' ? key : `${path}.${key}`);
}

function checkNumber(value: number, path: string): void {
  if (FRACTIONAL.test(path)) {
    if (Number.isFinite(value) && value >= 0) return;
    throw new RangeError(`${path} is ${value}; it must be a finite number of at least 0`);
  }
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new RangeError(`${path} is ${value}; it must be an integer from 0 to 2^53 - 1`);
}

function inputOf(input: InputSummary): InputSummary {
  return {
    name: input.name,
    events: input.events,
    writeEvents: input.writeEvents,
    bytesWritten: input.bytesWritten,
    pagesWritten: input.pagesWritten,
    ramBytes: input.ramBytes,
  };
}

function optionsOf(options: OptionsResult): OptionsResult {
  return {
    mode: options.mode,
    trackers: options.trackers,
    leaf: options.leaf,
    qemu: options.qemu && {
      devices: options.qemu.devices,
      chosen: options.qemu.chosen.map(({ tracker, uses, why }) => ({ tracker, uses, why })),
    },
    deviceState: options.deviceState,
    pageSize: options.pageSize,
    ramBytes: options.ramBytes,
    loop: options.loop,
    linkBitsPerSecond: options.linkBitsPerSecond,
    downtimeLimitNs: options.downtimeLimitNs,
    startNs: options.startNs,
    phase: options.phase,
    repeatPhase: options.repeatPhase,
    capNs: options.capNs,
    windowNs: options.windowNs,
    seed: options.seed,
    cpuLog: options.cpuLog,
    setup: options.setup,
    iotlb: { sets: options.iotlb.sets, ways: options.iotlb.ways, replacement: options.iotlb.replacement },
    cost: options.cost.map(costParameterOf),
  };
}

function costParameterOf(parameter: CostParameterResult): CostParameterResult {
  return { name: parameter.name, value: parameter.value, unit: parameter.unit, source: parameter.source };
}

function rowBaseOf(row: RowBase): RowBase {
  return {
    tracker: row.tracker,
    claims: row.claims,
    leaf: row.leaf,
    missedPages: row.missedPages,
    stalePages: row.stalePages,
    overReportedPages: row.overReportedPages,
    truePages: row.truePages,
    reportedPages: row.reportedPages,
    extraBytesSent: row.extraBytesSent,
    mappedBytes: row.mappedBytes,
    resize: row.resize && resizeOf(row.resize),
  };
}

function resizeOf(resize: ResizeResult): ResizeResult {
  return {
    update: resize.update,
    split: resize.split,
    merge: resize.merge,
    fault: resize.fault,
    splitting: resizeWorkOf(resize.splitting),
    merging: resize.merging && resizeWorkOf(resize.merging),
  };
}

function resizeWorkOf(work: ResizeWork): ResizeWork {
  return {
    leaves: work.leaves,
    windows: work.windows,
    windowNs: work.windowNs,
    faults: work.faults,
    lostBytes: work.lostBytes,
    stalls: work.stalls,
    stalledNs: work.stalledNs,
    deepestQueue: work.deepestQueue,
    flushes: work.flushes,
    durationNs: work.durationNs,
  };
}

function migrationRowOf(row: MigrationRow): MigrationRow {
  return {
    ...rowBaseOf(row),
    rounds: row.rounds.map(roundOf),
    totalBytes: row.totalBytes,
    totalTimeNs: row.totalTimeNs,
    downtimeNs: row.downtimeNs,
    converged: row.converged,
    reason: row.reason,
    why: row.why,
    deviceState: row.deviceState && deviceStateOf(row.deviceState),
    iotlb: iotlbOf(row.iotlb),
    modelled: modelledOf(row.modelled),
  };
}

function windowsRowOf(row: WindowsRow): WindowsRow {
  return {
    ...rowBaseOf(row),
    windows: windowsOf(row.windows),
    iotlb: iotlbOf(row.iotlb),
    modelled: modelledOf(row.modelled),
  };
}

function deviceStateOf(state: DeviceStateResult): DeviceStateResult {
  return {
    devices: state.devices,
    bytes: state.bytes,
    preCopyBytes: state.preCopyBytes,
    stopCopyLength: state.stopCopyLength,
    stopCopyBytes: state.stopCopyBytes,
    rounds: state.rounds,
  };
}

function roundOf(round: RoundResult): RoundResult {
  return {
    index: round.index,
    pages: round.pages,
    bytes: round.bytes,
    durationNs: round.durationNs,
    dirtiedPages: round.dirtiedPages,
  };
}

function windowsOf(windows: WindowsResult): WindowsResult {
  return {
    count: windows.count,
    reportedBytes: windows.reportedBytes,
    trueBytes: windows.trueBytes,
    ratio: windows.ratio,
  };
}

function iotlbOf(iotlb: IotlbCounters): IotlbCounters {
  return { hits: iotlb.hits, misses: iotlb.misses, invalidations: iotlb.invalidations };
}

function modelledOf(modelled: ModelledCost): ModelledCost {
  return {
    queryNs: modelled.queryNs,
    flushNs: modelled.flushNs,
    iotlbMissNs: modelled.iotlbMissNs,
    dmaStallNs: modelled.dmaStallNs,
  };
}
