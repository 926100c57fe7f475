import { IommuError } from '../errno/error.ts';
import { hex, type Address } from '../wasm/address.ts';
import { PAGE_SIZE, type AddressSpace, type FrameRun } from './address-space.ts';
import { IntervalMap } from './interval-map.ts';
import { pageRange } from './page-range.ts';
import { PinCounts, type PinnedRun } from './pin-counts.ts';

/** Pages of the process, multiples of PAGE_SIZE. */
export interface VirtualRange {
  readonly va: Address;
  /** Bytes. */
  readonly length: Address;
}

/** A mapping to make. */
export interface MmapOptions extends VirtualRange {
  /** Physical address of its first frame; the others follow. Default: `va`. Frames may be mapped more than once. */
  readonly pa?: Address;
  /** Default true. */
  readonly writable?: boolean;
}

/** A mapping: frames lie at va + `shift`. */
interface Mapping {
  readonly shift: bigint;
  readonly writable: boolean;
}

const PAGE = Number(PAGE_SIZE);
const LIMIT = 1n << 64n;

/**
 * An address space with memory of its own, page by page on demand: a page that was never written reads as zeros and
 * costs nothing, so that terabytes can be mapped and pinned. A frame lives while it is mapped or pinned; what is
 * unmapped while pinned keeps its bytes until it is unpinned.
 */
export class PlainAddressSpace implements AddressSpace {
  readonly #mappings = new IntervalMap<Mapping>((a, b) => a.shift === b.shift && a.writable === b.writable);
  /** How often frames are mapped. */
  readonly #mapped = new IntervalMap<number>((a, b) => a === b);
  readonly #pins = new PinCounts();
  /** Written pages by frame number. */
  readonly #pages = new Map<number, Uint8Array>();

  /** Bytes pinned; what is pinned twice counts twice. */
  get pinnedBytes(): bigint {
    return this.#pins.bytes;
  }

  /** Pinned frames, ascending, with their counts. */
  get pinnedRuns(): readonly PinnedRun[] {
    return this.#pins.runs;
  }

  /** Maps pages. EEXIST: something is mapped there; EINVAL, EOVERFLOW: no whole pages, or beyond 2^64. */
  mmap(options: MmapOptions): void {
    const op = 'mmap';
    const { first, last } = pageRange(op, 'va', options.va, options.length);
    const frames = pageRange(op, 'pa', options.pa ?? options.va, options.length);
    if (this.#mappings.pieces(first, last).some(({ value }) => value)) {
      throw new IommuError('EEXIST', op, `${hex(first)} .. ${hex(last)}: something is mapped there; munmap it first`);
    }
    const mapping = { shift: frames.first - first, writable: options.writable ?? true };
    this.#mappings.update(first, last, () => mapping);
    this.#mapped.update(frames.first, frames.last, (count) => (count ?? 0) + 1);
  }

  /** Unmaps pages; holes are passed over. EINVAL, EOVERFLOW: no whole pages, or beyond 2^64. */
  munmap(range: VirtualRange): void {
    const { first, last } = pageRange('munmap', 'va', range.va, range.length);
    const gone = this.#mappings.pieces(first, last);
    this.#mappings.update(first, last, () => undefined);
    for (const piece of gone) {
      if (!piece.value) continue;
      const pa = piece.first + piece.value.shift;
      this.#mapped.update(pa, piece.last + piece.value.shift, (count) => (count === 1 ? undefined : count! - 1));
      this.#release({ pa, length: piece.last - piece.first + 1n });
    }
  }

  /**
   * Makes pages writable or read-only; pins stay as they are. ENOMEM: not all of it is mapped; EINVAL, EOVERFLOW as in
   * munmap.
   */
  mprotect(range: VirtualRange & { readonly writable: boolean }): void {
    const { first, last } = pageRange('mprotect', 'va', range.va, range.length);
    if (this.#mappings.pieces(first, last).some(({ value }) => !value)) {
      throw new IommuError('ENOMEM', 'mprotect', `${hex(first)} .. ${hex(last)}: not all of it is mapped`);
    }
    this.#mappings.update(first, last, (mapping) => ({ shift: mapping!.shift, writable: range.writable }));
  }

  pin(va: bigint, length: bigint, write: boolean): readonly FrameRun[] | undefined {
    if (length === 0n) return [];
    if (va + length > LIMIT) return undefined;
    pageRange('pin', 'va', va, length);
    const runs = this.#frames(va, length, write);
    runs?.forEach((run) => this.#pins.add(run));
    return runs;
  }

  unpin(frames: readonly FrameRun[]): void {
    this.#pins.removeAll(frames);
    frames.forEach((run) => this.#release(run));
  }

  read(va: bigint, into: Uint8Array): boolean {
    const runs = this.#frames(va, BigInt(into.length), false);
    if (!runs) return false;
    let at = 0;
    for (const { pa, length } of runs) {
      this.#load(pa, into.subarray(at, at + Number(length)));
      at += Number(length);
    }
    return true;
  }

  write(va: bigint, from: Uint8Array): boolean {
    const runs = this.#frames(va, BigInt(from.length), true);
    if (!runs) return false;
    let at = 0;
    for (const { pa, length } of runs) {
      this.#store(pa, from.subarray(at, at + Number(length)));
      at += Number(length);
    }
    return true;
  }

  readFrame(pa: bigint, into: Uint8Array): boolean {
    if (!this.#pins.has(pa, BigInt(into.length))) return false;
    this.#load(pa, into);
    return true;
  }

  writeFrame(pa: bigint, from: Uint8Array): boolean {
    if (!this.#pins.has(pa, BigInt(from.length))) return false;
    this.#store(pa, from);
    return true;
  }

  /**
   * Where the bytes of [va, va + length) lie, or undefined where a page is missing, or read-only and `write` is set.
   */
  #frames(va: bigint, length: bigint, write: boolean): FrameRun[] | undefined {
    if (length === 0n) return [];
    if (va + length > LIMIT) return undefined;
    const runs: FrameRun[] = [];
    for (const { first, last, value } of this.#mappings.pieces(va, va + length - 1n)) {
      if (!value || (write && !value.writable)) return undefined;
      const pa = first + value.shift;
      const previous = runs.at(-1);
      const bytes = last - first + 1n;
      if (previous && previous.pa + previous.length === pa) {
        runs[runs.length - 1] = { pa: previous.pa, length: previous.length + bytes };
      } else {
        runs.push({ pa, length: bytes });
      }
    }
    return runs;
  }

  /** Forgets the bytes of frames that are neither mapped nor pinned any more. */
  #release({ pa, length }: FrameRun): void {
    if (this.#pages.size === 0 || length === 0n) return;
    for (const { first, last, value } of this.#mapped.pieces(pa, pa + length - 1n)) {
      if (value) continue;
      for (const frame of this.#written(first, last)) {
        if (!this.#pins.hasSome(BigInt(frame) * PAGE_SIZE, PAGE_SIZE)) this.#pages.delete(frame);
      }
    }
  }

  /** Frame numbers of written pages in [first, last]. */
  #written(first: bigint, last: bigint): number[] {
    const [from, to] = [Number(first / PAGE_SIZE), Number(last / PAGE_SIZE)];
    if (to - from >= this.#pages.size) return [...this.#pages.keys()].filter((frame) => frame >= from && frame <= to);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((frame) => this.#pages.has(frame));
  }

  #load(pa: bigint, into: Uint8Array): void {
    eachPage(pa, into, (frame, offset, part) => {
      const page = this.#pages.get(frame);
      if (page) part.set(page.subarray(offset, offset + part.length));
      else part.fill(0);
    });
  }

  #store(pa: bigint, from: Uint8Array): void {
    eachPage(pa, from, (frame, offset, part) => {
      let page = this.#pages.get(frame);
      if (!page) this.#pages.set(frame, (page = new Uint8Array(PAGE)));
      page.set(part, offset);
    });
  }
}

/** Calls `visit` for the part of `bytes` that lies in each frame. */
function eachPage(
  pa: bigint,
  bytes: Uint8Array,
  visit: (frame: number, offset: number, part: Uint8Array) => void,
): void {
  let frame = Number(pa / PAGE_SIZE);
  let offset = Number(pa % PAGE_SIZE);
  for (let at = 0; at < bytes.length; frame++) {
    const length = Math.min(PAGE - offset, bytes.length - at);
    visit(frame, offset, bytes.subarray(at, at + length));
    at += length;
    offset = 0;
  }
}
