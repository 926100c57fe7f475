// Writes dist/standalone.js: the whole library as one ES module that a plain page can import, also under a content
// security policy of `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = new URL('../../', import.meta.url);
const manifest = (path) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
const { name, version, license } = manifest('package.json');
const loader = manifest('node_modules/@assemblyscript/loader/package.json');

await build({
  absWorkingDir: fileURLToPath(root),
  entryPoints: ['src/index.ts'],
  outfile: 'dist/standalone.js',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  // A `node:` import that slips in is an error on this platform.
  platform: 'browser',
  charset: 'utf8',
  // Names stay, so that a stack trace from a page can be read.
  minifyWhitespace: true,
  minifySyntax: true,
  banner: {
    js: `/*! ${name} ${version} | ${license} | with ${loader.name} ${loader.version}, ${loader.license} */`,
  },
  logLevel: 'warning',
});
