import { IommuError } from '../errno/error.ts';

/** Most entries that a cache can have. */
const MOST = 65536;

/** EINVAL that names `name` unless a cache can have `sets` x `ways`. */
export function checkGeometry(op: string, name: string, sets: number, ways: number): void {
  for (const [part, value] of Object.entries({ sets, ways })) {
    if (Number.isInteger(value) && value >= 1 && value <= MOST) continue;
    throw new IommuError('EINVAL', op, `${part} of ${name} is ${value}; it must be an integer from 1 to ${MOST}`);
  }
  if (Number.isInteger(Math.log2(sets)) && sets * ways <= MOST) return;
  const rule = `sets must be a power of two, and all entries at most ${MOST}`;
  throw new IommuError('EINVAL', op, `${name} is ${sets} sets x ${ways} ways; ${rule}`);
}
