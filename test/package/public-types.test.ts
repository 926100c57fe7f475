import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './packed.ts';
import { PublicTypes } from './public-types.ts';

const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { types: string }>;
};
const ENTRIES = Object.entries(exports).flatMap(([entry, target]) =>
  typeof target === 'string' || entry === './standalone' ? [] : [{ entry, file: join(ROOT, target.types) }],
);
const SUBPATHS = ENTRIES.filter(({ entry }) => entry !== '.');

describe('the public types', () => {
  const types = new PublicTypes(
    ENTRIES.map(({ file }) => file),
    join(ROOT, 'dist/'),
  );
  const all = types.namesOf(join(ROOT, 'dist/src/index.d.ts'));

  it('compile by themselves: without the DOM, Node, WebAssembly, or the loader', () => {
    expect(types.errors).toEqual([]);
    expect(types.files.filter((file) => !/^(src|assembly)\//.test(file))).toEqual([]);
  });

  it('have names for all that they mention', () => {
    expect(types.nameless(all)).toEqual([]);
    // One interface alone leaves names to the others.
    expect(types.nameless(types.namesOf(join(ROOT, 'dist/src/iommufd/index.d.ts')))).toContain('BindOptions -> Iommu');
  });

  it.each(SUBPATHS)('of $entry are those of the package, by the same names', ({ entry, file }) => {
    const prefix = entry === './uapi' ? 'uapi.' : '';
    const names = [...types.namesOf(file)];
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter(([name, symbol]) => all.get(prefix + name) !== symbol).map(([name]) => name)).toEqual([]);
  });

  it('have a subpath for each interface', () => {
    const interfaces = ['address-space', 'device', 'iommu', 'iommufd', 'type1', 'uapi', 'vfio'];
    expect(SUBPATHS.map(({ entry }) => entry)).toEqual(interfaces.map((name) => `./${name}`));
  });
});
