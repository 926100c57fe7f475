/** A column of a plain-text table. */
export interface Column<Row> {
  /** Lines of the heading, aligned to the bottom; the last one may name the unit of the cells. */
  readonly heading: readonly string[];
  readonly align: 'left' | 'right';
  cell(row: Row): string;
}

interface Measured {
  readonly heading: readonly string[];
  readonly cells: readonly string[];
  readonly align: 'left' | 'right';
  readonly width: number;
}

/**
 * The table as lines without trailing space, none longer than `width` where that is possible: columns stand two spaces
 * apart, else one, and what does not fit even then follows in further blocks below, each of which begins with the first
 * `keys` columns again.
 */
export function layOut<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
  keys: number,
): string[] {
  const measured = columns.map((column) => measure(column, rows));
  for (const gap of [2, 1]) {
    if (lineLength(measured, gap) <= width) return block(measured, gap);
  }
  const lines: string[] = [];
  for (const group of split(measured, width, keys)) lines.push(...(lines.length > 0 ? [''] : []), ...block(group, 2));
  return lines;
}

function measure<Row>(column: Column<Row>, rows: readonly Row[]): Measured {
  const cells = rows.map((row) => column.cell(row));
  const width = Math.max(...column.heading.map((line) => line.length), ...cells.map((cell) => cell.length));
  return { heading: column.heading, cells, align: column.align, width };
}

function lineLength(columns: readonly Measured[], gap: number): number {
  return columns.reduce((sum, column) => sum + column.width, 0) + gap * (columns.length - 1);
}

/** Columns in groups that fit `width`, each headed by the key columns; a group has at least one column besides them. */
function split(columns: readonly Measured[], width: number, keys: number): Measured[][] {
  const key = columns.slice(0, keys);
  const groups: Measured[][] = [];
  let group = [...key];
  for (const column of columns.slice(keys)) {
    if (group.length > keys && lineLength([...group, column], 2) > width) {
      groups.push(group);
      group = [...key];
    }
    group.push(column);
  }
  groups.push(group);
  return groups;
}

function block(columns: readonly Measured[], gap: number): string[] {
  const height = Math.max(...columns.map((column) => column.heading.length));
  const count = columns[0].cells.length;
  const line = (text: (column: Measured) => string): string =>
    columns
      .map((column) => pad(text(column), column))
      .join(' '.repeat(gap))
      .trimEnd();
  const lines: string[] = [];
  for (let i = 0; i < height; i++) lines.push(line(({ heading }) => heading[heading.length - height + i] ?? ''));
  lines.push(line(({ width }) => '-'.repeat(width)));
  for (let i = 0; i < count; i++) lines.push(line(({ cells }) => cells[i]));
  return lines;
}

function pad(text: string, { align, width }: Measured): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width);
}
