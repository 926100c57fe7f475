import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The rooms of src/, from the top to the bottom; those of one line may not see each other. */
const FLOORS = [
  ['cli', 'web'],
  ['report'],
  ['compare'],
  ['migration'],
  ['tracker'],
  ['oracle'],
  ['cost'],
  ['vfio'],
  ['iommufd'],
  ['type1'],
  ['uapi'],
  ['core'],
  ['device'],
  ['address-space'],
  ['iommu'],
  ['schedule'],
  ['workload'],
  ['bitmap'],
  ['wasm'],
  ['random'],
  ['units'],
  ['errno'],
];

/** The rooms of assembly/, from the top to the bottom. */
const ASSEMBLY_FLOORS = [
  ['index.ts'],
  ['pagetable', 'dma', 'iotlb', 'tracker', 'state'],
  ['bitmap'],
  ['memory'],
  ['layout.ts'],
];

function filesUnder(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') || name.endsWith('.mjs'))
    .map((name) => join(directory, name));
}

/** What follows `from` in a statement, or `import` by itself. */
const IMPORTED = /^\s*(?:import|export)\b[^;'"=]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/gm;

/** What a file imports (types, re-exports and `import()` included) from the repository, as paths from its root. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  return [...text.matchAll(IMPORTED)]
    .map(([, from, alone]) => from ?? alone)
    .filter((path) => path.startsWith('.'))
    .map((path) => relative(ROOT, join(ROOT, dirname(file), path)));
}

/** The room of a path in src/ or assembly/: its folder, or the file itself at the top. */
function roomOf(path: string): string {
  return path.split('/')[1];
}

function floorOf(floors: string[][], room: string): number {
  return floors.findIndex((rooms) => rooms.includes(room));
}

/** Imports that go up, or sideways into another room: `file -> import`. */
function upward(directory: string, floors: string[][], apart: boolean): string[] {
  return filesUnder(directory)
    .filter((file) => roomOf(file) !== 'index.ts' || directory === 'assembly')
    .flatMap((file) =>
      importsOf(file)
        .filter((path) => path.startsWith(`${directory}/`) && roomOf(path) !== roomOf(file))
        .filter((path) => {
          const [from, to] = [roomOf(file), roomOf(path.replace(/^(assembly\/\w+)$/, '$1.ts'))].map((room) =>
            floorOf(floors, room),
          );
          return to < from || (apart && to === from) || to < 0;
        })
        .map((path) => `${file} -> ${path}`),
    );
}

describe('the house', () => {
  it('knows every room of src/ and assembly/', () => {
    const rooms = new Set(filesUnder('src').map(roomOf));
    const assemblyRooms = new Set(filesUnder('assembly').map(roomOf));
    expect([...rooms].filter((room) => room !== 'index.ts' && floorOf(FLOORS, room) < 0)).toEqual([]);
    expect([...assemblyRooms].filter((room) => floorOf(ASSEMBLY_FLOORS, room) < 0)).toEqual([]);
    expect(rooms.size).toBeGreaterThan(10);
  });

  it('has rooms of src/ that import from rooms below them only', () => {
    expect(upward('src', FLOORS, true)).toEqual([]);
  });

  it('has rooms of assembly/ that import from rooms below them only', () => {
    expect(upward('assembly', ASSEMBLY_FLOORS, false)).toEqual([]);
  });

  it('has an oracle that shares nothing with what it judges', () => {
    const shared = filesUnder('src/oracle')
      .flatMap(importsOf)
      .filter((path) => /^(assembly|src\/(wasm|bitmap))\//.test(path));
    expect(shared).toEqual([]);
  });

  it('has an assembly/ that knows nothing of src/, and a src/ that knows only the layout of assembly/', () => {
    const up = filesUnder('assembly')
      .flatMap(importsOf)
      .filter((path) => !path.startsWith('assembly/'));
    const down = filesUnder('src')
      .flatMap(importsOf)
      .filter((path) => path.startsWith('assembly/'));
    expect([up, [...new Set(down)]]).toEqual([[], ['assembly/layout.ts']]);
  });

  it('imports what is not its own by name only where it may: node: in cli and web, the loader in wasm', () => {
    const foreign = filesUnder('src').flatMap((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8');
      const all = [...text.matchAll(IMPORTED)].map(([, from, alone]) => from ?? alone);
      const names = all.filter((name) => !name.startsWith('.'));
      return names.map(
        (name) =>
          `${roomOf(file)}${file.endsWith('.mjs') ? ' (build step)' : ''}: ${name.replace(/^node:.*/, 'node:')}`,
      );
    });
    const allowed = /^(cli: node:|wasm: @assemblyscript\/loader|\w+ \(build step\): .*)$/;
    expect([...new Set(foreign)].filter((use) => !allowed.test(use))).toEqual([]);
  });

  it('has no files of more than 400 lines', () => {
    // One is generated; the other is a list of constants in one place, so that each side finds all of them there.
    const lists = ['src/wasm/binary.ts', 'assembly/layout.ts'];
    const files = ['src', 'assembly'].flatMap(filesUnder).filter((file) => !lists.includes(file));
    const long = files.filter((file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length > 400);
    expect(long).toEqual([]);
  });
});
