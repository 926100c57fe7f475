import type { FrameRun } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import type { Context } from './context.ts';

/** Pages `first` up to `end` (exclusive), pinned once however many users they have. */
interface PinnedSpan {
  first: bigint;
  end: bigint;
  users: number;
  frames: FrameRun[];
}

/** `frames` without its first `skip` bytes, `length` bytes long. */
export function sliceFrames(frames: readonly FrameRun[], skip: bigint, length: bigint): FrameRun[] {
  const result: FrameRun[] = [];
  for (const run of frames) {
    if (length === 0n) break;
    if (skip >= run.length) {
      skip -= run.length;
      continue;
    }
    const rest = run.length - skip;
    const taken = rest < length ? rest : length;
    const pa = run.pa + skip;
    const end = result.at(-1);
    if (end && end.pa + end.length === pa) result[result.length - 1] = { pa: end.pa, length: end.length + taken };
    else result.push({ pa, length: taken });
    length -= taken;
    skip = 0n;
  }
  return result;
}

/**
 * User memory that IOAS_MAP named, shared by all areas copied from it (struct iopt_pages,
 * drivers/iommu/iommufd/pages.c). Each page is pinned as long as an area with a domain or an access uses it.
 */
export class Pages {
  /** User address of byte 0: the page that holds what was mapped. */
  readonly va: bigint;
  /** Whether it may be mapped for writing; its pages are then pinned for that. */
  readonly writable: boolean;
  readonly #context: Context;
  readonly #pageSize: bigint;
  /** Ascending, without overlaps. */
  #spans: PinnedSpan[] = [];

  constructor(context: Context, va: bigint, writable: boolean) {
    this.#context = context;
    this.#pageSize = context.pageSize;
    this.va = va;
    this.writable = writable;
  }

  /**
   * Pins the pages of bytes [start, start + length) for one more user. EFAULT: a page is missing or read-only; ENOMEM:
   * the limit of pinned memory. Nothing is changed where it throws.
   */
  pin(op: string, start: bigint, length: bigint): void {
    const first = start / this.#pageSize;
    const end = (start + length + this.#pageSize - 1n) / this.#pageSize;
    this.#cutAt(first);
    this.#cutAt(end);
    const fresh: PinnedSpan[] = [];
    try {
      for (const [from, to] of this.#unpinned(first, end)) fresh.push(this.#pinSpan(op, from, to));
    } catch (error) {
      for (const span of fresh) this.#unpinSpan(span);
      throw error;
    }
    if (fresh.length) this.#spans = [...this.#spans, ...fresh].sort((a, b) => (a.first < b.first ? -1 : 1));
    for (const span of this.#spans) if (span.first >= first && span.end <= end) span.users++;
  }

  /** Undoes one `pin` of these bytes, or of a part that is whole pages. */
  unpin(start: bigint, length: bigint): void {
    const first = start / this.#pageSize;
    const end = (start + length + this.#pageSize - 1n) / this.#pageSize;
    this.#cutAt(first);
    this.#cutAt(end);
    for (const span of this.#spans) if (span.first >= first && span.end <= end) span.users--;
    for (const span of this.#spans) if (span.users === 0) this.#unpinSpan(span);
    this.#spans = this.#spans.filter(({ users }) => users > 0);
  }

  /** Frames of pinned bytes [start, start + length), runs that follow each other joined. */
  frames(start: bigint, length: bigint): FrameRun[] {
    const spans = this.#spans.filter(
      (span) => span.end * this.#pageSize > start && span.first * this.#pageSize < start + length,
    );
    const frames = spans.flatMap((span) => span.frames);
    return sliceFrames(frames, start - spans[0].first * this.#pageSize, length);
  }

  /** Copies bytes from `start` on, as an access does. EFAULT. */
  read(op: string, start: bigint, into: Uint8Array): void {
    if (!this.#context.space.read(this.va + start, into)) this.#fault(op, start, into.length, 'readable');
  }

  write(op: string, start: bigint, from: Uint8Array): void {
    if (!this.#context.space.write(this.va + start, from)) this.#fault(op, start, from.length, 'writable');
  }

  #fault(op: string, start: bigint, length: number | bigint, what: string): never {
    const range = `[${hex(this.va + start)}, + ${hex(length)})`;
    throw new IommuError('EFAULT', op, `user memory ${range} is not ${what} throughout`);
  }

  #pinSpan(op: string, first: bigint, end: bigint): PinnedSpan {
    const bytes = (end - first) * this.#pageSize;
    const start = first * this.#pageSize;
    this.#context.mayFail(op, 'pin', 'pinning pages');
    const last = this.va + start + bytes - 1n;
    const frames = last < 1n << 64n ? this.#context.space.pin(this.va + start, bytes, this.writable) : undefined;
    if (!frames) return this.#fault(op, start, bytes, this.writable ? 'writable' : 'readable');
    try {
      this.#context.lockedPages.add(op, bytes);
    } catch (error) {
      this.#context.space.unpin(frames);
      throw error;
    }
    return { first, end, users: 0, frames: [...frames] };
  }

  #unpinSpan({ first, end, frames }: PinnedSpan): void {
    this.#context.space.unpin(frames);
    this.#context.lockedPages.subtract((end - first) * this.#pageSize);
  }

  /** The parts of [first, end) that nobody has pinned. */
  #unpinned(first: bigint, end: bigint): [bigint, bigint][] {
    const result: [bigint, bigint][] = [];
    let next = first;
    for (const span of this.#spans) {
      if (span.end <= next || span.first >= end) continue;
      if (span.first > next) result.push([next, span.first]);
      next = span.end;
    }
    if (next < end) result.push([next, end]);
    return result;
  }

  /** Makes `page` a border between spans. */
  #cutAt(page: bigint): void {
    const i = this.#spans.findIndex((span) => span.first < page && page < span.end);
    if (i < 0) return;
    const { first, end, users, frames } = this.#spans[i];
    const bytes = (page - first) * this.#pageSize;
    this.#spans.splice(
      i,
      1,
      { first, end: page, users, frames: sliceFrames(frames, 0n, bytes) },
      { first: page, end, users, frames: sliceFrames(frames, bytes, (end - page) * this.#pageSize) },
    );
  }
}
