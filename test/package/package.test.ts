import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONSUMER, CONSUMER_RESULT, tsconfig } from './consumer.ts';
import { ROOT, pack, writeConsumer, type Packed } from './packed.ts';
import { runNode } from './run.ts';

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown> & {
  exports: Record<string, string | { types: string; default: string }>;
};
const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const ATTW = join(ROOT, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js');

let packed: Packed;
beforeAll(() => {
  packed = pack();
});
afterAll(() => packed.remove());

describe('the packed tarball', () => {
  it('holds what is built from today’s sources, and nothing of tests or sources', () => {
    const modules = packed.files.filter((path) => /^dist\/src\/.*\.js$/.test(path));
    expect(modules.length).toBeGreaterThan(10);
    const stale = modules.filter((path) => !existsSync(join(ROOT, path.slice('dist/'.length).replace(/\.js$/, '.ts'))));
    expect(stale).toEqual([]);
    const known = /^(dist|docs|examples)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json|build\/core\.wasm)$/;
    expect(packed.files.filter((path) => !known.test(path))).toEqual(['src/report/compare.schema.json']);
  });

  it('has a file for each entry of its exports map, types first', () => {
    for (const [entry, target] of Object.entries(manifest.exports)) {
      const targets = typeof target === 'string' ? { default: target } : target;
      const conditions = Object.keys(targets);
      expect(conditions, entry).toEqual(conditions.length === 1 ? ['default'] : ['types', 'default']);
      for (const path of Object.values(targets)) expect(packed.files, entry).toContain(path.replace('./', ''));
    }
  });

  it('passes publint, strict', async () => {
    const tarball = readFileSync(packed.tarball);
    const { messages, pkg } = await publint({
      pack: {
        tarball: tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength) as ArrayBuffer,
      },
      strict: true,
    });
    expect(messages.map((message) => formatMessage(message, pkg!))).toEqual([]);
  });

  it('passes attw as an ESM-only package', () => {
    const files = ['core.wasm', 'schema/compare.json', 'package.json'];
    const args = [ATTW, packed.tarball, '--profile', 'esm-only', '--no-color', '--exclude-entrypoints', ...files];
    const { code, stdout, stderr } = runNode(args, packed.folder);
    expect(code, stdout + stderr).toBe(0);
    for (const entry of ['standalone', 'iommu', 'iommufd', 'type1', 'vfio', 'uapi', 'device', 'address-space']) {
      expect(stdout).toContain(`"wasm-iommu/${entry}"`);
    }
  });
});

describe('a consumer of the package', () => {
  it('compiles with NodeNext and without the DOM, and runs in Node', () => {
    const folder = writeConsumer(packed, 'nodenext', {
      'package.json': '{"type":"module"}',
      'main.ts': CONSUMER,
      'print.ts': "import { result } from './main.js';\nexport default result;\n",
      'run.js': "import result from './print.js';\nconsole.log(result);\n",
      'tsconfig.json': tsconfig({ module: 'NodeNext' }),
    });
    const compiled = runNode([TSC, '-p', folder], folder);
    expect(compiled.stdout).toBe('');
    expect(compiled.code).toBe(0);
    const { code, stdout, stderr } = runNode(['run.js'], folder);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout.trim()).toBe(CONSUMER_RESULT);
  });

  it('compiles for a bundler, is bundled by esbuild, and runs', async () => {
    const folder = writeConsumer(packed, 'bundler', {
      'main.ts': CONSUMER,
      'tsconfig.json': tsconfig({ module: 'ESNext', moduleResolution: 'bundler', noEmit: true }),
    });
    const compiled = runNode([TSC, '-p', folder], folder);
    expect(compiled.stdout).toBe('');
    expect(compiled.code).toBe(0);
    const outfile = join(folder, 'out.mjs');
    const { warnings } = await build({
      entryPoints: [join(folder, 'main.ts')],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      logLevel: 'silent',
    });
    expect(warnings).toEqual([]);
    const module = (await import(/* @vite-ignore */ outfile)) as { result: string };
    expect(module.result).toBe(CONSUMER_RESULT);
  });

  it('gets the same API from the standalone file', () => {
    const script = `import * as all from 'wasm-iommu'; import * as one from 'wasm-iommu/standalone';
      console.log(JSON.stringify([Object.keys(all).sort(), Object.keys(one).sort()]));`;
    const folder = writeConsumer(packed, 'standalone', { 'run.mjs': script });
    const { stdout, stderr } = runNode(['run.mjs'], folder);
    expect(stderr).toBe('');
    const [all, one] = JSON.parse(stdout) as string[][];
    expect(all).toContain('open');
    expect(one).toEqual(all);
  });

  it('finds the core, the schema and the manifest through the exports map, and nothing else', () => {
    const script = `import { readFileSync } from 'node:fs'; import { fileURLToPath } from 'node:url';
      const read = (entry) => readFileSync(fileURLToPath(import.meta.resolve('wasm-iommu/' + entry)));
      const core = await WebAssembly.compile(read('core.wasm'));
      let inside = 'open';
      try { await import('wasm-iommu/dist/src/core/core.js'); } catch (error) { inside = error.code; }
      console.log(JSON.stringify({
        imports: WebAssembly.Module.imports(core).map(({ module, name }) => module + '.' + name),
        schema: JSON.parse(read('schema/compare.json').toString()).$schema,
        name: JSON.parse(read('package.json').toString()).name,
        inside,
      }));`;
    const folder = writeConsumer(packed, 'files', { 'run.mjs': script });
    const { stdout, stderr } = runNode(['run.mjs'], folder);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      imports: ['env.memory'],
      schema: 'https://json-schema.org/draft/2020-12/schema',
      name: 'wasm-iommu',
      inside: 'ERR_PACKAGE_PATH_NOT_EXPORTED',
    });
  });

  it.each([
    ['node.mjs', /^round 1: 15 pages\n.*disk 0x420000/ms],
    [
      'iommufd.mjs',
      /^quirks: strict\n.*over the hole: {2}errno 22\n.*^quirks: linux-6\.12\n.*over the hole: {2}pages 5\n/ms,
    ],
    [
      'nested.mjs',
      /24 entries for one address\n.*0x40003000 {2}a table of the guest.*stage 2, asked for 0x40400000\n/s,
    ],
    [
      'migrate-device.mjs',
      /the checksum of frame 1 differs.*local memory equal; the last order has put 0,7,7,7,7,7,7,7 there/s,
    ],
  ])('runs the example %s as it stands in the package', (name, printed) => {
    const { code, stdout, stderr } = runNode([join(packed.installed, 'examples', name)], packed.folder);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(printed);
  });

  it('has a test for each example', () => {
    const scripts = packed.files.filter((path) => /^examples\/[\w-]+\.mjs$/.test(path)).map((path) => path.slice(9));
    expect(scripts.sort()).toEqual(['iommufd.mjs', 'migrate-device.mjs', 'nested.mjs', 'node.mjs']);
  });
});

describe('the command', () => {
  it('is a script for node, and prints its help', () => {
    const bin = join(packed.installed, 'dist', 'src', 'cli', 'main.js');
    expect(existsSync(bin), `${bin} is what package.json names as bin`).toBe(true);
    expect(statSync(bin).isFile()).toBe(true);
    expect(readFileSync(bin, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { code, stdout, stderr } = runNode([bin, '--help'], packed.folder);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: wasm-iommu /);
  });
});

describe('the standalone file', () => {
  it('is one module with a licence line, no node: import, and nothing that a strict policy forbids', () => {
    const text = readFileSync(join(packed.installed, 'dist', 'standalone.js'), 'utf8');
    expect(text.split('\n')[0]).toMatch(/^\/\*! wasm-iommu \d+\.\d+\.\d+ \| Apache-2\.0 /);
    expect(text).not.toMatch(/\bimport\b\s*(?:\(|[\w*{"'])/);
    expect(text).not.toMatch(/\beval\s*\(|\bnew Function\b|\bFunction\(/);
    expect(text).not.toContain('node:');
  });
});
