import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDuration, parsePositiveDuration, parseRate, parseSize } from '../../src/units/units.ts';
import { UsageError } from '../../src/units/usage-error.ts';
import { formatBytes, formatDuration, formatLeaf, formatRate } from '../../src/units/quantity.ts';

const PARSERS = [parseSize, parseRate, parseDuration] as const;

/** The message of the UsageError that `run` must throw. */
function complaint(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).message;
  }
  throw new Error('nothing was thrown');
}

describe('parseSize', () => {
  test.each([
    ['4096', 4_096],
    ['1B', 1],
    ['4K', 4_096],
    ['4k', 4_096],
    ['4KB', 4_096],
    ['64KiB', 65_536],
    ['64kib', 65_536],
    ['128M', 2 ** 27],
    [' 128 MiB ', 2 ** 27],
    ['1GiB', 2 ** 30],
    ['1g', 2 ** 30],
    ['2T', 2 ** 41],
    ['1.5G', 1.5 * 2 ** 30],
    ['0.5K', 512],
    ['1.50', NaN],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['8191T', 8_191 * 2 ** 40],
  ])('%s', (text, bytes) => {
    if (Number.isNaN(bytes)) expect(() => parseSize(text)).toThrow(/is not a whole number of bytes/);
    else expect(parseSize(text)).toBe(bytes);
  });

  test.each([
    'K',
    '4X',
    '4iB',
    '4Ki',
    '0x1000',
    '1e6',
    '4_096',
    '4,096',
    '1..5K',
    '.5K',
    '5.K',
    '4K4',
    '+4K',
    'NaN',
    '4Kbit',
  ])('%s is no size', (text) => expect(complaint(() => parseSize(text))).toMatch(/is not a size/));

  test('the error repeats the text, names the argument and shows what would be right', () => {
    expect(complaint(() => parseSize('4X', '--ram'))).toBe(
      '--ram: "4X" is not a size (unknown unit "X"); write for example 4096, 4K, 64KiB, 128M or 1GiB (K, M, G and T are ' +
        'powers of 1024)',
    );
  });

  test('0, fractions of a byte and what a double cannot hold', () => {
    expect(complaint(() => parseSize('0'))).toContain('is 0, a size above 0 is needed');
    expect(complaint(() => parseSize('0.0G'))).toContain('is 0');
    expect(complaint(() => parseSize('1.0001K'))).toContain('is not a whole number of bytes');
    expect(complaint(() => parseSize('9007199254740992'))).toContain('is too large, at most 9007199254740991 bytes');
    expect(complaint(() => parseSize('8192T'))).toContain('is too large');
  });
});

describe('parseRate', () => {
  test.each([
    ['1Gbit', 1e9],
    ['1Gbit/s', 1e9],
    ['1gbit', 1e9],
    ['1Gbps', 1e9],
    ['1Gb/s', 1e9],
    ['100Mbit', 100e6],
    ['100mbps', 100e6],
    ['10 Gbit/s', 10e9],
    ['2.5Gbit', 2.5e9],
    ['125MB/s', 1e9],
    ['125MBps', 1e9],
    ['1Tbit', 1e12],
    ['64kbit/s', 64e3],
    ['1200bit/s', 1_200],
    ['9600bps', 9_600],
  ])('%s', (text, rate) => expect(parseRate(text)).toBe(rate));

  test.each(['1G', '1GB', '1Gb', '1Gbit/h', '125MiB/s', '1Gibit', 'Gbit', '1Gbit/', '1bitps/s'])(
    '%s is no rate',
    (text) => expect(complaint(() => parseRate(text))).toMatch(/is not a rate.*; write for example 1Gbit, 10Gbit\/s/),
  );

  test('a number without a unit could be bits or bytes', () => {
    expect(complaint(() => parseRate('1000', '--link'))).toMatch(/^--link: "1000" is a rate without a unit;/);
  });

  test('0, fractions and what a double cannot hold', () => {
    expect(complaint(() => parseRate('0Gbit'))).toContain('is 0, a rate above 0 is needed');
    expect(complaint(() => parseRate('0.5bit/s'))).toContain('is not a whole number of bits per second');
    expect(complaint(() => parseRate('9008Tbit'))).toContain('is too large');
    expect(parseRate('9007Tbit')).toBe(9_007e12);
  });
});

describe('parseDuration', () => {
  test.each([
    ['250ns', 250],
    ['100us', 100_000],
    ['100\u00b5s', 100_000],
    ['100\u03bcs', 100_000],
    ['40ms', 40_000_000],
    ['60s', 60_000_000_000],
    ['1.5s', 1_500_000_000],
    ['0.1ms', 100_000],
    ['2m', 120_000_000_000],
    ['2min', 120_000_000_000],
    ['1h', 3_600_000_000_000],
    ['1 h', 3_600_000_000_000],
    ['0', 0],
    ['0s', 0],
    ['0.0ms', 0],
  ])('%s', (text, ns) => expect(parseDuration(text)).toBe(ns));

  test.each(['40Ms', '40MS', '1d', 's', '1m30s', '1:30', 'Infinitys'])('%s is no duration', (text) =>
    expect(complaint(() => parseDuration(text))).toMatch(/is not a duration.*; write for example 40ms, 60s/),
  );

  test('a number without a unit, parts of a nanosecond, and what a double cannot hold', () => {
    expect(complaint(() => parseDuration('40', '--downtime-limit'))).toMatch(
      /^--downtime-limit: "40" is a duration without a unit;/,
    );
    expect(complaint(() => parseDuration('0.5ns'))).toContain('is not a whole number of nanoseconds');
    expect(complaint(() => parseDuration('2503h'))).toContain('is too large');
    expect(parseDuration('2501h')).toBe(2_501 * 3_600_000_000_000);
  });

  test('an interval must be above 0', () => {
    expect(complaint(() => parsePositiveDuration('0', '--windows'))).toMatch(
      /^--windows: "0" is 0, a duration above 0/,
    );
    expect(complaint(() => parsePositiveDuration('0ms'))).toContain('a duration above 0 is needed');
    expect(parsePositiveDuration('1ns')).toBe(1);
  });
});

describe('all units', () => {
  test.each(['', '   ', '\n'])('empty text %j', (text) => {
    for (const parse of PARSERS) expect(complaint(() => parse(text, '--x'))).toMatch(/^--x: .* is empty/);
  });

  test('negative numbers', () => {
    expect(complaint(() => parseSize('-4K'))).toContain('"-4K" is negative, which no size can be');
    expect(complaint(() => parseRate('-1Gbit'))).toContain('is negative');
    expect(complaint(() => parseDuration('-0'))).toContain('is negative');
  });

  test('endless text is cut short in the message and not computed with', () => {
    for (const parse of PARSERS) expect(complaint(() => parse('9'.repeat(100_000))).length).toBeLessThan(300);
  });

  test('any text gives a whole number or a UsageError', () => {
    const text = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[-+]?\d{0,20}(\.\d{0,4})? ?[kKmMgGtT]?(i?[bB]|bit|s|in|h)?(\/s|ps)?$/),
    );
    fc.assert(
      fc.property(text, fc.constantFrom(...PARSERS), (written, parse) => {
        try {
          const value = parse(written);
          return Number.isSafeInteger(value) && value >= 0;
        } catch (error) {
          return error instanceof UsageError;
        }
      }),
      { seed: 4, numRuns: 2_000 },
    );
  });

  test('what the report prints exactly is read back as the same number', () => {
    const digits = fc.integer({ min: 1, max: 999 });
    const power = fc.integer({ min: 0, max: 4 });
    fc.assert(
      fc.property(digits, power, (count, p) => {
        const bytes = count * 1_024 ** p;
        const ns = count * 1_000 ** Math.min(p, 3);
        const rate = count * 1_000 ** p;
        return (
          parseSize(formatBytes(bytes)) === bytes &&
          parseSize(formatLeaf(bytes)) === bytes &&
          parseDuration(formatDuration(ns)) === ns &&
          parseRate(formatRate(rate)) === rate
        );
      }),
      { seed: 5 },
    );
  });

  test('leaf sizes are read back whatever they are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        (bytes) => parseSize(formatLeaf(bytes)) === bytes,
      ),
      { seed: 6 },
    );
  });

  test('fractions are exact, against integer arithmetic', () => {
    fc.assert(
      fc.property(fc.nat(8_000), fc.integer({ min: 1, max: 999_999_999 }), (seconds, ns) => {
        const text = `${seconds}.${String(ns).padStart(9, '0')}s`;
        return parseDuration(text) === seconds * 1e9 + ns;
      }),
      { seed: 7 },
    );
  });
});
