// npm run bench:native: compiles the yardstick. Needs a C compiler (CC, cc, gcc or clang) and nothing else.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const sources = ['addon', 'bitmap', 'state', 'pagetable', 'dirty', 'dma'].map((name) => `${here}${name}.c`);
const flags = ['-std=c11', '-O3', '-march=native', '-Wall', '-Wextra', '-fPIC', '-shared', '-fvisibility=hidden'];
// Node's own symbols are found when it loads the addon; macOS has to be told so.
if (process.platform === 'darwin') flags.push('-undefined', 'dynamic_lookup');

const candidates = process.env.CC ? [process.env.CC] : ['cc', 'gcc', 'clang'];
const compiler = candidates.find((name) => spawnSync(name, ['--version']).status === 0);
if (!compiler) {
  console.error(
    `no C compiler: tried ${candidates.join(', ')}. Install one or name it in CC; npm run bench goes without.`,
  );
  process.exit(1);
}
mkdirSync(`${here}build`, { recursive: true });
const out = `${here}build/yardstick.node`;
const { status } = spawnSync(compiler, [...flags, ...sources, '-o', out], { stdio: 'inherit' });
if (status !== 0) {
  console.error(`${compiler} could not build the yardstick; npm run bench goes without.`);
  process.exit(1);
}
console.log(`${out}, by ${compiler}`);
