/**
 * `value`, if it can stand in a result: a whole number from 0 to 2^53 - 1.
 * @throws RangeError naming `name` otherwise.
 */
export function exact(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is ${value}; it must be a whole number from 0 to 2^53 - 1`);
  }
  return value;
}

/** As `exact`, from 1. */
export function exactPositive(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`${name} is ${value}; it must be a whole number from 1 to 2^53 - 1`);
  }
  return value;
}
