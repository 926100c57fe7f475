/** Bytes of a page: what is pinned, and what a frame is (PAGE_SIZE on the modelled host). */
export const PAGE_SIZE = 4096n;

/** Pages whose frames follow each other. Whole pages. */
export interface FrameRun {
  /** Physical address of the first frame. */
  readonly pa: bigint;
  /** Bytes. */
  readonly length: bigint;
}

/**
 * The memory of a user process, as the kernel interfaces see it: pointers in requests and the memory behind mappings
 * lie here. All synchronous. Addresses are virtual addresses of that process, from 0 to 2^64 - 1.
 */
export interface AddressSpace {
  /**
   * Pins the pages of [va, va + length), both multiples of PAGE_SIZE, for reading, or for writing too, and returns
   * their frames in the order of the pages. Undefined, with nothing pinned, where a page is missing, or read-only and
   * `write` is set. Pinned frames stay where they are until unpinned; a frame may be pinned more than once.
   */
  pin(va: bigint, length: bigint, write: boolean): readonly FrameRun[] | undefined;
  /** Undoes one pin of these frames, or of a part of them. */
  unpin(frames: readonly FrameRun[]): void;
  /** Copies bytes from `va` on into `into`. False, with `into` in any state, where a page is missing. */
  read(va: bigint, into: Uint8Array): boolean;
  /** Copies `from` to `va`. False, with nothing written, where a page is missing or read-only. */
  write(va: bigint, from: Uint8Array): boolean;
  /**
   * Reads and writes bytes of pinned frames, as a device's driver on the host does: physical addresses. False: no such
   * frame.
   */
  readFrame(pa: bigint, into: Uint8Array): boolean;
  writeFrame(pa: bigint, from: Uint8Array): boolean;
}
