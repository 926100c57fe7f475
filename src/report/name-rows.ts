import type { RowBase } from '../compare/result.ts';

type Named = Pick<RowBase, 'tracker' | 'leaf'>;

const IOMMU = 'iommu:';

/** Items as an English list: `a`, `a and b`, `a, b and c`. */
export function enumerate(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items[items.length - 1]}`;
}

/**
 * `rows` by name, in their order: `device, iommu:* at 4K/2M and cpu-only`. Where at a leaf size they hold every `iommu:`
 * row of `all` and there are at least two, these become `iommu:*`.
 */
export function nameRows(rows: readonly Named[], all: readonly Named[]): string {
  const leavesOf = new Map<string, string[]>();
  for (const row of rows) {
    const label = isWholeFamily(row, rows, all) ? `${IOMMU}*` : row.tracker;
    const leaves = leavesOf.get(label) ?? [];
    if (row.leaf !== 'none' && !leaves.includes(row.leaf)) leaves.push(row.leaf);
    leavesOf.set(label, leaves);
  }
  return enumerate(
    [...leavesOf].map(([label, leaves]) => (leaves.length > 0 ? `${label} at ${leaves.join('/')}` : label)),
  );
}

function isWholeFamily(row: Named, rows: readonly Named[], all: readonly Named[]): boolean {
  if (!row.tracker.startsWith(IOMMU)) return false;
  const family = all.filter((other) => other.tracker.startsWith(IOMMU) && other.leaf === row.leaf);
  return family.length > 1 && family.every((member) => rows.includes(member));
}
