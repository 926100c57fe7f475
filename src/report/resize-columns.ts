import type { ResizeResult, ResizeWork, RowBase } from '../compare/result.ts';
import { formatCount, formatIn } from '../units/quantity.ts';
import type { Column } from './columns.ts';

const KIB = 1024;

/** What splitting and merging came to together. */
function sum({ splitting, merging }: ResizeResult, field: keyof ResizeWork): number {
  return splitting[field] + (merging?.[field] ?? 0);
}

function column(heading: readonly string[], text: (resize: ResizeResult) => string): Column<RowBase> {
  return { heading, align: 'right', cell: ({ resize }) => (resize ? text(resize) : '-') };
}

/** Columns that a table has where some row splits leaves. */
export const RESIZE_COLUMNS: readonly Column<RowBase>[] = [
  column(['leaves', 'split'], ({ splitting }) => formatCount(splitting.leaves)),
  column(['leaves', 'merged'], ({ merging }) => (merging ? formatCount(merging.leaves) : '-')),
  column(['broken', 'windows'], (resize) => formatCount(sum(resize, 'windows'))),
  column(['DMA that', 'met one'], (resize) => formatCount(sum(resize, 'faults') + sum(resize, 'stalls'))),
  column(['lost', 'KiB'], (resize) => formatIn(KIB, sum(resize, 'lostBytes'), 1)),
];

export const RESIZE_LEGEND: readonly (readonly [string, string])[] = [
  ['windows', 'times in which leaves lay broken, by splits and by the merge; how long is modelled'],
  ['met one', 'DMA events that met a broken leaf: they faulted and ended there, or with +fault=stall waited for it'],
  ['lost', 'bytes of the writes that faulted, which never landed'],
];
