import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const TEXT = readFileSync(new URL('../../build/core.wat', import.meta.url), 'utf8');
const DEBUG_TEXT = readFileSync(new URL('../../build/core.debug.wat', import.meta.url), 'utf8');

/** The functions of the text, by name. */
function functionsOf(text: string): Map<string, string> {
  const starts = [...text.matchAll(/^ \(func (\S+)/gm)];
  const bodies = starts.map((start, i): [string, string] => [
    start[1],
    text.slice(start.index, starts[i + 1]?.index ?? text.length),
  ]);
  return new Map(bodies);
}

/** Everything that `name` may call, itself included. */
function reachable(functions: Map<string, string>, name: string): Set<string> {
  const seen = new Set<string>([name]);
  for (const from of seen) {
    for (const [, callee] of functions.get(from)?.matchAll(/\bcall (\$\S+)/g) ?? []) seen.add(callee);
  }
  return seen;
}

/** How often a text holds `part`. */
function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** What the names of a format's kernels hold. */
const FORMATS = ['AmdV1', 'VtdSs', 'X86_64', 'Granule4K', 'Granule16K', 'Granule64K', 'RiscV', 'Mock2K'];

describe('the release build', () => {
  const functions = functionsOf(TEXT);
  const exported = new Map([...TEXT.matchAll(/\(export "(\w+)" \(func (\S+?)\)\)/g)].map(([, name, id]) => [name, id]));

  it.each(['@override', 'call_indirect', '(table', '(data', '(elem', 'memory.grow', '(start'])(
    'holds no %s',
    (part) => {
      expect(occurrences(TEXT, part)).toBe(0);
    },
  );

  it('imports its memory and nothing else', () => {
    const imports = [...TEXT.matchAll(/\(import "(\w+)" "(\w+)" \((\w+)/g)].map(([, ...what]) => what);
    expect(imports).toEqual([['env', 'memory', 'memory']]);
  });

  it('keeps no state of its own: no global that changes', () => {
    expect(TEXT.match(/\(global [^\n]*\(mut/g)).toBe(null);
  });

  it('has no runtime of managed objects', () => {
    expect([...functions.keys()].filter((name) => /~lib\/(rt|array|string|map|set|typedarray)/.test(name))).toEqual([]);
    expect(exported.has('__new')).toBe(false);
  });

  it('allocates in no hot kernel', () => {
    const allocates = (name: string) =>
      [...reachable(functions, name)].some((callee) => /memory\/(blocks|chunks)\/take|openSlot/.test(callee));
    // The dispatch is one function for all operations on a domain, those that allocate included: its kernels one by one.
    const kernels = [
      ...[
        'bitmapMark',
        'bitmapMarkList',
        'bitmapTest',
        'bitmapCount',
        'bitmapRuns',
        'bitmapPages',
        'bitmapOr',
        'bitmapDrain',
        'bitmapClear',
      ],
      ...['logReport', 'domainInvalidateAs', 'domainTrack', 'stateEncode', 'stateApply', 'stateChecksum'],
    ].map((name) => exported.get(name)!);
    const perFormat = [
      'dirty/readDirty',
      'quick/runQuick',
      'requests/step',
      'extents/accessExtents',
      'translate/resolve',
      // Stage 1 of two; stage 2 is looked up within.
      'nested/fillNested',
      'walk/walk',
    ];
    const inside = [...functions.keys()].filter((name) => perFormat.some((kernel) => name.includes(`/${kernel}<`)));
    // Each kernel is there for each format, or for both stages of Arm at once where their code is the same.
    const missing = perFormat.flatMap((kernel) =>
      FORMATS.filter((format) => !inside.some((name) => name.includes(`/${kernel}<`) && name.includes(format))),
    );
    expect([kernels.filter((name) => !functions.has(name)), missing]).toEqual([[], []]);
    expect([...kernels, ...inside].filter(allocates)).toEqual([]);
    expect(['bitmapCreate', 'domainMap', 'domainCreate'].map((name) => allocates(exported.get(name)!))).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('has code for every format, in both builds', () => {
    for (const format of [...FORMATS, 'ArmS1', 'ArmS2']) {
      const walkers = [...functionsOf(DEBUG_TEXT).keys()].filter(
        (name) => name.includes('walk<') && name.includes(format),
      );
      expect([format, walkers.length > 0]).toEqual([format, true]);
    }
    expect(DEBUG_TEXT).not.toMatch(/call_indirect|@override|\(import "env" "abort"/);
  });
});
