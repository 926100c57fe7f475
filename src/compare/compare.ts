import type { Recording } from '../workload/recording.ts';
import { survey } from '../workload/survey.ts';
import { describePlan, planComparison, type CompareOptions } from './options.ts';
import { replay } from './replay.ts';
import type { CompareResult, MigrationRow, WindowsRow } from './result.ts';
import { Row } from './row.ts';

/**
 * Compares dirty trackers on one recording: what each reports against what devices really wrote, and what a migration with
 * it comes to. Reads the whole recording once first, so damaged input is found before anything is compared (`TraceError`);
 * wrong options are a `UsageError`. Same recording, options and seed: the same result, byte for byte.
 */
export async function compare(
  recording: Recording | Promise<Recording>,
  options: CompareOptions = {},
): Promise<CompareResult> {
  const input = await recording;
  const figures = await survey(input);
  const plan = planComparison(options, input, figures);
  const rows: Row[] = [];
  try {
    for (const planned of plan.rows) rows.push(await Row.begin(planned, plan, input));
    await replay(rows, input, plan, figures.endNs, options.onProgress);
    const { events, writeEvents, bytesWritten, pagesWritten, mappings } = figures;
    const mapped = mappings && { mappings: { events: mappings.events, faults: mappings.faults } };
    return {
      schema: 'wasm-iommu/compare@1',
      input: { name: input.name, events, writeEvents, bytesWritten, pagesWritten, ramBytes: input.ramBytes, ...mapped },
      options: describePlan(plan, input),
      results: rows.map((row) => row.result()) as MigrationRow[] | WindowsRow[],
    };
  } finally {
    for (const row of rows) row.close();
  }
}
