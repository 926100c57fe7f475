import { readFileSync } from 'node:fs';
import { UNIT_SHIFT } from '../../assembly/layout.ts';
import { Core } from '../../src/core/core.ts';
import type { CoreExports } from '../../src/wasm/exports.ts';
import { Instance } from '../../src/wasm/instance.ts';

const MIB = 2 ** 20;
const HOST_BASE = 0x23000;
const HOST_REST = 0x1d000;

/** The bytes of both builds. */
export const WASM = {
  release: readFileSync(new URL('../../build/core.wasm', import.meta.url)),
  debug: readFileSync(new URL('../../build/core.debug.wasm', import.meta.url)),
};

const MODULES = {
  release: new WebAssembly.Module(WASM.release),
  debug: new WebAssembly.Module(WASM.debug),
};

/** A build of the core, whose memory it lies in, and how much it does per call. */
export interface Place {
  readonly name: string;
  readonly build: keyof typeof WASM;
  readonly host: boolean;
  readonly budget: number;
}

/** Where every test of the core runs: each build, each memory and each budget is there, and all give the same results. */
export const PLACES: readonly Place[] = [
  { name: 'release, own memory', build: 'release', host: false, budget: 2 ** 18 },
  { name: 'debug, own memory, budget 1', build: 'debug', host: false, budget: 1 },
  { name: 'release, host memory, budget 1', build: 'release', host: true, budget: 1 },
  { name: 'debug, host memory', build: 'debug', host: true, budget: 2 ** 18 },
];

const PERIOD = 65536;

function pattern(at: number): number {
  return (at * 31 + (at >>> 8) + 7) & 0xff;
}

/** One memory at a place, in which one core after the other is laid out. */
export class Site {
  readonly #bytes: number;
  readonly #base: number;
  readonly #budget: number;
  readonly #memory: WebAssembly.Memory;
  readonly #raw: CoreExports;

  constructor(place: Place, mebibytes: number) {
    this.#bytes = mebibytes * MIB;
    this.#base = place.host ? HOST_BASE : 0;
    this.#budget = place.budget;
    const pages = (this.#bytes + (place.host ? HOST_BASE + HOST_REST : 0)) / 65536;
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#raw = new WebAssembly.Instance(MODULES[place.build], { env: { memory: this.#memory } })
      .exports as unknown as CoreExports;
    const bytes = new Uint8Array(this.#memory.buffer);
    // What a core finds in its memory is not its own: blocks must be cleaned as they are handed out.
    for (let at = 0; at < PERIOD; at++) bytes[at] = pattern(at);
    for (let at = PERIOD; at < bytes.length; at += PERIOD) bytes.copyWithin(at, 0, PERIOD);
  }

  /** An empty core in place of the one that was there before. */
  instance(): Instance {
    const instance = new Instance(this.#raw, this.#memory, this.#base, this.#bytes, this.#budget);
    instance.check(this.#raw.init(this.#base, this.#bytes / 2 ** UNIT_SHIFT), 'init');
    return instance;
  }

  /** The same as the public object. */
  core(): { core: Core; instance: Instance } {
    const instance = this.instance();
    return { core: new Core(instance), instance };
  }

  /** The bytes outside the core that are not as they were: addresses, at most ten. */
  strayWrites(): number[] {
    const bytes = new Uint8Array(this.#memory.buffer);
    const stray: number[] = [];
    const look = (from: number, to: number) => {
      for (let at = from; at < to && stray.length < 10; at++) if (bytes[at] !== pattern(at)) stray.push(at);
    };
    look(0, this.#base);
    look(this.#base + this.#bytes, bytes.length);
    return stray;
  }
}

const known = new Map<string, Site>();

/** A site at `place` that the tests of a file share: one core after the other. */
export function siteAt(place: Place, mebibytes: number): Site {
  const key = `${place.name} ${mebibytes}`;
  if (!known.has(key)) known.set(key, new Site(place, mebibytes));
  return known.get(key)!;
}

/** `code` of the error that `run` throws, `'none'` where it throws none; anything else than an IommuError passes through. */
export function codeOf(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    if (error instanceof Error && error.name === 'IommuError') return (error as Error & { code: string }).code;
    throw error;
  }
}
