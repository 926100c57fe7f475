import type { RowBase } from '../compare/result.ts';
import { nameRows } from './name-rows.ts';
import { formatCount, formatRange, formatRatio, leafBytes } from '../units/quantity.ts';

const PAGE = 4096;

/** The tracker that reports everything mapped, by the name that the command line gives it. */
const TYPE1 = 'type1';

/** What the sentence on a group of over-reporting rows adds in one mode: what over-reporting led to. */
export type Consequence<Row extends RowBase> = (group: readonly Row[]) => string;

/** How much `group` reported: `23.5 times the pages really written`, or a count where nothing was written at all. */
function reported(group: readonly RowBase[]): string {
  if (group.some((row) => row.truePages === 0)) {
    const counts = formatRange(
      group.map((row) => row.overReportedPages),
      formatCount,
    );
    return `${counts} ${counts === '1' ? 'page' : 'pages'} on which nothing had landed`;
  }
  const factors = formatRange(
    group.map((row) => row.reportedPages / row.truePages),
    formatRatio,
  );
  return `${factors} times the pages really written`;
}

function isCoarse(row: RowBase): boolean {
  return row.tracker.startsWith('iommu:') && !row.resize && (leafBytes(row.leaf) ?? 0) > PAGE;
}

/** What a leaf that is split later stands for until then. */
function splitClause<Row extends RowBase>(
  split: readonly Row[],
  rows: readonly Row[],
  consequence: Consequence<Row>,
): string {
  return `until its leaf is split a written byte still marks all of it, which made ${nameRows(split, rows)} report ${reported(split)}${consequence(split)}`;
}

/** `at 2M one written byte marks 512 pages, which made iommu:* at 2M report 23.5 times …`, one clause per leaf size. */
function coarseClauses<Row extends RowBase>(
  coarse: readonly Row[],
  rows: readonly Row[],
  consequence: Consequence<Row>,
): string[] {
  return [...new Set(coarse.map((row) => row.leaf))].map((leaf) => {
    const group = coarse.filter((row) => row.leaf === leaf);
    const names = nameRows(group, rows).replaceAll(` at ${leaf}`, '');
    const perLeaf = formatCount(Math.ceil(leafBytes(leaf)! / PAGE));
    return `at ${leaf} one written byte marks ${perLeaf} pages, which made ${names} report ${reported(group)}${consequence(group)}`;
  });
}

function type1Clause(type1: readonly RowBase[]): string {
  const all = `${nameRows(type1, type1)} reports everything mapped at every read`;
  if (type1.some((row) => row.missedPages > 0)) return all;
  return `${all}, so its 0 missed pages prove only that the mapping covers the trace`;
}

/**
 * One sentence on the rows that reported pages on which nothing had landed, with the reason for it: a leaf larger than a
 * page, or no dirty information at all. None where no row did and `type1` is not among them.
 */
export function overReportSentences<Row extends RowBase>(
  rows: readonly Row[],
  consequence: Consequence<Row>,
): string[] {
  const type1 = rows.filter((row) => row.tracker === TYPE1);
  const over = rows.filter((row) => row.tracker !== TYPE1 && row.overReportedPages > 0);
  const coarse = over.filter(isCoarse);
  const split = over.filter((row) => row.resize);
  const others = over.filter((row) => !isCoarse(row) && !row.resize);
  const clauses = coarseClauses(coarse, rows, consequence);
  if (clauses.length > 0) clauses[0] = `A dirty bit stands for a whole leaf: ${clauses[0]}`;
  if (split.length > 0) {
    const clause = splitClause(split, rows, consequence);
    clauses.push(clauses.length === 0 ? `U${clause.slice(1)}` : clause);
  }
  if (others.length > 0) {
    const start = clauses.length === 0 ? 'Over' : 'over';
    clauses.push(`${start}-reporting made ${nameRows(others, rows)} report ${reported(others)}${consequence(others)}`);
  }
  if (type1.length > 0) clauses.push(type1Clause(type1));
  return clauses.length === 0 ? [] : [`${clauses.join('; ')}.`];
}
