// Writes src/wasm/binary.ts from build/core.wasm, so that the core needs neither fetch nor a file system.
import { readFileSync, writeFileSync } from 'node:fs';

const wasm = readFileSync(new URL('../../build/core.wasm', import.meta.url));
const lines = wasm.toString('base64').match(/.{1,112}/g) ?? [];
const text = `// Generated from build/core.wasm by src/wasm/embed.mjs. Do not edit.

/** The release build of the core, base64. */
export const CORE_WASM =
${lines.map((line) => `  '${line}'`).join(' +\n')};
`;
writeFileSync(new URL('binary.ts', import.meta.url), text);
