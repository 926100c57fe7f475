import type { MigrationRow } from '../compare/result.ts';
import { formatBytes, formatCount, formatRange } from '../units/quantity.ts';

/** A sentence on the state of the devices' own, where any migrates. */
export function deviceStateSentences(rows: readonly MigrationRow[]): string[] {
  const states = rows.flatMap(({ deviceState }) => (deviceState ? [deviceState] : []));
  if (states.length === 0) return [];
  const [{ devices, bytes }] = states;
  const range = (values: readonly number[]) => formatRange(values, formatBytes);
  const sent = range(states.map(({ preCopyBytes }) => preCopyBytes));
  const left = range(states.map(({ stopCopyBytes }) => stopCopyBytes));
  const who = `${formatCount(devices)} ${devices === 1 ? 'device' : 'devices'}`;
  return [
    `The state of ${who}, ${formatBytes(bytes)} of local memory in all, adds ${sent} while they run and ${left} to the ` +
      'downtime; what a device reads from RAM is assumed to change it at the same address.',
  ];
}
