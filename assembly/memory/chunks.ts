// Whole chunks of 1 MiB, alone or in contiguous runs: what bitmaps of more than 2^33 bytes of RAM and long logs need.

import {
  CHUNK_FREE,
  CHUNK_LEFT,
  CHUNK_RUN,
  CHUNK_RUN_REST,
  CHUNK_RUN_SHIFT,
  CHUNK_SHIFT,
  CHUNK_SPLIT,
  CHUNK_TABLE,
  CORE_CHUNKS,
  CORE_USED_UNITS,
  CORE_WANTED_UNITS,
  UNITS_PER_CHUNK,
} from '../layout';

function entryOf(core: usize, chunk: u32): usize {
  return core + CHUNK_TABLE + (chunk << 2);
}

/** The state of a chunk, CHUNK_*. */
export function chunkState(core: usize, chunk: u32): u32 {
  return load<u32>(entryOf(core, chunk)) & 0xff;
}

/**
 * Takes the lowest run of `count` free chunks; its core offset, or 0 where there is none. Not zeroed, but for a chunk that is cut for
 * the first time: what a host left there would show in snapshots, between the blocks that are in use.
 */
export function takeChunks(core: usize, count: u32, state: u32): u32 {
  const chunks = load<u32>(core, CORE_CHUNKS);
  let length: u32 = 0;
  for (let chunk: u32 = 0; chunk < chunks; ++chunk) {
    length = chunkState(core, chunk) == CHUNK_FREE ? length + 1 : 0;
    if (length == count) {
      const first = chunk + 1 - count;
      if (state == CHUNK_SPLIT && load<u32>(entryOf(core, first)) != CHUNK_LEFT) {
        memory.fill(core + (first << CHUNK_SHIFT), 0, 1 << CHUNK_SHIFT);
      }
      for (let i = first + 1; i <= chunk; ++i) store<u32>(entryOf(core, i), CHUNK_RUN_REST);
      store<u32>(entryOf(core, first), state | (count << CHUNK_RUN_SHIFT));
      store<u32>(core, load<u32>(core, CORE_USED_UNITS) + count * UNITS_PER_CHUNK, CORE_USED_UNITS);
      return first << CHUNK_SHIFT;
    }
  }
  store<u32>(core, count * UNITS_PER_CHUNK, CORE_WANTED_UNITS);
  return 0;
}

/** How many chunks are free. */
export function freeChunks(core: usize): u32 {
  let count: u32 = 0;
  for (let chunk: u32 = 0; chunk < load<u32>(core, CORE_CHUNKS); ++chunk) {
    if (chunkState(core, chunk) == CHUNK_FREE) ++count;
  }
  return count;
}

/** Gives back the run that starts at core offset `at`. */
export function giveChunks(core: usize, at: u32): void {
  const first = at >> CHUNK_SHIFT;
  const count = load<u32>(entryOf(core, first)) >> CHUNK_RUN_SHIFT;
  for (let i = first; i < first + count; ++i) store<u32>(entryOf(core, i), CHUNK_LEFT);
  store<u32>(core, load<u32>(core, CORE_USED_UNITS) - count * UNITS_PER_CHUNK, CORE_USED_UNITS);
}

/** Whether `at` is the start of a run taken with state CHUNK_RUN. */
export function isRun(core: usize, at: u32): bool {
  return (at & ((1 << CHUNK_SHIFT) - 1)) == 0 && chunkState(core, at >> CHUNK_SHIFT) == CHUNK_RUN;
}
