import type { Recording } from './recording.ts';

/** A part of a recording's clock, ns; the end is exclusive. */
export interface PhaseSpan {
  readonly startNs: number;
  readonly endNs: number;
}

/**
 * When the phase `label` of `recording` runs. The last phase ends at `endNs` (of a survey), by default at the recording's
 * stated duration. Throws a RangeError that lists the labels if there is no such phase, or more than one.
 */
export function phaseSpan(recording: Recording, label: string, endNs = recording.durationNs): PhaseSpan {
  const { phases, name } = recording;
  const index = phases.findIndex((phase) => phase.label === label);
  if (index < 0) {
    const labels = phases.length === 0 ? 'it has no phases' : `its phases are ${phases.map((p) => p.label).join(', ')}`;
    throw new RangeError(`phase is ${JSON.stringify(label)}, which ${name} does not have; ${labels}`);
  }
  if (phases.some((phase, i) => i > index && phase.label === label)) {
    throw new RangeError(
      `phase is ${JSON.stringify(label)}, of which ${name} has more than one; give the start time instead`,
    );
  }
  const end = phases[index + 1]?.startNs ?? endNs;
  if (end === undefined) {
    throw new RangeError(
      `phase is ${JSON.stringify(label)}, the last of ${name}, which does not state its duration; give endNs`,
    );
  }
  return { startNs: phases[index].startNs, endNs: Math.max(end, phases[index].startNs) };
}
