import type { CompareResult } from '../compare/result.ts';
import { migrationConclusion } from './migration-conclusion.ts';
import { rowsOf } from './rows.ts';
import { windowsConclusion } from './windows-conclusion.ts';

/**
 * What the numbers of `result` say, as sentences, the most important first. Each one follows from the rows and options
 * alone and holds for any result; what the rows do not show is not said. Throws a TypeError for a row that does not belong
 * to `options.mode`.
 */
export function conclusion(result: CompareResult): string[] {
  const found = rowsOf(result);
  if (found.rows.length === 0) return ['No tracker was compared.'];
  return found.mode === 'windows'
    ? windowsConclusion(found.rows, result)
    : migrationConclusion(found.rows, result.options);
}
