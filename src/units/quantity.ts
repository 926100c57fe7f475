/**
 * Quantities as people read them. Nothing here depends on a locale or a time zone: the same number gives the same text
 * everywhere. Every function throws a RangeError for a number that is negative, not finite, or not what its unit allows.
 */

interface Scale {
  readonly unit: string;
  /** Whole units of the scale's base (byte, nanosecond, bit per second). */
  readonly size: number;
}

const BYTES: readonly Scale[] = [
  { unit: 'B', size: 1 },
  { unit: 'KiB', size: 2 ** 10 },
  { unit: 'MiB', size: 2 ** 20 },
  { unit: 'GiB', size: 2 ** 30 },
  { unit: 'TiB', size: 2 ** 40 },
  { unit: 'PiB', size: 2 ** 50 },
];

const DURATIONS: readonly Scale[] = [
  { unit: 'ns', size: 1 },
  { unit: 'us', size: 1e3 },
  { unit: 'ms', size: 1e6 },
  { unit: 's', size: 1e9 },
];

const RATES: readonly Scale[] = [
  { unit: 'bit/s', size: 1 },
  { unit: 'kbit/s', size: 1e3 },
  { unit: 'Mbit/s', size: 1e6 },
  { unit: 'Gbit/s', size: 1e9 },
  { unit: 'Tbit/s', size: 1e12 },
];

const LEAF_UNITS = ['', 'K', 'M', 'G', 'T'] as const;

function requireCount(value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${what} is ${value}; it must be an integer from 0 to 2^53 - 1`);
  }
}

function groupThousands(digits: string): string {
  const point = digits.indexOf('.');
  const whole = point < 0 ? digits : digits.slice(0, point);
  return whole.replace(/\B(?=(?:\d{3})+$)/g, ',') + (point < 0 ? '' : digits.slice(point));
}

/** Decimals that leave three significant digits, as far as the number is below 1000. */
function decimalsFor(value: number): number {
  if (value >= 99.95) return 0;
  return value >= 9.995 ? 1 : 2;
}

function inScale(value: number, scales: readonly Scale[]): string {
  const last = scales.length - 1;
  for (let i = 0; i <= last; i++) {
    const { unit, size } = scales[i];
    const scaled = value / size;
    const digits = scaled.toFixed(value % size === 0 ? 0 : decimalsFor(scaled));
    // Compared after rounding, so that 1023.99 MiB reads as 1.00 GiB and not as 1,024 MiB.
    if (i === last || Number(digits) * size < scales[i + 1].size) return `${groupThousands(digits)} ${unit}`;
  }
  throw new RangeError('a scale without units');
}

/** A whole number with a comma before every third digit: 833425 -> `833,425`. */
export function formatCount(count: number): string {
  requireCount(count, 'count');
  return groupThousands(String(count));
}

/**
 * A number of `unit`s with a fixed number of decimals, for a table column whose heading names the unit. What is above 0
 * but rounds to 0 is shown as below the smallest step (`<0.1`), because 0 in these tables means "not one".
 */
export function formatIn(unit: number, value: number, decimals: number): string {
  requireCount(value, 'value');
  const digits = (value / unit).toFixed(decimals);
  if (value > 0 && Number(digits) === 0) return `<${(10 ** -decimals).toFixed(decimals)}`;
  return groupThousands(digits);
}

/** Bytes in binary units, exact where the unit divides them, else three significant digits: `128 MiB`, `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  requireCount(bytes, 'bytes');
  return inScale(bytes, BYTES);
}

/** Nanoseconds as ns, us, ms or s, exact where the unit divides them, else three significant digits: `40 ms`, `1.07 s`. */
export function formatDuration(ns: number): string {
  requireCount(ns, 'duration in ns');
  return inScale(ns, DURATIONS);
}

/** Bits per second in decimal units, exact where the unit divides them, else three significant digits: `1 Gbit/s`. */
export function formatRate(bitsPerSecond: number): string {
  requireCount(bitsPerSecond, 'bits per second');
  return inScale(bitsPerSecond, RATES);
}

/** A quotient with three significant digits: `1.00`, `23.5`, `1,024`. Above 0 but below 0.005: `<0.01`. */
export function formatRatio(ratio: number): string {
  if (!Number.isFinite(ratio) || ratio < 0) throw new RangeError(`ratio is ${ratio}; it must be finite and at least 0`);
  const digits = ratio.toFixed(decimalsFor(ratio));
  return ratio > 0 && Number(digits) === 0 ? '<0.01' : groupThousands(digits);
}

/** A leaf size in the largest binary unit that divides it, always exact: 4096 -> `4K`, 2097152 -> `2M`, 512 -> `512`. */
export function formatLeaf(bytes: number): string {
  requireCount(bytes, 'leaf size in bytes');
  let power = 0;
  let count = bytes;
  while (count > 0 && count % 1024 === 0 && power < LEAF_UNITS.length - 1) {
    count /= 1024;
    power++;
  }
  return `${count}${LEAF_UNITS[power]}`;
}

/** The bytes of a leaf size that `formatLeaf` wrote, or null for `none` and anything else that is no leaf size. */
export function leafBytes(leaf: string): number | null {
  const match = /^(\d+)([KMGT]?)$/.exec(leaf);
  if (match === null) return null;
  return Number(match[1]) * 1024 ** LEAF_UNITS.indexOf(match[2] as (typeof LEAF_UNITS)[number]);
}

/** Pages with their noun, and a word before it: `3 pages`, `1 page`, `1,012 stale pages`. */
export function formatPages(count: number, kind = ''): string {
  return `${formatCount(count)} ${kind === '' ? '' : `${kind} `}${count === 1 ? 'page' : 'pages'}`;
}

/** Smallest and largest of at least one value: `3.1`, or `3.1 to 4.5` where these differ as printed. */
export function formatRange(values: readonly number[], format: (value: number) => string): string {
  const low = format(Math.min(...values));
  const high = format(Math.max(...values));
  return low === high ? low : `${low} to ${high}`;
}
