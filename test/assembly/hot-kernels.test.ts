import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const TEXT = readFileSync(new URL('../../build/core.wat', import.meta.url), 'utf8');

/** The functions of the release text whose names match. */
function functionsLike(pattern: RegExp): { name: string; body: string }[] {
  const starts = [...TEXT.matchAll(/^ \(func (\S+)/gm)];
  return starts
    .map((start, i) => ({ name: start[1], body: TEXT.slice(start.index, starts[i + 1]?.index ?? TEXT.length) }))
    .filter(({ name }) => pattern.test(name));
}

describe('the text of the hot kernels', () => {
  // A kernel that is not found was inlined into another one, or renamed: then its pattern has to say so.
  it.each<[string, RegExp, RegExp?]>([
    ['marking a list', /bitmap\/mark\/bitmapMarkList$/],
    ['marking short ranges', /bitmap\/mark\/markShort$/],
    // It calls the one before once for a whole list.
    ['marking ranges', /bitmap\/mark\/bitmapMarkRanges$/, /call \$assembly\/bitmap\/mark\/markShort\b/],
    ['marking a range', /bitmap\/mark\/setBits$/],
    ['counting', /bitmap\/count\/countBits$/],
    ['merging', /bitmap\/merge\/bitmapOr$/],
    ['finding words with edges', /bitmap\/runs\/lookAhead$/],
    // It calls the one before once for many words.
    ['finding runs', /bitmap\/runs\/writeEdges$/, /call \$assembly\/bitmap\/runs\/lookAhead\b/],
    ['finding one run', /bitmap\/runs\/seek$/],
    ['listing pages', /bitmap\/pages\/writePages$/],
    ['finding changed words', /state\/delta\/changedRuns$/],
    ['a checksum by tables', /state\/crc32c\/extendByTables$/],
    // It calls the one before once a page.
    ['the checksum of a page', /state\/crc32c\/extend$/, /call \$assembly\/state\/crc32c\/extendByTables\b/],
    ['walking', /pagetable\/walk\/walk</],
    ['running a batch', /dma\/quick\/runQuick</],
    ['one access that the IOTLB has', /dma\/hit\/deviceHit$/],
    ['writing leaves', /pagetable\/map\/fillLeaves</],
    ['looking for groups with a dirty bit', /pagetable\/dirty-group\/dirtyGroups</],
    ['reading 64 dirty bits', /pagetable\/dirty-group\/dirtyGroup</],
  ])('%s: no call, no managed object, no check of bounds', (_, pattern, allowed) => {
    const kernels = functionsLike(pattern);
    const found = kernels.flatMap(({ name, body }) =>
      [...body.matchAll(/\bcall\S*[^\n]*|~lib\S*|\bunreachable\b|\bglobal\.\w+[^\n]*/g)].map(
        ([what]) => `${name}: ${what}`,
      ),
    );
    expect([kernels.length > 0, found.filter((what) => !allowed?.test(what))]).toEqual([true, []]);
  });

  it('would show a call: there are some elsewhere', () => {
    expect(functionsLike(/bitmap\/drain\/bitmapDrain$/)[0].body).toMatch(/\bcall \$/);
  });
});

describe('a million hot calls', () => {
  // In a process of its own and as shipped: what a test runner makes of modules allocates where they do not.
  const path = fileURLToPath(new URL('heap-growth.mjs', import.meta.url));
  // The compiler does its work in between, not at its leisure beside the calls: how busy the machine is must not matter.
  const args = ['--no-concurrent-recompilation', path];
  const { flat, grown, usedBytes } = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as {
    flat: number;
    grown: Record<string, number>;
    usedBytes: number[];
  };

  it.each(['mark by page', 'mark by address', 'has', 'access', 'post', 'access and post'])(
    'leave the heap as it is: %s',
    (name) => {
      expect(grown[name]).toBeLessThan(flat);
    },
  );

  it('leave the core as it is', () => {
    expect(usedBytes[0]).toBeGreaterThan(0);
    expect(usedBytes[1]).toBe(usedBytes[0]);
  });

  it('would show one object a call', () => {
    expect(grown['an object']).toBeGreaterThan(flat);
  });
});
