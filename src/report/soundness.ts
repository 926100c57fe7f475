import type { RowBase } from '../compare/result.ts';
import { CPU_ONLY } from './cpu-only.ts';
import { enumerate } from './name-rows.ts';
import { formatPages } from '../units/quantity.ts';

function at(row: RowBase): string {
  return row.leaf === 'none' ? row.tracker : `${row.tracker} at ${row.leaf}`;
}

/** What a row lost: `device at 4K missed 3 pages and left 1 stale page`. */
function loss(row: RowBase): string {
  return `${at(row)} missed ${formatPages(row.missedPages)} and left ${formatPages(row.stalePages, 'stale')} at the destination`;
}

function lost(row: RowBase): boolean {
  return row.missedPages > 0 || row.stalePages > 0;
}

/**
 * A sentence on the rows that break their own claim of soundness, and one on those that lose pages and never claimed it;
 * `cpu-only`, which is there to lose pages, has its own sentence elsewhere.
 */
export function soundnessSentences(rows: readonly RowBase[]): string[] {
  const broken = rows.filter((row) => row.claims === 'sound' && lost(row));
  const unsound = rows.filter((row) => row.claims !== 'sound' && row.tracker !== CPU_ONLY && lost(row));
  const sentences: string[] = [];
  if (broken.length > 0) {
    sentences.push(
      `Defect: ${enumerate(broken.map(loss))}, against the claim to be sound; do not trust such a row's other figures.`,
    );
  }
  if (unsound.length > 0) {
    sentences.push(`Of the trackers that do not claim to be sound, ${enumerate(unsound.map(loss))}.`);
  }
  return sentences;
}
