import * as layout from '../../assembly/layout.ts';
import { errnoName } from '../errno/errno.ts';
import { IommuError } from '../errno/error.ts';
import type { Address } from './address.ts';
import type { CoreExports } from './exports.ts';

/** A memory as the core uses it: a `WebAssembly.Memory`, one's own or that of another module. */
export interface HostMemory {
  readonly buffer: ArrayBufferLike;
}

const TWO_32 = 2 ** 32;
const REQUEST_WORDS = layout.REQUEST_BYTES / 4;

/** What a closed core answers to every call. */
const CLOSED = new Proxy({} as CoreExports, { get: () => () => -layout.EBADF });

/**
 * One core in one memory: raw exports, mailbox and views. The only class that knows addresses; everything else names
 * things by handle. Offsets are core offsets (from the base on) unless a name says `at`, which is a byte address.
 */
export class Instance {
  readonly base: number;
  readonly bytes: number;
  /** Most entries, requests or ranges per call of a resumable operation; tests set it to 1. */
  readonly budget: number;
  #raw: CoreExports;
  #memory: HostMemory;
  #u32: Uint32Array;

  constructor(raw: CoreExports, memory: HostMemory, base: number, bytes: number, budget: number) {
    this.#raw = raw;
    this.base = base;
    this.bytes = bytes;
    this.budget = budget;
    this.#memory = memory;
    this.#u32 = new Uint32Array(memory.buffer);
  }

  /** The exports; after `close` each returns -EBADF. */
  get raw(): CoreExports {
    return this.#raw;
  }

  /** The memory that it lies in. */
  get hostMemory(): HostMemory {
    return this.#memory;
  }

  /** Lets go of the memory for good: nothing here reads or writes it any more, its bytes may be used for something else. */
  close(): void {
    this.view(0, layout.HEADER_BYTES).fill(0);
    this.#raw = CLOSED;
    this.#memory = { buffer: new ArrayBuffer(0) };
    this.#u32 = new Uint32Array(0);
  }

  /** The whole memory as u32; made again when a host has grown its memory. */
  get u32(): Uint32Array {
    // Growth detaches the old buffer, which leaves its views empty. Asking the memory for its buffer each time costs more
    // than all the rest of an access.
    if (this.#u32.length === 0) this.#u32 = new Uint32Array(this.#memory.buffer);
    return this.#u32;
  }

  /** A view of `length` u32 at core offset `offset`, valid until a host grows its memory. */
  words(offset: number, length: number): Uint32Array {
    return new Uint32Array(this.#memory.buffer, this.base + offset, length);
  }

  /** A view of `length` bytes at core offset `offset`, valid until a host grows its memory. */
  view(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.base + offset, length);
  }

  load32(offset: number): number {
    return this.u32[(this.base + offset) >>> 2];
  }

  load64(offset: number): number {
    const at = (this.base + offset) >>> 2;
    const value = this.u32[at + 1] * TWO_32 + this.u32[at];
    if (!Number.isSafeInteger(value)) throw new IommuError('EOVERFLOW', 'load', `${value} is beyond 2^53`);
    return value;
  }

  loadBig(offset: number): bigint {
    const at = (this.base + offset) >>> 2;
    return (BigInt(this.u32[at + 1]) << 32n) | BigInt(this.u32[at]);
  }

  /** A number where that is exact, else a bigint. */
  loadAddress(offset: number): Address {
    const high = this.u32[((this.base + offset) >>> 2) + 1];
    return high < 2 ** 21 ? this.load64(offset) : this.loadBig(offset);
  }

  store64(offset: number, value: Address): void {
    const at = (this.base + offset) >>> 2;
    const u32 = this.u32;
    if (typeof value === 'number') {
      u32[at] = value >>> 0;
      u32[at + 1] = (value / TWO_32) >>> 0;
    } else {
      u32[at] = Number(value & 0xffffffffn);
      u32[at + 1] = Number((value >> 32n) & 0xffffffffn);
    }
  }

  /** Number of the u32 at core offset `offset` in `u32`. */
  wordAt(offset: number): number {
    return (this.base + offset) >>> 2;
  }

  /**
   * Appends a request to the ring that begins at u32 number `ring`, whose fill is the one at `posted`; false, and nothing is written, where
   * it holds `capacity` of them. The one store of the batch's hot path.
   */
  pushRequest(
    posted: number,
    capacity: number,
    ring: number,
    iova: Address,
    length: number,
    stream: number,
    access: number,
  ): boolean {
    const u32 = this.u32;
    const count = u32[posted];
    if (count >= capacity) return false;
    u32[posted] = count + 1;
    const at = ring + count * REQUEST_WORDS;
    if (typeof iova === 'number') {
      u32[at] = iova;
      u32[at + 1] = iova * 2 ** -32;
    } else {
      u32[at] = Number(iova & 0xffffffffn);
      u32[at + 1] = Number((iova >> 32n) & 0xffffffffn);
    }
    u32[at + 2] = length;
    u32[at + 3] = stream | (access << layout.REQUEST_FLAGS_SHIFT);
    return true;
  }

  /** Core offset of the slot with this index, which must exist. */
  slotAt(index: number): number {
    const block = this.load32(layout.SLOT_DIRECTORY + 4 * Math.floor(index / layout.SLOTS_PER_BLOCK));
    return block + (index % layout.SLOTS_PER_BLOCK) * layout.SLOT_BYTES;
  }

  /** Core offset of the slot that `handle` names. EBADF: a closed object. */
  slot(handle: number, op: string): number {
    const index = handle & 0xffff;
    const slot = this.slotAt(index);
    const live =
      index < this.load32(layout.CORE_SLOTS) &&
      this.load32(slot + layout.SLOT_GENERATION) === handle >>> 16 &&
      this.load32(slot + layout.SLOT_KIND) !== layout.KIND_FREE;
    return live ? slot : this.check(-layout.EBADF, op);
  }

  /** `handle` if its object's core `owner` is this one: in another it would name something else. EBADF. */
  owned(owner: Instance, handle: number, op: string): number {
    return owner === this ? handle : this.check(-layout.EBADF, op);
  }

  /** The stream by which requests name the device with this handle. */
  stream(handle: number): number {
    return handle & 0xffff;
  }

  /** Core offset of the transfer buffer. */
  get transfer(): number {
    return this.load32(layout.CORE_TRANSFER);
  }

  /** Bytes handed out, the core's own header included. */
  get usedBytes(): number {
    return this.load32(layout.CORE_USED_UNITS) * 2 ** layout.UNIT_SHIFT;
  }

  /** Chunks of 1 MiB up to the last one in use. */
  get usedChunks(): number {
    const table = this.words(layout.CHUNK_TABLE, this.load32(layout.CORE_CHUNKS));
    let last = table.length;
    while (last > 1 && (table[last - 1] & 0xff) === layout.CHUNK_FREE) last--;
    return last;
  }

  /** `status` if it is no error; else throws, with `message` where the caller knows more than the errno. */
  check(status: number, op: string, message?: (errno: number) => string | undefined): number {
    if (status >= 0) return status;
    const errno = -status;
    const code = errnoName(errno) ?? 'EIO';
    throw new IommuError(code, op, message?.(errno) ?? this.#explain(errno));
  }

  #explain(errno: number): string {
    switch (errno) {
      case layout.EBADF:
        return 'the object was closed, or belongs to another core';
      case layout.EBUSY:
        return 'the object is still in use';
      case layout.ENOMEM:
        return this.#explainMemory();
      default:
        return 'refused by the core';
    }
  }

  #explainMemory(): string {
    if (this.load32(layout.CORE_SLOTS) === layout.MAX_SLOTS && this.load32(layout.CORE_FREE_SLOT) === 0) {
      return `there is no handle left; a core has at most ${layout.MAX_SLOTS} objects`;
    }
    const have = this.bytes / 2 ** layout.CHUNK_SHIFT;
    const wanted = this.load32(layout.CORE_WANTED_UNITS) / layout.UNITS_PER_CHUNK;
    // Behind the last chunk in use there is no gap that could be too small. A larger core's header takes 2 KiB more per MiB.
    const chunks = this.usedChunks + Math.ceil(wanted);
    const enough = Math.max(Math.ceil((chunks * 512) / 511) + 1, have + 1);
    if (enough > layout.MAX_CHUNKS) {
      return `the core's ${have} MiB do not do, and ${enough} MiB would be more than a core can have (${layout.MAX_CHUNKS} MiB)`;
    }
    return `the core's ${have} MiB are used up; open it with at least ${enough} MiB`;
  }
}
