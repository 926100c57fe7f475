import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const COPIED = [
  'assembly',
  'src',
  'test',
  'build',
  'package.json',
  'asconfig.json',
  'tsconfig.json',
  'vitest.config.ts',
];
const LINKED = ['node_modules', 'examples'];

/** The property suites that run the core itself. */
export const CORE_SUITES = ['core', 'bitmap', 'iommu', 'device', 'interleavings'].map((room) => `test/${room}/`);

/** A copy of the checkout in a folder of its own, whose core may be built differently. */
export function copyCheckout() {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'wasm-iommu-copy-'));
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of LINKED) symlinkSync(join(ROOT, name), join(folder, name));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Path of a program of an installed package. */
export function program(path) {
  return join(ROOT, 'node_modules', path);
}

/**
 * Runs `node` with these arguments in `folder`: its exit code, null where `limitMs` ended it, and what it wrote. Nothing
 * that it started outlives it.
 */
export function runNode(folder, args, { limitMs = 600_000, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: folder,
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), limitMs);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
