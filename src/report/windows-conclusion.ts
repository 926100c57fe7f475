import type { CompareResult, WindowsRow } from '../compare/result.ts';
import { CPU_ONLY, missedByIgnoring } from './cpu-only.ts';
import { nameRows } from './name-rows.ts';
import { overReportSentences } from './over-report.ts';
import { formatBytes, formatCount, formatDuration, formatPages } from '../units/quantity.ts';
import { resizeSentences } from './resize-conclusion.ts';
import { soundnessSentences } from './soundness.ts';

/** Sentences on at least one row of reads at a fixed interval. */
export function windowsConclusion(rows: readonly WindowsRow[], result: CompareResult): string[] {
  return [
    ...soundnessSentences(rows),
    ...exactRows(rows, result),
    ...overReportSentences(rows, () => ''),
    ...resizeSentences(rows, result.options),
    ...rows.filter((row) => row.tracker === CPU_ONLY).map(cpuOnly),
  ];
}

function exactRows(rows: readonly WindowsRow[], { options }: CompareResult): string[] {
  const { count, trueBytes } = rows[0].windows;
  const windows = `${formatCount(count)} ${count === 1 ? 'window' : 'windows'}`;
  const span = options.windowNs === null ? windows : `${windows} of ${formatDuration(options.windowNs)}`;
  if (rows.every((row) => row.windows.trueBytes === 0)) return [`No device wrote anything in ${span}.`];
  const exact = rows.filter((row) => row.truePages > 0 && row.overReportedPages === 0 && row.missedPages === 0);
  if (exact.length === 0) return [`No tracker reports exactly the pages that devices wrote in ${span}.`];
  const what = `exactly the pages that devices wrote (${formatBytes(trueBytes)} summed over ${span})`;
  return [`With ${nameRows(exact, rows)} the reports hold ${what}.`];
}

function cpuOnly(row: WindowsRow): string {
  const missed = missedByIgnoring(row);
  if (row.missedPages === 0) return `${missed}.`;
  return `${missed} summed over windows, and ${formatPages(row.stalePages)} would be stale if each report were what is copied.`;
}
