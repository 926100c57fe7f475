import { IommuError } from '../errno/error.ts';
import { checkAddress, type Address } from '../wasm/address.ts';
import type { HostMemory } from '../wasm/instance.ts';
import type { AddressSpace, FrameRun } from './address-space.ts';
import { pageRange } from './page-range.ts';
import { PinCounts, type PinnedRun } from './pin-counts.ts';

/** Where the pages lie, and what they are called. */
export interface WasmAddressSpaceOptions {
  /** A `WebAssembly.Memory`, for example that of an emulator whose guest RAM it holds. */
  readonly memory: HostMemory;
  /** Byte of the memory at which the pages begin; any. Default 0. */
  readonly offset?: number;
  /** Bytes, a multiple of PAGE_SIZE. */
  readonly length: Address;
  /** Virtual address of the first page. Default 0. */
  readonly va?: Address;
  /** Physical address of its frame. Default: `va`. */
  readonly pa?: Address;
}

/** An address space whose pages are bytes of a WebAssembly memory: one range, all of it there and writable. */
export class WasmAddressSpace implements AddressSpace {
  readonly #memory: HostMemory;
  readonly #offset: number;
  readonly #length: bigint;
  readonly #va: bigint;
  readonly #pa: bigint;
  readonly #pins = new PinCounts();
  #bytes: Uint8Array;

  /** EINVAL: the range is not within the memory, or not whole pages; EOVERFLOW: addresses beyond 2^64. */
  constructor(options: WasmAddressSpaceOptions) {
    const op = 'WasmAddressSpace';
    this.#memory = options.memory;
    this.#offset = Number(checkAddress(op, 'offset', options.offset ?? 0));
    const { first, last } = pageRange(op, 'va', options.va ?? 0, options.length);
    this.#va = first;
    this.#length = last - first + 1n;
    this.#pa = pageRange(op, 'pa', options.pa ?? first, this.#length).first;
    const has = this.#memory.buffer.byteLength;
    if (BigInt(this.#offset) + this.#length > BigInt(has)) {
      const message = `offset ${this.#offset} and length ${this.#length} reach beyond the memory of ${has} bytes`;
      throw new IommuError('EINVAL', op, message);
    }
    this.#bytes = this.#view();
  }

  /** Bytes pinned; what is pinned twice counts twice. */
  get pinnedBytes(): bigint {
    return this.#pins.bytes;
  }

  /** Pinned frames, ascending, with their counts. */
  get pinnedRuns(): readonly PinnedRun[] {
    return this.#pins.runs;
  }

  // `_write` is not asked for: all pages are writable.
  pin(va: bigint, length: bigint, _write: boolean): readonly FrameRun[] | undefined {
    if (length === 0n) return [];
    if (!this.#inside(va - this.#va, length)) return undefined;
    pageRange('pin', 'va', va, length);
    const run = { pa: this.#pa + (va - this.#va), length };
    this.#pins.add(run);
    return [run];
  }

  unpin(frames: readonly FrameRun[]): void {
    this.#pins.removeAll(frames);
  }

  read(va: bigint, into: Uint8Array): boolean {
    return this.#load(va - this.#va, into);
  }

  write(va: bigint, from: Uint8Array): boolean {
    return this.#store(va - this.#va, from);
  }

  readFrame(pa: bigint, into: Uint8Array): boolean {
    return this.#pins.has(pa, BigInt(into.length)) && this.#load(pa - this.#pa, into);
  }

  writeFrame(pa: bigint, from: Uint8Array): boolean {
    return this.#pins.has(pa, BigInt(from.length)) && this.#store(pa - this.#pa, from);
  }

  #inside(at: bigint, length: bigint): boolean {
    return length === 0n || (at >= 0n && at + length <= this.#length);
  }

  #load(at: bigint, into: Uint8Array): boolean {
    if (!this.#inside(at, BigInt(into.length))) return false;
    if (into.length > 0) into.set(this.#current().subarray(Number(at), Number(at) + into.length));
    return true;
  }

  #store(at: bigint, from: Uint8Array): boolean {
    if (!this.#inside(at, BigInt(from.length))) return false;
    if (from.length > 0) this.#current().set(from, Number(at));
    return true;
  }

  /** The pages; the view is made again where growth has detached it. */
  #current(): Uint8Array {
    if (this.#bytes.length === 0) this.#bytes = this.#view();
    return this.#bytes;
  }

  #view(): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#offset, Number(this.#length));
  }
}
