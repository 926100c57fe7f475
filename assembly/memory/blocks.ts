// The page allocator: naturally aligned blocks of 2^11 .. 2^19 bytes by binary buddies inside a chunk, larger ones as
// runs of chunks. A free block holds its list links in its own first 8 bytes: next, previous (core offsets, 0 for none).

import {
  CHUNK_RUN,
  CHUNK_SHIFT,
  CHUNK_SPLIT,
  CORE_FREE_LISTS,
  CORE_UNITS,
  CORE_UNIT_TAGS,
  CORE_USED_UNITS,
  CORE_WANTED_UNITS,
  ENOMEM,
  MAX_ORDER,
  SLOTS_PER_BLOCK,
  SLOT_BYTES,
  TAG_FREE,
  TAG_LIVE_SHIFT,
  TAG_ORDER_MASK,
  TAG_USED,
  UNITS_PER_CHUNK,
  UNIT_SHIFT,
} from '../layout';
import { check } from './check';
import { freeChunks, giveChunks, isRun, takeChunks } from './chunks';
import { fail } from './mailbox';

function tagOf(core: usize, at: u32): usize {
  return core + load<u32>(core, CORE_UNIT_TAGS) + ((at >> UNIT_SHIFT) << 2);
}

function listOf(core: usize, order: u32): usize {
  return core + CORE_FREE_LISTS + (order << 2);
}

function push(core: usize, at: u32, order: u32): void {
  const list = listOf(core, order);
  const next = load<u32>(list);
  store<u32>(core + at, next);
  store<u32>(core + at, 0, 4);
  if (next) store<u32>(core + next, at, 4);
  store<u32>(list, at);
  store<u32>(tagOf(core, at), TAG_FREE | order);
}

function unlink(core: usize, at: u32, order: u32): void {
  check(load<u32>(tagOf(core, at)) == (TAG_FREE | order));
  const next = load<u32>(core + at);
  const previous = load<u32>(core + at, 4);
  if (next) store<u32>(core + next, previous, 4);
  if (previous) store<u32>(core + previous, next);
  else store<u32>(listOf(core, order), next);
  store<u32>(tagOf(core, at), 0);
}

function addUsed(core: usize, units: i32): void {
  store<u32>(core, load<u32>(core, CORE_USED_UNITS) + units, CORE_USED_UNITS);
}

/** A free block of at least `order`, taken off its list; cuts a new chunk where no list has one. 0: out of memory. */
function takeAtLeast(core: usize, order: u32): u32 {
  for (let have = order; have <= <u32>MAX_ORDER; ++have) {
    const at = load<u32>(listOf(core, have));
    if (!at) continue;
    unlink(core, at, have);
    for (; have > order; --have) push(core, at + (1 << (UNIT_SHIFT + have - 1)), have - 1);
    return at;
  }
  const chunk = takeChunks(core, 1, CHUNK_SPLIT);
  if (!chunk) {
    store<u32>(core, 1 << order, CORE_WANTED_UNITS);
    return 0;
  }
  addUsed(core, -UNITS_PER_CHUNK);
  for (let have: u32 = MAX_ORDER + 1; have > order; --have)
    push(core, chunk + (1 << (UNIT_SHIFT + have - 1)), have - 1);
  return chunk;
}

/** The order of the smallest block that holds `bytes`: 2^(11 + order) >= bytes. */
export function orderFor(bytes: u32): u32 {
  return bytes <= 1 << UNIT_SHIFT ? 0 : 32 - clz<u32>(bytes - 1) - UNIT_SHIFT;
}

/** A naturally aligned block of 2^(11 + order) bytes, order 0 .. 8, as it was left: its core offset, or 0 for out of memory. */
function takeBlock(core: usize, order: u32): u32 {
  const at = takeAtLeast(core, order);
  if (!at) return 0;
  store<u32>(tagOf(core, at), TAG_USED | order);
  addUsed(core, 1 << order);
  return at;
}

/** What `take` gives for at most 2^19 bytes, but not zeroed: for a table that is written whole. */
export function takeUncleared(core: usize, bytes: u32): u32 {
  return takeBlock(core, orderFor(bytes));
}

function giveBlock(core: usize, at: u32): void {
  check((load<u32>(tagOf(core, at)) & TAG_USED) != 0);
  let order = load<u32>(tagOf(core, at)) & TAG_ORDER_MASK;
  addUsed(core, -(1 << order));
  store<u32>(tagOf(core, at), 0);
  for (; order <= <u32>MAX_ORDER; ++order) {
    const buddy = at ^ (1 << (UNIT_SHIFT + order));
    // Chunk 0 holds the header, so it is never whole again and offset 0 is never a block.
    if (load<u32>(tagOf(core, buddy)) != (TAG_FREE | order)) break;
    unlink(core, buddy, order);
    at &= ~(1 << (UNIT_SHIFT + order));
  }
  if (order > <u32>MAX_ORDER) {
    addUsed(core, UNITS_PER_CHUNK);
    giveChunks(core, at);
  } else {
    push(core, at, order);
  }
}

/** Zeroed memory of at least `bytes` (at most 2^32 - 2^20), naturally aligned up to 1 MiB. 0: out of memory. */
export function take(core: usize, bytes: u32): u32 {
  const order = orderFor(bytes);
  if (order <= <u32>MAX_ORDER) {
    const block = takeBlock(core, order);
    if (block) memory.fill(core + block, 0, 1 << (UNIT_SHIFT + order));
    return block;
  }
  const chunks = <u32>((<u64>bytes + ((1 << CHUNK_SHIFT) - 1)) >> CHUNK_SHIFT);
  const at = takeChunks(core, chunks, CHUNK_RUN);
  if (at) {
    memory.fill(core + at, 0, chunks << CHUNK_SHIFT);
    store<u32>(tagOf(core, at), TAG_USED);
  }
  return at;
}

/**
 * -ENOMEM for an object of `bytes`, with the units noted that it needs all in all (a new block of slots included), so that the
 * message can say which memory would do.
 */
export function noMemory(core: usize, bytes: u64): i32 {
  const units = (bytes >> UNIT_SHIFT) + ((SLOTS_PER_BLOCK * SLOT_BYTES) >> UNIT_SHIFT) + UNITS_PER_CHUNK;
  store<u32>(core, <u32>min<u64>(units, u32.MAX_VALUE), CORE_WANTED_UNITS);
  return fail(ENOMEM);
}

/** How many blocks of 2^(11 + order) bytes could be taken, order 0 .. 8. */
export function spareBlocks(core: usize, order: u32): u64 {
  let blocks = (<u64>freeChunks(core)) << (MAX_ORDER + 1 - order);
  for (let have = order; have <= <u32>MAX_ORDER; ++have) {
    for (let at = load<u32>(listOf(core, have)); at; at = load<u32>(core + at)) blocks += (<u64>1) << (have - order);
  }
  return blocks;
}

/** Gives back what `take` or `takeUncleared` gave. */
export function give(core: usize, at: u32): void {
  if (isRun(core, at)) {
    store<u32>(tagOf(core, at), 0);
    giveChunks(core, at);
  } else {
    giveBlock(core, at);
  }
}

/** Adds to the count of live entries of the page table at core offset `at`; the new count. */
export function addLive(core: usize, at: u32, delta: i32): u32 {
  const tag = tagOf(core, at);
  check((load<u32>(tag) & TAG_USED) != 0 && <i32>(load<u32>(tag) >> TAG_LIVE_SHIFT) + delta >= 0);
  const value = load<u32>(tag) + (delta << TAG_LIVE_SHIFT);
  store<u32>(tag, value);
  return value >> TAG_LIVE_SHIFT;
}

/** How many entries of the page table at core offset `at` are present. */
export function liveEntries(core: usize, at: u32): u32 {
  return load<u32>(tagOf(core, at)) >> TAG_LIVE_SHIFT;
}

/** Whether a page table in use of at least `bytes` lies at `at`, which may be any number. */
export function holdsTable(core: usize, at: u32, bytes: u32): bool {
  if (at & ((1 << UNIT_SHIFT) - 1) || at >> UNIT_SHIFT >= load<u32>(core, CORE_UNITS)) return false;
  const tag = load<u32>(tagOf(core, at));
  return tag >> TAG_LIVE_SHIFT != 0 && <u32>(1 << (UNIT_SHIFT + (tag & TAG_ORDER_MASK))) >= bytes;
}

/** Hands the chunk-0 memory from core offset `from` on to the free lists. Once, by init. */
export function seedBlocks(core: usize, from: u32, end: u32): void {
  let at = from;
  while (at < end) {
    const aligned = ctz<u32>(at) - UNIT_SHIFT;
    let order = min<u32>(aligned, MAX_ORDER);
    while (at + (1 << (UNIT_SHIFT + order)) > end) --order;
    push(core, at, order);
    at += 1 << (UNIT_SHIFT + order);
  }
}
