import type { MigrationRow, OptionsResult, Reason } from '../compare/result.ts';
import { CPU_ONLY, missedByIgnoring } from './cpu-only.ts';
import { deviceStateSentences } from './device-state.ts';
import { nameRows } from './name-rows.ts';
import { overReportSentences } from './over-report.ts';
import { formatBytes, formatDuration, formatPages, formatRange, leafBytes } from '../units/quantity.ts';
import { resizeSentences } from './resize-conclusion.ts';
import { soundnessSentences } from './soundness.ts';

const PAGE = 4096;

/** Sentences on at least one row of a migration. */
export function migrationConclusion(rows: readonly MigrationRow[], options: OptionsResult): string[] {
  const defects = soundnessSentences(rows);
  if (fitsAtOnce(rows, options)) {
    return [
      ...defects,
      `All of RAM (${formatBytes(options.ramBytes)}) crosses the link within the downtime limit of ` +
        `${formatDuration(options.downtimeLimitNs)}: the guest is stopped and copied at once, and neither time nor downtime ` +
        `depends on the tracker.`,
    ];
  }
  return [
    ...defects,
    verdicts(rows, options),
    ...silence(rows),
    ...deviceStateSentences(rows),
    ...overReportSentences(rows, (group) => consequence(group, rows)),
    ...resizeSentences(rows, options),
    ...rows.filter((row) => row.tracker === CPU_ONLY).map((row) => cpuOnly(row, rows)),
  ];
}

/** Exactly: every 4 KiB page of RAM, the last one in full, against what the link carries within the limit. */
function fitsAtOnce(rows: readonly MigrationRow[], options: OptionsResult): boolean {
  const bits = BigInt(Math.ceil(options.ramBytes / PAGE)) * BigInt(PAGE) * 8n;
  const limit = BigInt(options.linkBitsPerSecond) * BigInt(options.downtimeLimitNs);
  return bits * 1_000_000_000n <= limit && rows.every((row) => row.converged && row.rounds.length === 1);
}

function verdicts(rows: readonly MigrationRow[], { capNs }: OptionsResult): string {
  const cap = formatDuration(capNs);
  const by = (reason: Reason) => rows.filter((row) => row.reason === reason);
  const [converged, not, ended] = [by('converged'), by('notConverging'), by('inputEnded')];
  const names = (group: readonly MigrationRow[]) => nameRows(group, rows);
  if (rows.length > 1 && converged.length === rows.length) return 'The migration converges in every row.';
  if (rows.length > 1 && not.length === rows.length)
    return `The migration converges in no row within the cap of ${cap}.`;
  if (rows.length > 1 && ended.length === rows.length) {
    return 'The recording ended before the migration had converged in any row.';
  }
  const clauses: string[] = [];
  if (converged.length > 0) clauses.push(`converges with ${names(converged)}`);
  if (not.length > 0) clauses.push(`does not converge with ${names(not)} within the cap of ${cap}`);
  if (ended.length > 0) clauses.push(`had not converged with ${names(ended)} when the recording ended`);
  return `The migration ${clauses.join('; it ')}.`;
}

/** Says that no device wrote, where that makes every tracker look sound. */
function silence(rows: readonly MigrationRow[]): string[] {
  if (rows.some((row) => row.truePages > 0)) return [];
  return ['No device wrote during the migration, so the rows do not show what a tracker can miss.'];
}

function consequence(group: readonly MigrationRow[], rows: readonly MigrationRow[]): string {
  if (group.every((row) => row.extraBytesSent === 0)) return ' without sending anything extra';
  const extra = formatRange(
    group.map((row) => row.extraBytesSent),
    formatBytes,
  );
  const each = group.length > 1 ? ' each' : '';
  const sent = ` and send ${extra}${each} for pages that nothing had written`;
  const finer = finerThatConverges(group, rows);
  return finer === null ? sent : `${sent}, which is why the migration does not converge (at ${finer} it does)`;
}

/**
 * The leaf size at which the very same trackers converge, where none of `group` does: these rows differ in nothing but the
 * leaf. Null where there is no such leaf, and for a group of which a row sent nothing extra.
 */
function finerThatConverges(group: readonly MigrationRow[], rows: readonly MigrationRow[]): string | null {
  if (group.some((row) => row.reason !== 'notConverging' || row.extraBytesSent === 0)) return null;
  const leaf = leafBytes(group[0].leaf);
  if (leaf === null || group.some((row) => row.leaf !== group[0].leaf)) return null;
  const finer = [...new Set(rows.map((row) => row.leaf))]
    .filter((other) => (leafBytes(other) ?? leaf) < leaf)
    .sort((a, b) => leafBytes(b)! - leafBytes(a)!);
  const converges = (tracker: string, at: string) =>
    rows.some((row) => row.tracker === tracker && row.leaf === at && row.converged);
  return finer.find((at) => group.every((row) => converges(row.tracker, at))) ?? null;
}

function cpuOnly(row: MigrationRow, rows: readonly MigrationRow[]): string {
  if (row.stalePages > 0) {
    const stale = `${formatPages(row.stalePages, 'stale')}, silent corruption at the destination`;
    const gain = gainOver(row, rows);
    if (gain === null) return `${row.tracker} ignores what devices write and leaves ${stale}.`;
    return `${row.tracker} ignores what devices write: its ${gain} is bought with ${stale}.`;
  }
  const missed = missedByIgnoring(row);
  return row.missedPages > 0 ? `${missed}, and that none of them is stale at the destination is chance.` : `${missed}.`;
}

/** What the row has over every sound row, with both figures: `shorter downtime (12 ms against 35 ms with device)`. */
function gainOver(row: MigrationRow, rows: readonly MigrationRow[]): string | null {
  const sound = rows.filter((other) => other.claims === 'sound');
  for (const [gain, field] of [
    ['shorter downtime', 'downtimeNs'],
    ['shorter total time', 'totalTimeNs'],
  ] as const) {
    const best = Math.min(...sound.map((other) => other[field]));
    if (sound.length === 0 || row[field] >= best) continue;
    const holders = sound.filter((other) => other[field] === best);
    return `${gain} (${formatDuration(row[field])} against ${formatDuration(best)} with ${nameRows(holders, rows)})`;
  }
  return null;
}
