import { instantiateSync } from '@assemblyscript/loader';
import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { CORE_WASM } from './binary.ts';
import type { CoreExports } from './exports.ts';
import { Instance, type HostMemory } from './instance.ts';

/** Where a core lies, and how it runs. */
export interface CoreOptions {
  /** Bytes of a memory of its own (a multiple of 1 MiB, below 4 GiB), or a host's memory to lie in. */
  readonly memory: number | HostMemory;
  /** First byte in a host's memory, a multiple of 4 KiB. Default 0. */
  readonly base?: number;
  /** Bytes in a host's memory, a multiple of 1 MiB. Default: as much as there is from `base` on. */
  readonly size?: number;
  /** Another build of the core than the one that is embedded (the debug build, in tests). */
  readonly wasm?: Uint8Array;
  /** Most entries, requests or ranges per call into the core, 1 or more. Default 2^18: well below a few milliseconds. */
  readonly budget?: number;
}

const CHUNK = 2 ** layout.CHUNK_SHIFT;
const MOST = layout.MAX_CHUNKS * CHUNK;
const WASM_PAGE = 65536;
const OP = 'open';
let embedded: WebAssembly.Module | undefined;

function moduleOf(wasm: Uint8Array | undefined): WebAssembly.Module {
  if (wasm) return new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
  embedded ??= new WebAssembly.Module(Uint8Array.from(atob(CORE_WASM), (char) => char.charCodeAt(0)));
  return embedded;
}

function sizeOf(name: string, bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= CHUNK && bytes % CHUNK === 0 && bytes <= MOST) return bytes;
  const right = `a multiple of 1 MiB, from 1 MiB to ${layout.MAX_CHUNKS} MiB`;
  throw new IommuError('EINVAL', OP, `${name} is ${bytes} bytes; it must be ${right}`);
}

function placeOf(options: CoreOptions): { memory: WebAssembly.Memory; base: number; bytes: number } {
  if (typeof options.memory === 'number') {
    const bytes = sizeOf('memory', options.memory);
    for (const name of ['base', 'size'] as const) {
      if (options[name])
        throw new IommuError('EINVAL', OP, `${name} is ${options[name]}; it goes with a host's memory`);
    }
    const pages = bytes / WASM_PAGE;
    return { memory: new WebAssembly.Memory({ initial: pages, maximum: pages }), base: 0, bytes };
  }
  const memory = options.memory as WebAssembly.Memory;
  const base = options.base ?? 0;
  const there = memory.buffer.byteLength;
  if (!Number.isSafeInteger(base) || base < 0 || base % 4096 !== 0) {
    throw new IommuError('EINVAL', OP, `base is ${base}; it must be a multiple of 4096`);
  }
  const rest = Math.floor((Math.min(there, 2 ** 32 - 1) - base) / CHUNK) * CHUNK;
  const bytes = sizeOf('size', options.size ?? rest);
  if (base + bytes > there) {
    throw new IommuError('EINVAL', OP, `base ${base} + size ${bytes} is beyond the memory's ${there} bytes`);
  }
  if (base + bytes >= 2 ** 32) {
    throw new IommuError('EINVAL', OP, `base ${base} + size ${bytes} is 4 GiB; a core must end below it`);
  }
  return { memory, base, bytes };
}

/** Lays out an empty core. EINVAL: a place that does not fit. */
export function instantiate(options: CoreOptions): Instance {
  const { memory, base, bytes } = placeOf(options);
  const budget = options.budget ?? 2 ** 18;
  if (!Number.isInteger(budget) || budget < 1 || budget > 2 ** 31) {
    throw new IommuError('EINVAL', OP, `budget is ${budget}; it must be an integer from 1 to 2^31`);
  }
  const { instance } = instantiateSync<Record<string, unknown>>(moduleOf(options.wasm), { env: { memory } });
  const raw = instance.exports as unknown as CoreExports;
  const core = new Instance(raw, memory, base, bytes, budget);
  core.check(raw.init(base, bytes / 2 ** layout.UNIT_SHIFT), OP);
  return core;
}
