import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import type { CompareResult } from '../../src/compare/result.ts';
import schema from '../../src/report/compare.schema.json' with { type: 'json' };
import { toJson } from '../../src/report/json.ts';
import { DEFAULT_ROWS, RESIZE, migrationResult, migrationRow, windowsResult, windowsRow } from './sample.ts';

const validate = new Ajv2020({ strict: true, allErrors: true }).compile(schema);

const MIGRATION = migrationResult(DEFAULT_ROWS);
const WINDOWS = windowsResult([windowsRow(), windowsRow({ tracker: 'iommu:amdv1', leaf: '64K' })]);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly (string | number)[];

function parsed(result: CompareResult): Json {
  return JSON.parse(toJson(result)) as Json;
}

/** Paths of all values below the root, containers before what they contain. */
function paths(value: Json, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  const keys = Array.isArray(value) ? value.map((_, i) => i) : Object.keys(value);
  return keys.flatMap((key) => {
    const path = [...at, key];
    return [path, ...paths((value as Record<string | number, Json>)[key], path)];
  });
}

function valueAt(value: Json, path: Path): Json {
  return path.reduce<Json>((inner, key) => (inner as Record<string | number, Json>)[key], value);
}

/** A copy of `value` in which what lies at `path` is replaced, or removed where `by` is undefined. */
function changed(value: Json, path: Path, by: Json | undefined): Json {
  const copy = structuredClone(value);
  const holder = valueAt(copy, path.slice(0, -1)) as Record<string | number, Json>;
  const key = path[path.length - 1];
  if (by === undefined) delete holder[key];
  else holder[key] = by;
  return copy;
}

/** Where null may stand, and text as well. */
const NULL_OR_TEXT = ['options.phase', 'options.deviceState'];

/** A result in which nothing is null that need not be. */
const FULL: CompareResult = {
  ...migrationResult([
    migrationRow({
      deviceState: { devices: 2, bytes: 8192, preCopyBytes: 9, stopCopyLength: 8, stopCopyBytes: 7, rounds: [9, 7] },
    }),
  ]),
  options: {
    ...MIGRATION.options,
    qemu: { devices: '1xnolog,log', chosen: [{ tracker: 'qemu', uses: 'iommu:amdv1', why: 'one has no log' }] },
    deviceState: '64M',
  },
};

const SAMPLES = [
  ['migration', parsed(migrationResult([migrationRow()]))],
  ['windows', parsed(windowsResult([windowsRow()]))],
  ['resizing', parsed(migrationResult([migrationRow({ resize: RESIZE })]))],
  ['full migration', parsed(FULL)],
] as const;

describe('compare.schema.json', () => {
  test('accepts what toJson writes, of both kinds', () => {
    for (const result of [MIGRATION, WINDOWS]) {
      validate(parsed(result));
      expect(validate.errors).toBeNull();
    }
  });

  test('accepts the ends of the ranges', () => {
    const nothing = windowsRow({ windows: { count: 1, reportedBytes: 0, trueBytes: 0, ratio: null } });
    expect(validate(parsed(windowsResult([nothing])))).toBe(true);
    expect(validate(parsed(migrationResult([migrationRow({ totalBytes: Number.MAX_SAFE_INTEGER })])))).toBe(true);
    expect(validate(parsed(migrationResult([], { phase: null })))).toBe(true);
  });

  test('accepts fields that a later version adds', () => {
    const later = changed(changed(parsed(MIGRATION), ['added'], 'new'), ['results', 0, 'added'], { deep: 1 });
    expect(validate(later)).toBe(true);
  });

  test.each(SAMPLES)('demands every field of a %s result', (_, sample) => {
    const accepted = paths(sample)
      .filter((path) => typeof path[path.length - 1] === 'string')
      .filter((path) => validate(changed(sample, path, undefined)));
    expect(accepted).toEqual([]);
  });

  test.each(SAMPLES)('refuses a wrong type anywhere in a %s result', (_, sample) => {
    const accepted = paths(sample).filter((path) => {
      const value = valueAt(sample, path);
      const wrong = typeof value === 'number' || typeof value === 'boolean' || value === null ? '1' : 1;
      return validate(changed(sample, path, value === null && NULL_OR_TEXT.includes(path.join('.')) ? 1 : wrong));
    });
    expect(accepted).toEqual([]);
  });

  test.each(SAMPLES)('refuses numbers out of range in a %s result', (_, sample) => {
    const numbers = paths(sample).filter((path) => typeof valueAt(sample, path) === 'number');
    const mayBeFraction = (path: Path) => path.at(-1) === 'ratio' || path.at(-1) === 'value';
    expect(numbers.length).toBeGreaterThan(25);
    expect(numbers.filter((path) => validate(changed(sample, path, -1)))).toEqual([]);
    const whole = numbers.filter((path) => !mayBeFraction(path));
    expect(whole.filter((path) => validate(changed(sample, path, 0.5)))).toEqual([]);
    expect(whole.filter((path) => validate(changed(sample, path, 2 ** 53)))).toEqual([]);
  });

  test('refuses unknown words', () => {
    const sample = SAMPLES[0][1];
    expect(validate(changed(sample, ['schema'], 'wasm-iommu/compare@2'))).toBe(false);
    expect(validate(changed(sample, ['options', 'mode'], 'other'))).toBe(false);
    expect(validate(changed(sample, ['results', 0, 'claims'], 'certain'))).toBe(false);
    expect(validate(changed(sample, ['results', 0, 'reason'], 'tired'))).toBe(false);
    expect(validate(changed(sample, ['results', 0, 'leaf'], '4 KiB'))).toBe(false);
    expect(validate(changed(sample, ['results', 0, 'leaf'], '4K'))).toBe(true);
  });

  test('refuses rows of the other mode', () => {
    expect(validate(changed(SAMPLES[0][1], ['options', 'mode'], 'windows'))).toBe(false);
    expect(validate(changed(SAMPLES[1][1], ['options', 'mode'], 'migration'))).toBe(false);
  });
});
