import type { CompareResult, MigrationRow, ModelledCost, Reason, RowBase, WindowsRow } from '../compare/result.ts';
import { layOut, type Column } from './columns.ts';
import { conclusion } from './conclusion.ts';
import { heading } from './heading.ts';
import { formatCount, formatDuration, formatIn, formatRatio } from '../units/quantity.ts';
import { RESIZE_COLUMNS, RESIZE_LEGEND } from './resize-columns.ts';
import { rowsOf } from './rows.ts';
import { wrap } from './wrap.ts';

/** How the table is printed. */
export interface TableOptions {
  /** Longest line in characters, at least 60. Default 120. A table that is wider goes on in further blocks. */
  readonly width?: number;
}

const MIB = 2 ** 20;
const MS = 1e6;
const SECOND = 1e9;

const VERDICTS: Readonly<Record<Reason, string>> = {
  converged: 'converged',
  notConverging: 'not converging',
  inputEnded: 'input ended',
};

/**
 * The result as plain text for people: input and set-up, one row per tracker and leaf, what the numbers say, and what the
 * columns mean. Ends with a newline; equal results give identical text. Throws a RangeError for a width that is no
 * integer of at least 60, or a number that is no count, a TypeError for a row that does not belong to `options.mode`.
 */
export function toTable(result: CompareResult, options: TableOptions = {}): string {
  const width = options.width ?? 120;
  if (!Number.isInteger(width) || width < 60) {
    throw new RangeError(`width is ${width}; it must be an integer of at least 60, for example 120`);
  }
  const found = rowsOf(result);
  const ramBytes = result.options.ramBytes;
  const resizing = found.rows.some((row) => row.resize);
  const more = resizing ? RESIZE_COLUMNS : [];
  const table =
    found.mode === 'windows'
      ? layOut([...WINDOWS_COLUMNS, ...more], found.rows, width, KEY_COLUMNS.length)
      : layOut([...migrationColumns(ramBytes), ...more], found.rows, width, KEY_COLUMNS.length);
  const legend = [
    ...(found.mode === 'windows' ? WINDOWS_LEGEND : MIGRATION_LEGEND),
    ...(resizing ? RESIZE_LEGEND : []),
  ];
  return [
    ...heading(result, width),
    '',
    ...table,
    '',
    ...conclusion(result).flatMap((sentence) => wrap(sentence, width)),
    '',
    ...legend.flatMap(([term, meaning]) => wrap(meaning, width, `${term}: `.padEnd(LEGEND_INDENT))),
    '',
  ].join('\n');
}

const KEY_COLUMNS: readonly Column<RowBase>[] = [
  { heading: ['tracker'], align: 'left', cell: (row) => row.tracker },
  { heading: ['leaf'], align: 'right', cell: (row) => (row.leaf === 'none' ? '-' : row.leaf) },
];

const OVER_REPORTED: Column<RowBase> = {
  heading: ['over-', 'reported', 'pages'],
  align: 'right',
  cell: (row) => formatCount(row.overReportedPages),
};

const MISSED: Column<RowBase> = {
  heading: ['missed', 'pages'],
  align: 'right',
  cell: (row) => formatCount(row.missedPages),
};

const COST: Column<{ readonly modelled: ModelledCost }> = {
  heading: ['modelled', 'tracking', 'cost'],
  align: 'right',
  cell: ({ modelled }) =>
    formatDuration(modelled.queryNs + modelled.flushNs + modelled.iotlbMissNs + modelled.dmaStallNs),
};

function migrationColumns(ramBytes: number): readonly Column<MigrationRow>[] {
  return [
    ...KEY_COLUMNS,
    { heading: ['verdict'], align: 'left', cell: (row) => VERDICTS[row.reason] },
    { heading: ['rounds'], align: 'right', cell: (row) => formatCount(row.rounds.length) },
    { heading: ['sent', 'MiB'], align: 'right', cell: (row) => formatIn(MIB, row.totalBytes, 0) },
    {
      heading: ['sent', 'x', 'RAM'],
      align: 'right',
      cell: (row) => (ramBytes === 0 ? '-' : formatRatio(row.totalBytes / ramBytes)),
    },
    { heading: ['total', 'time', 's'], align: 'right', cell: (row) => formatIn(SECOND, row.totalTimeNs, 3) },
    { heading: ['downtime', 'ms'], align: 'right', cell: (row) => formatIn(MS, row.downtimeNs, 2) },
    OVER_REPORTED,
    { heading: ['extra', 'sent', 'MiB'], align: 'right', cell: (row) => formatIn(MIB, row.extraBytesSent, 1) },
    MISSED,
    { heading: ['stale', 'pages'], align: 'right', cell: (row) => formatCount(row.stalePages) },
    COST,
  ];
}

const WINDOWS_COLUMNS: readonly Column<WindowsRow>[] = [
  ...KEY_COLUMNS,
  { heading: ['windows'], align: 'right', cell: (row) => formatCount(row.windows.count) },
  { heading: ['written', 'MiB'], align: 'right', cell: (row) => formatIn(MIB, row.windows.trueBytes, 1) },
  { heading: ['reported', 'MiB'], align: 'right', cell: (row) => formatIn(MIB, row.windows.reportedBytes, 1) },
  {
    heading: ['reported /', 'written'],
    align: 'right',
    cell: ({ windows }) => (windows.ratio === null ? '-' : formatRatio(windows.ratio)),
  },
  OVER_REPORTED,
  MISSED,
  COST,
];

const LEGEND_INDENT = 'over-reported: '.length;

const MISSED_MEANING =
  'device-written pages that the report due did not hold, before merging with the CPU log, summed over reports';
const OVER_MEANING = 'reported pages on which nothing had landed, summed over reports';
const MODELLED_MEANING = 'from the cost model, not measured; print it with `wasm-iommu cost`';

const MIGRATION_LEGEND: readonly (readonly [string, string])[] = [
  [
    'rounds',
    'transfers over the link; the first sends all of RAM, the last is the stop-and-copy, whose time is the downtime',
  ],
  ['over-reported', OVER_MEANING],
  ['extra sent', 'bytes sent for pages that neither the CPUs nor a device had written'],
  ['missed', MISSED_MEANING],
  ['stale', "distinct pages whose copy at the destination is older than the device's last write"],
  ['modelled', `${MODELLED_MEANING}; not part of total time and downtime`],
];

const WINDOWS_LEGEND: readonly (readonly [string, string])[] = [
  ['written', 'bytes of the 4 KiB pages that devices wrote, each page once per window, summed over windows'],
  ['reported', 'bytes of the 4 KiB pages that the tracker reported, summed over windows'],
  ['over-reported', OVER_MEANING],
  ['missed', MISSED_MEANING],
  ['modelled', MODELLED_MEANING],
];
