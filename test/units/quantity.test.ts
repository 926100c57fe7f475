import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatIn,
  formatLeaf,
  formatRate,
  formatRatio,
  leafBytes,
} from '../../src/units/quantity.ts';

describe('quantities', () => {
  test.each([
    [0, '0'],
    [999, '999'],
    [1_000, '1,000'],
    [833_425, '833,425'],
    [792_833_171, '792,833,171'],
    [Number.MAX_SAFE_INTEGER, '9,007,199,254,740,991'],
  ])('count %d is %s', (count, text) => expect(formatCount(count)).toBe(text));

  test.each([
    [0, '0 B'],
    [1_023, '1,023 B'],
    [4_096, '4 KiB'],
    [128 * 2 ** 20, '128 MiB'],
    [792_833_171, '756 MiB'],
    [1.5 * 2 ** 30, '1.50 GiB'],
    [12.34 * 2 ** 20, '12.3 MiB'],
    [2 ** 30 - 1, '1.00 GiB'],
    [1_023 * 2 ** 20, '1,023 MiB'],
    [Number.MAX_SAFE_INTEGER, '8.00 PiB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(Math.round(bytes))).toBe(text));

  test.each([
    [0, '0 ns'],
    [250, '250 ns'],
    [1_500, '1.50 us'],
    [40_000_000, '40 ms'],
    [32_768_000, '32.8 ms'],
    [1_073_741_824, '1.07 s'],
    [999_999_999, '1.00 s'],
    [60_000_000_000, '60 s'],
    [3_600_000_000_000, '3,600 s'],
  ])('%d ns are %s', (ns, text) => expect(formatDuration(ns)).toBe(text));

  test.each([
    [1, '1 bit/s'],
    [1e9, '1 Gbit/s'],
    [2.5e9, '2.50 Gbit/s'],
    [100e6, '100 Mbit/s'],
    [400e9, '400 Gbit/s'],
    [5e15, '5,000 Tbit/s'],
  ])('%d bit/s are %s', (rate, text) => expect(formatRate(rate)).toBe(text));

  test.each([
    [512, '512'],
    [2_048, '2K'],
    [4_096, '4K'],
    [65_536, '64K'],
    [2 ** 21, '2M'],
    [2 ** 30, '1G'],
    [2 ** 39, '512G'],
    [2 ** 41, '2T'],
    [0, '0'],
  ])('a leaf of %d bytes is %s', (bytes, text) => expect(formatLeaf(bytes)).toBe(text));

  test.each([
    [0, '0.00'],
    [1, '1.00'],
    [0.001, '<0.01'],
    [9.994, '9.99'],
    [9.996, '10.0'],
    [23.45, '23.4'],
    [99.96, '100'],
    [1_234.5, '1,235'],
  ])('a ratio of %d is %s', (ratio, text) => expect(formatRatio(ratio)).toBe(text));

  test('a column shows 0 for nothing only', () => {
    expect(formatIn(2 ** 20, 0, 1)).toBe('0.0');
    expect(formatIn(2 ** 20, 4_096, 1)).toBe('<0.1');
    expect(formatIn(1e6, 1, 2)).toBe('<0.01');
    expect(formatIn(2 ** 20, 1, 0)).toBe('<1');
    expect(formatIn(1e6, 1_023_450_000, 2)).toBe('1,023.45');
  });

  test('leaf sizes are exact', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (bytes) => leafBytes(formatLeaf(bytes)) === bytes),
      { seed: 1 },
    );
    expect(leafBytes('none')).toBeNull();
    expect(leafBytes('4KiB')).toBeNull();
  });

  test.each([NaN, -1, 1.5, Infinity, 2 ** 53])('%d is refused', (value) => {
    for (const format of [formatCount, formatBytes, formatDuration, formatRate, formatLeaf]) {
      expect(() => format(value)).toThrow(`is ${value}; it must be an integer from 0 to 2^53 - 1`);
    }
  });

  test('a ratio that is no quotient is refused', () => {
    expect(() => formatRatio(NaN)).toThrow(/ratio is NaN/);
    expect(() => formatRatio(-0.5)).toThrow(/at least 0/);
    expect(() => formatRatio(Infinity)).toThrow(RangeError);
  });
});
