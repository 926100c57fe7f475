import type { RowBase } from '../compare/result.ts';
import { formatPages } from '../units/quantity.ts';

/** The tracker that ignores device writes, by the name that the command line gives it. */
export const CPU_ONLY = 'cpu-only';

/** `cpu-only ignores what devices write` and what came of it, in words that fit both modes; no full stop. */
export function missedByIgnoring(row: RowBase): string {
  const ignores = `${row.tracker} ignores what devices write`;
  if (row.missedPages > 0) return `${ignores}: it missed ${formatPages(row.missedPages)}`;
  if (row.truePages === 0) return `${ignores}; nothing was written while it ran, so it lost nothing this time`;
  return `${ignores}; this time it lost nothing`;
}
