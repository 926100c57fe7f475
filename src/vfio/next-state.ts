import { IommuError } from '../errno/error.ts';
import { DeviceState, hasState, STATE_NAMES, STATES } from './device-state.ts';

/** Towards which state the first arc leads, by [from][to], for a device with all states; 0: refused. */
const FIRST_ARC: readonly (readonly DeviceState[])[] = [
  [0, 0, 0, 0, 0, 0, 0, 0],
  [0, 1, 5, 3, 4, 5, 5, 5],
  [0, 5, 2, 5, 5, 5, 6, 5],
  [0, 1, 1, 3, 1, 1, 0, 0],
  [0, 1, 1, 1, 4, 1, 1, 1],
  [0, 1, 2, 1, 1, 5, 2, 7],
  [0, 2, 2, 7, 2, 2, 6, 7],
  [0, 5, 5, 3, 5, 5, 6, 7],
];

/** `nextState`, where a refusal is undefined. */
export function stepTowards(from: DeviceState, to: DeviceState, flags: number): DeviceState | undefined {
  if (!hasState(flags, from) || !hasState(flags, to)) return undefined;
  let next = FIRST_ARC[from][to];
  // A state that the device lacks is passed through.
  while (next !== DeviceState.ERROR && !hasState(flags, next)) next = FIRST_ARC[next][to];
  return next === DeviceState.ERROR ? undefined : next;
}

/**
 * The state that a device goes to next on its way to another one; `from` itself where it is there
 * (vfio_mig_get_next_state, drivers/vfio/vfio_main.c). EINVAL: a number that is no state, a state that the device
 * lacks, ERROR, a way that is refused.
 *
 * @param from State that the device is in, 1 to 7 (see DeviceState).
 * @param to State that it was asked for, 1 to 7.
 * @param flags VFIO_MIGRATION_* of the device: STOP_COPY 1, P2P 2, PRE_COPY 4.
 * @param op Operation that an error names.
 */
export function nextState(from: number, to: number, flags: number, op = 'nextState'): DeviceState {
  checkMigrationFlags(op, flags);
  if (from === DeviceState.ERROR) {
    throw new IommuError('EINVAL', op, 'from is 0 (ERROR); only a reset leads out of it, to RUNNING');
  }
  const start = checkState(op, { from }, flags);
  const end = checkState(op, { to }, flags);
  const next = stepTowards(start, end, flags);
  if (next !== undefined) return next;
  throw new IommuError('EINVAL', op, `${STATE_NAMES[start]} to ${STATE_NAMES[end]} is refused; go to STOP first`);
}

/** EINVAL unless `flags` is a combination of VFIO_MIGRATION_*. */
export function checkMigrationFlags(op: string, flags: number): void {
  if (Number.isInteger(flags) && flags >= 0 && flags <= 7) return;
  throw new IommuError('EINVAL', op, `flags is ${flags}; it must be a sum of STOP_COPY 1, P2P 2 and PRE_COPY 4`);
}

/**
 * The one value of `argument` if it is a state that a device with `flags` has; else EINVAL that names it by its key.
 */
function checkState(op: string, argument: Readonly<Record<string, number>>, flags: number): DeviceState {
  const [[name, value]] = Object.entries(argument);
  const state = STATES.find((each) => each === value);
  if (state !== undefined && hasState(flags, state)) return state;
  const there = STATES.filter((each) => hasState(flags, each)).map((each) => `${STATE_NAMES[each]} ${each}`);
  const what = state === undefined ? `${value}` : `${state} (${STATE_NAMES[state]})`;
  const right = there.length === 0 ? 'without the flag STOP_COPY there is none' : `there are ${there.join(', ')}`;
  throw new IommuError('EINVAL', op, `${name} is ${what}, which the device does not have; ${right}`);
}
