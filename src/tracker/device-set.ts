import { UsageError } from '../units/usage-error.ts';

const KINDS = { log: true, nolog: false } as const;
const ENTRY = /^(?:([1-9]\d*)x)?(log|nolog)$/;
const RIGHT = 'write for example 3xlog,1xnolog, or log or nolog alone for all that are left';

/**
 * Which of a recording's `count` devices log their own DMA, in its order, of a text like `3xlog,1xnolog`: entries
 * [Nx]log or [Nx]nolog, of which the last may go without a number and stands for all devices that are left. UsageError:
 * an entry that is none, or another number of devices.
 */
export function parseDeviceSet(text: string, count: number): boolean[] {
  const entries = text.split(',').map((entry) => entry.trim());
  const logs: boolean[] = [];
  entries.forEach((entry, i) => {
    const [, number, kind] = ENTRY.exec(entry) ?? [];
    if (!kind) throw new UsageError(`devices: '${entry}' in '${text}' is no entry; ${RIGHT}`);
    if (number === undefined && i < entries.length - 1) {
      throw new UsageError(
        `devices: '${entry}' stands for all that are left, so that it must be the last in '${text}'`,
      );
    }
    const devices = number === undefined ? Math.max(0, count - logs.length) : Number(number);
    if (devices === 0)
      throw new UsageError(`devices: no device is left for '${entry}' in '${text}'; there are ${count}`);
    if (logs.length + devices > count) throw otherCount(text, count);
    for (let n = 0; n < devices; n++) logs.push(KINDS[kind as keyof typeof KINDS]);
  });
  if (logs.length < count) throw otherCount(text, count);
  return logs;
}

function otherCount(text: string, count: number): UsageError {
  return new UsageError(`devices: '${text}' does not make the ${count} devices of the recording; ${RIGHT}`);
}
