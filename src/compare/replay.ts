import { changeMappings, GuestMappings } from '../workload/guest-mappings.ts';
import type { Recording, Segment } from '../workload/recording.ts';
import { unmapAll } from '../workload/unmap-all.ts';
import type { Plan, Progress } from './options.ts';
import type { Row } from './row.ts';

/** Gives a segment to the rows that are not done, at its time plus `offsetNs` on the rows' clocks. */
function give(rows: readonly Row[], segment: Segment, offsetNs: number): void {
  for (const { run } of rows) {
    if (run.done) continue;
    if (segment.kind === 'dma') run.dma(segment, offsetNs);
    else run.cpu(segment, offsetNs);
  }
}

function lastMoment(segment: Segment): number {
  return segment.kind === 'dma' ? segment.timeNs[segment.count - 1] : segment.startNs;
}

/** Reads [fromNs, toNs) once and gives it to all rows; the time of the last event. */
async function readOnce(
  rows: readonly Row[],
  recording: Recording,
  plan: Plan,
  toNs: number | undefined,
  offsetNs: number,
  tell: (simulatedNs: number) => void,
  mappings?: GuestMappings,
): Promise<number> {
  let lastEventNs = 0;
  const part = { fromNs: plan.startNs, seed: plan.seed, ...(toNs === undefined ? {} : { toNs }) };
  for await (const segment of recording.segments(part)) {
    if (rows.every(({ run }) => run.done)) break;
    give(rows, segment, offsetNs);
    if (mappings && segment.kind === 'dma') {
      for (let i = 0; i < segment.count; i++) changeMappings(mappings, segment, i);
    }
    if (segment.kind === 'dma') lastEventNs = lastMoment(segment);
    tell(lastMoment(segment) + offsetNs);
  }
  return lastEventNs;
}

/**
 * Drives all rows by one reading of the recording: the part that the plan names, again and again until every row has its
 * verdict, or once to the recording's end (for windows: to the last event).
 */
export async function replay(
  rows: readonly Row[],
  recording: Recording,
  plan: Plan,
  endNs: number,
  onProgress?: (progress: Progress) => void,
): Promise<void> {
  const tell = (simulatedNs: number) =>
    onProgress?.({ rows: rows.length, rowsDone: rows.filter(({ run }) => run.done).length, simulatedNs });
  if (plan.repeatEndNs === undefined) {
    const lastEventNs = await readOnce(rows, recording, plan, undefined, -plan.startNs, tell);
    const end = plan.windowNs === undefined ? endNs - plan.startNs : lastEventNs;
    for (const { run } of rows) if (!run.done) run.inputEnded(end);
    return;
  }
  const spanNs = plan.repeatEndNs - plan.startNs;
  for (let turn = 0; rows.some(({ run }) => !run.done); turn++) {
    const offsetNs = turn * spanNs - plan.startNs;
    const mappings = recording.hasMappings ? new GuestMappings() : undefined;
    await readOnce(rows, recording, plan, plan.repeatEndNs, offsetNs, tell, mappings);
    // The next turn begins with the mappings of its first moment.
    for (const batch of mappings ? unmapAll(mappings, plan.repeatEndNs) : []) give(rows, batch, offsetNs);
    // A turn without an event passes time all the same.
    for (const { run } of rows) if (!run.done) run.advance((turn + 1) * spanNs);
  }
}
