import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('wasm-iommu/package.json')));

/** Flags of the release build (asconfig.json). */
const FLAGS = '--config none -O3 --noAssert --runtime stub --enable simd --importMemory --zeroFilledMemory';

/** Whether the core's source has this file. */
export function hasSource(path: string): boolean {
  return existsSync(ROOT + path);
}

/**
 * Kernels of the core that its exports do not show on their own: compiles AssemblyScript `source`, which imports them by
 * paths from the repository's root, with the flags of the release build. Throws what the compiler reports.
 */
export async function compileKernels<T>(source: string, memory: WebAssembly.Memory): Promise<T> {
  let wasm: Uint8Array | undefined;
  const args = ['bench-kernels.ts', '--baseDir', ROOT, ...FLAGS.split(' '), '--outFile', 'kernels.wasm'];
  const { error, stderr } = await asc.main(args, {
    readFile: (name, base) => {
      if (name === 'bench-kernels.ts') return source;
      const path = resolve(base, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : null;
    },
    writeFile: (name, contents) => {
      if (name === 'kernels.wasm') wasm = contents as Uint8Array;
    },
    listFiles: () => null,
  });
  if (error || !wasm) throw new Error(`${error?.message ?? 'no output'}\n${stderr.toString()}`);
  const module = new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
  return new WebAssembly.Instance(module, { env: { memory } }).exports as T;
}
