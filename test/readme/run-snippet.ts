import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { ROOT } from '../package/packed.ts';
import { commandsOf, type Snippet } from './snippets.ts';

const LIMIT_MS = 120_000;

/**
 * Commands that a README shows and this test leaves out. Installing, building and formatting would change the packages and
 * files under the running tests; the tests, in all their forms, would run themselves; checks and benchmarks are long.
 */
const EXEMPT =
  /^(npm (ci|i|install|test)|npm run (build|format|test|soak|coverage|mutants|check|lint|typecheck|bench)|bash \.ci\/run)\b/;

/** A command's parts between `&&` that are run; undefined where none is left. */
export function runnable(command: string): string | undefined {
  const parts = command.split('&&').map((part) => part.trim());
  const left = parts.filter((part) => !EXEMPT.test(part));
  return left.length > 0 ? left.join(' && ') : undefined;
}

/** A command as it is written. */
export const asShown = (command: string) => command;

/**
 * The same command, started without npx, which takes five times as long as what it starts. Whatever is not called by just this
 * name goes through npx.
 */
export function direct(command: string): string {
  return command.replace(/^npx wasm-iommu(?= )/, 'node dist/src/cli/main.js');
}

function run(program: string, args: readonly string[], where: string): string {
  const { status, signal, stdout, stderr } = spawnSync(program, args, {
    cwd: ROOT,
    encoding: 'utf8',
    input: '',
    // `npx wasm-iommu` would prepare the package, that is, build it once more.
    env: { ...process.env, npm_config_ignore_scripts: 'true' },
    timeout: LIMIT_MS,
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return stdout;
  throw new Error(`${where}: ended with ${signal ?? status}\n${stdout}${stderr}`);
}

/** Runs a `ts` or `js` snippet as a module of the checkout, where `wasm-iommu` is the package itself; what it printed. */
export function runModule(snippet: Snippet, name: string): string {
  const { code } = transformSync(snippet.text, {
    loader: 'ts',
    format: 'esm',
    target: 'es2022',
    // Keeps imports that nothing uses: each of them must be there.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  // Inside the checkout, for the package to find itself; hidden, for nothing else to find it.
  const folder = mkdtempSync(join(ROOT, '.snippet-'));
  try {
    const file = join(folder, 'snippet.mjs');
    writeFileSync(file, code);
    return run(process.execPath, [file], `${name}:${snippet.line}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs each command of a `sh` snippet that is not exempt in the checkout's root, started as `start` says; what they printed.
 */
export function runCommands(snippet: Snippet, name: string, start = direct): string {
  const commands = commandsOf(snippet).map(runnable);
  return commands
    .filter((command) => command !== undefined)
    .map((command) => run('bash', ['-c', start(command)], `${name}:${snippet.line}: ${command}`))
    .join('');
}
