import { readFileSync } from 'node:fs';
import { open, type Core } from '../../src/core/core.ts';

/** Both builds of the core, in steps of one entry each. */
export const BUILDS = ['release', 'debug'] as const;
export type Build = (typeof BUILDS)[number];

/** A core of the build that does one entry, request or range per step. */
export async function openBuild(build: Build): Promise<Core> {
  const file = build === 'debug' ? 'core.debug.wasm' : 'core.wasm';
  const wasm = new Uint8Array(readFileSync(new URL(`../../build/${file}`, import.meta.url)));
  return open({ memory: '16MiB', wasm, budget: 1 });
}
