import type { DeviceState } from './device-state.ts';
import { nextState } from './next-state.ts';

/**
 * The states that a device passes on its way from one to another, the last one included; empty where it is there. At
 * most four. EINVAL as for `nextState`; also for ERROR to ERROR, which a device takes as nothing to do.
 */
export function statePath(from: number, to: number, flags: number): DeviceState[] {
  const path: DeviceState[] = [];
  for (let at = from; ;) {
    const next = nextState(at, to, flags);
    if (next === at) return path;
    path.push(next);
    at = next;
  }
}
