import type { CompareResult, MigrationRow, WindowsRow } from '../compare/result.ts';

/** The rows of a result together with what they are rows of. */
export type Rows =
  | { readonly mode: 'migration'; readonly rows: readonly MigrationRow[] }
  | { readonly mode: 'windows'; readonly rows: readonly WindowsRow[] };

/** The rows of `result`, told apart by `options.mode`. Throws a TypeError for a row that does not belong to that mode. */
export function rowsOf(result: CompareResult): Rows {
  const { mode } = result.options;
  if (mode !== 'migration' && mode !== 'windows') {
    throw new TypeError(`options.mode is ${JSON.stringify(mode)}; it must be "migration" or "windows"`);
  }
  const field = mode === 'windows' ? 'windows' : 'rounds';
  const foreign = result.results.findIndex((row) => !(field in row));
  if (foreign >= 0) {
    throw new TypeError(`results[${foreign}] has no "${field}", which every row has where options.mode is "${mode}"`);
  }
  return { mode, rows: result.results } as Rows;
}
