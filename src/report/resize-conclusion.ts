import type { OptionsResult, ResizeWork, RowBase } from '../compare/result.ts';
import { formatBytes, formatCount, formatDuration } from '../units/quantity.ts';
import { nameRows } from './name-rows.ts';

/** The price that says how long a window lasts. */
const WINDOW_PRICE = 'invalidation';

function count(number: number, what: string): string {
  return `${formatCount(number)} ${what}${number === 1 ? '' : 's'}`;
}

function works(row: RowBase): readonly ResizeWork[] {
  return row.resize ? [row.resize.splitting, ...(row.resize.merging ? [row.resize.merging] : [])] : [];
}

function has(row: RowBase, field: keyof ResizeWork): boolean {
  return works(row).some((work) => work[field] > 0);
}

/** What met the windows: `3 DMA events faulted and 24 KiB of writes were lost`. */
function met(work: ResizeWork): string {
  if (work.faults > 0) {
    const lost = work.lostBytes > 0 ? `${formatBytes(work.lostBytes)} of writes were lost` : 'no write was among them';
    return `${count(work.faults, 'DMA event')} faulted and ${lost}`;
  }
  if (work.stalls === 0) return 'which no DMA met';
  return (
    `${count(work.stalls, 'DMA event')} waited, up to ${formatCount(work.deepestQueue)} at once ` +
    `and ${formatDuration(work.stalledNs)} altogether, and landed then`
  );
}

/** `splitting broke leaves in 64 windows of 10 ms, in which …`. */
function windowsOf(work: ResizeWork, doing: string): string {
  const mean = formatDuration(Math.round(work.windowNs / work.windows));
  const what = met(work);
  const joint = work.faults > 0 || work.stalls > 0 ? ', in which ' : ', ';
  return `${doing} left leaves broken in ${count(work.windows, 'window')} of ${mean}${joint}${what}`;
}

function metRow(row: RowBase): string {
  const { splitting, merging } = row.resize!;
  const clauses = [
    ...(splitting.windows > 0 ? [windowsOf(splitting, 'splitting')] : []),
    ...(merging && merging.windows > 0 ? [windowsOf(merging, 'the merge afterwards')] : []),
  ];
  return `${nameRows([row], [])}: ${clauses.join('; ')}.`;
}

function lengthOfWindows({ cost }: OptionsResult): string {
  const price = cost.find(({ name }) => name === WINDOW_PRICE);
  const is = price ? ` (${price.name} is ${formatCount(Math.round(price.value))} ${price.unit}, ${price.source})` : '';
  return `How long a leaf lies broken is modelled, not measured: what one completed invalidation takes in the cost model${is}.`;
}

/** Sentences on the rows that split leaves: what met a broken one, and which of them never break one. */
export function resizeSentences(rows: readonly RowBase[], options: OptionsResult): string[] {
  const split = rows.filter((row) => row.resize);
  const hit = split.filter((row) => has(row, 'faults') || has(row, 'stalls'));
  const missed = split.filter((row) => has(row, 'windows') && !hit.includes(row));
  const never = split.filter((row) => row.resize!.update !== 'bbm');
  const sentences = hit.map(metRow);
  if (missed.length > 0) {
    sentences.push(
      `No DMA met a broken leaf with ${nameRows(missed, rows)}: the windows are short, and that is chance.`,
    );
  }
  if (hit.length + missed.length > 0) sentences.push(lengthOfWindows(options));
  if (never.length > 0) sentences.push(`No leaf is ever broken with ${nameRows(never, rows)}, so no DMA can fault.`);
  return sentences;
}
