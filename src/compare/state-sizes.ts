import type { StateSize } from '../migration/migrated-devices.ts';
import { parseSize } from '../units/units.ts';
import { UsageError } from '../units/usage-error.ts';

const PAGE = 4096;
const MOST = 2 ** 40;
const STOP_COPY_ONLY = ':stop-copy';
const RIGHT = 'write SIZE for every device, or NAME=SIZE,… for some, each with :stop-copy behind it or not';

/**
 * The devices with state of their own in a text like `64M` (each device), `gpu=64M,nic=1M`, `64M:stop-copy` (without
 * pre-copy). UsageError: no such device, no such size, twice the same.
 */
export function parseStateSizes(text: string, names: readonly string[]): StateSize[] {
  const sizes: StateSize[] = [];
  for (const entry of text.split(',').map((each) => each.trim())) {
    const [size, name] = entry.split('=').reverse();
    const preCopy = !size.endsWith(STOP_COPY_ONLY);
    const bytes = parseSize(preCopy ? size : size.slice(0, -STOP_COPY_ONLY.length), 'device-state');
    if (!Number.isInteger(bytes / PAGE) || bytes > MOST) {
      throw new UsageError(`device-state: '${entry}' is not a multiple of 4K up to 1T`);
    }
    for (const device of devicesOf(text, name, names)) sizes.push({ device, bytes, preCopy });
  }
  const twice = sizes.find(({ device }, i) => sizes.findIndex((each) => each.device === device) !== i);
  if (twice) throw new UsageError(`device-state: '${text}' gives ${names[twice.device]} a size twice; ${RIGHT}`);
  if (sizes.length === 0) throw new UsageError('device-state: the recording has no devices');
  return sizes.sort((a, b) => a.device - b.device);
}

function devicesOf(text: string, name: string | undefined, names: readonly string[]): number[] {
  if (name === undefined) return names.map((_, device) => device);
  const device = names.indexOf(name);
  if (device >= 0) return [device];
  throw new UsageError(`device-state: '${text}' names ${name}; the recording has ${names.join(', ')}; ${RIGHT}`);
}
