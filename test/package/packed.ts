import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The packed tarball, and a folder whose node_modules holds what it installs: what a consumer has, without a network. */
export interface Packed {
  readonly tarball: string;
  /** Consumers live here: their imports find the package. */
  readonly folder: string;
  /** The package as it is installed. */
  readonly installed: string;
  /** Paths in the tarball, without `package/`. */
  readonly files: readonly string[];
  remove(): void;
}

/** Packs the built checkout (`npm run build` comes first) and installs it. */
export function pack(): Packed {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'wasm-iommu-'));
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const [{ filename, files }] = JSON.parse(
    execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }),
  ) as [{ filename: string; files: { path: string }[] }];
  const tarball = join(folder, filename);
  const installed = join(folder, 'node_modules', 'wasm-iommu');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  mkdirSync(join(folder, 'node_modules', '@assemblyscript'));
  symlinkSync(
    join(ROOT, 'node_modules', '@assemblyscript', 'loader'),
    join(folder, 'node_modules', '@assemblyscript', 'loader'),
  );
  return {
    tarball,
    folder,
    installed,
    files: files.map(({ path }) => path),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Writes a consumer's files, by path from its folder; the folder's path. */
export function writeConsumer(packed: Packed, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(packed.folder, name);
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return folder;
}
