/**
 * Sizes, rates and durations as people write them. `what` names the argument in the error (`--ram`). Every result is a
 * whole number up to 2^53 - 1; a fraction is taken only where it gives a whole number of base units, and exactly.
 * Everything else throws a `UsageError` that repeats the text and shows what would be right. Space around the text, and
 * between number and unit, does not matter.
 */
import { UsageError } from './usage-error.ts';

interface Kind {
  readonly noun: string;
  /** What a whole number of is needed. */
  readonly base: string;
  readonly examples: string;
  /** Base units in one of the unit, or undefined where there is no such unit. */
  scale(unit: string): bigint | undefined;
}

const PREFIXES = ['', 'k', 'm', 'g', 't'];

const SIZE: Kind = {
  noun: 'size',
  base: 'bytes',
  examples: '4096, 4K, 64KiB, 128M or 1GiB (K, M, G and T are powers of 1024)',
  scale(unit) {
    const match = /^([kmgt]?)(?:i?b)?$/i.exec(unit);
    // `ib` alone would be a prefix's ending without the prefix.
    if (match === null || unit.toLowerCase() === 'ib') return undefined;
    return 1024n ** BigInt(PREFIXES.indexOf(match[1].toLowerCase()));
  },
};

const RATE: Kind = {
  noun: 'rate',
  base: 'bits per second',
  examples: '1Gbit, 10Gbit/s, 100Mbps or 125MB/s (decimal units; b is bits, B is bytes)',
  scale(unit) {
    const match = /^([kKmMgGtT]?)([bB][iI][tT]|b|B)(\/s|ps)?$/.exec(unit);
    if (match === null) return undefined;
    const [, prefix, quantity, per] = match;
    // A bare `1GB` is a size, and `1Gb` could be a slip of the shift key for it.
    if (quantity.length === 1 && per === undefined) return undefined;
    return 1000n ** BigInt(PREFIXES.indexOf(prefix.toLowerCase())) * (quantity === 'B' ? 8n : 1n);
  },
};

const NS_PER_UNIT = new Map<string, bigint>([
  ['ns', 1n],
  ['us', 1_000n],
  ['\u00b5s', 1_000n], // micro sign
  ['\u03bcs', 1_000n], // Greek mu, which looks the same
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['min', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);

const DURATION: Kind = {
  noun: 'duration',
  base: 'nanoseconds',
  examples: '40ms, 60s, 1.5s, 100us, 250ns, 2min or 1h',
  scale: (unit) => NS_PER_UNIT.get(unit),
};

const MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** No number up to 2^53 - 1 with a useful fraction is longer, and the cost of exact arithmetic stays bounded. */
const LONGEST = 64;

function wrong(kind: Kind, what: string, text: string, problem: string): UsageError {
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
  return new UsageError(`${what}: ${JSON.stringify(shown)} ${problem}; write for example ${kind.examples}`);
}

function parse(kind: Kind, text: string, what: string): number {
  const trimmed = text.trim();
  if (trimmed === '') throw wrong(kind, what, text, `is empty, a ${kind.noun} is needed`);
  if (/^-/.test(trimmed)) throw wrong(kind, what, text, `is negative, which no ${kind.noun} can be`);
  const match = trimmed.length > LONGEST ? null : /^(\d+)(?:\.(\d+))?\s*(\D*)$/.exec(trimmed);
  if (match === null) throw wrong(kind, what, text, `is not a ${kind.noun}`);
  const [, whole, fraction = '', unit] = match;
  const scale = kind.scale(unit);
  if (scale === undefined) throw wrong(kind, what, text, unknownUnit(kind, unit));
  const scaled = BigInt(whole + fraction) * scale;
  const divisor = 10n ** BigInt(fraction.length);
  if (scaled % divisor !== 0n) throw wrong(kind, what, text, `is not a whole number of ${kind.base}`);
  const value = scaled / divisor;
  if (value > MAX) throw wrong(kind, what, text, `is too large, at most ${MAX} ${kind.base} can be counted exactly`);
  return Number(value);
}

function unknownUnit(kind: Kind, unit: string): string {
  return unit === ''
    ? `is a ${kind.noun} without a unit`
    : `is not a ${kind.noun} (unknown unit ${JSON.stringify(unit)})`;
}

function parsePositive(kind: Kind, text: string, what: string): number {
  const value = parse(kind, text, what);
  if (value === 0) throw wrong(kind, what, text, `is 0, a ${kind.noun} above 0 is needed`);
  return value;
}

/** Bytes, above 0: `4096`, `4K`, `64KiB`, `128M`, `1GiB`, `1.5G`. Units are binary, with or without `B` or `iB`, in any case. */
export function parseSize(text: string, what = 'size'): number {
  return parsePositive(SIZE, text, what);
}

/**
 * Bits per second, above 0: `1Gbit`, `10 Gbit/s`, `1Gbps`, `125MB/s`. Units are decimal always, so `MiB/s` is an error;
 * the prefix may be in any case, and `b` (bits) against `B` (bytes) counts.
 */
export function parseRate(text: string, what = 'rate'): number {
  return parsePositive(RATE, text, what);
}

/** Nanoseconds, 0 included: `40ms`, `1.5s`, `100us`, `100µs`, `250ns`, `2min`, `2m`, `1h`. Only `0` may stand without a unit. */
export function parseDuration(text: string, what = 'duration'): number {
  return /^0+$/.test(text.trim()) ? 0 : parse(DURATION, text, what);
}

/** As `parseDuration`, for a duration that must be above 0, such as an interval. */
export function parsePositiveDuration(text: string, what = 'duration'): number {
  const value = parseDuration(text, what);
  if (value === 0) throw wrong(DURATION, what, text, 'is 0, a duration above 0 is needed');
  return value;
}
