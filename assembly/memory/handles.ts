// Everything that outlives a call is a slot of 256 bytes, named by a handle with a generation, so that a handle kept too
// long is refused instead of naming the slot's next owner.

import {
  CORE_FREE_SLOT,
  CORE_ISSUED,
  CORE_SLOTS,
  KIND_FREE,
  MAX_GENERATION,
  MAX_SLOTS,
  SLOTS_PER_BLOCK,
  SLOT_BYTES,
  SLOT_DIRECTORY,
  SLOT_GENERATION,
  SLOT_ISSUED,
  SLOT_KIND,
  SLOT_NEXT_FREE,
} from '../layout';
import { take } from './blocks';
import { check } from './check';

export class Slots {
  /** The slot of `index`, which must exist. */
  @inline static at(core: usize, index: u32): usize {
    const block = load<u32>(core + SLOT_DIRECTORY + ((index / SLOTS_PER_BLOCK) << 2));
    return core + block + (index % SLOTS_PER_BLOCK) * SLOT_BYTES;
  }

  /** The slot of `kind` that a request's stream names; 0 where it names none. */
  @inline static ofStream(core: usize, stream: u32, kind: u32): usize {
    if (stream >= load<u32>(core, CORE_SLOTS)) return 0;
    const slot = Slots.at(core, stream);
    return load<u32>(slot, SLOT_KIND) == kind ? slot : 0;
  }
}

/** `Slots.at`, as a function of its own. */
export function slotAt(core: usize, index: u32): usize {
  check(index < load<u32>(core, CORE_SLOTS));
  return Slots.at(core, index);
}

function freshSlot(core: usize): i32 {
  const index = load<u32>(core, CORE_SLOTS);
  if (index == <u32>MAX_SLOTS) return -1;
  if (index % SLOTS_PER_BLOCK == 0) {
    const block = take(core, SLOTS_PER_BLOCK * SLOT_BYTES);
    if (!block) return -1;
    store<u32>(core + SLOT_DIRECTORY + ((index / SLOTS_PER_BLOCK) << 2), block);
  }
  store<u32>(core, index + 1, CORE_SLOTS);
  return index;
}

/** A zeroed slot of `kind`; its handle, or 0 for out of memory or of slots. */
export function openSlot(core: usize, kind: u32): u32 {
  while (true) {
    const free = load<u32>(core, CORE_FREE_SLOT);
    const index = free ? <i32>(free - 1) : freshSlot(core);
    if (index < 0) return 0;
    const slot = slotAt(core, index);
    if (free) store<u32>(core, load<u32>(slot, SLOT_NEXT_FREE), CORE_FREE_SLOT);
    const generation = max<u32>(load<u32>(slot, SLOT_ISSUED), load<u32>(core, CORE_ISSUED)) + 1;
    // A load brings back as free what has used up its generations since the save.
    if (generation > <u32>MAX_GENERATION) continue;
    memory.fill(slot, 0, SLOT_BYTES);
    store<u32>(slot, kind, SLOT_KIND);
    store<u32>(slot, generation, SLOT_GENERATION);
    store<u32>(slot, generation, SLOT_ISSUED);
    return (generation << 16) | index;
  }
}

/** Frees a slot. One that has used up its generations stays out of use, so that no handle ever comes back. */
export function closeSlot(core: usize, handle: u32): void {
  const index = handle & 0xffff;
  const slot = slotAt(core, index);
  store<u32>(slot, KIND_FREE, SLOT_KIND);
  if (load<u32>(slot, SLOT_ISSUED) >= <u32>MAX_GENERATION) return;
  store<u32>(slot, load<u32>(core, CORE_FREE_SLOT), SLOT_NEXT_FREE);
  store<u32>(core, index + 1, CORE_FREE_SLOT);
}

/** The slot that `handle` names, or 0 where it is stale, of another kind, or no handle at all. */
export function slotOf(core: usize, handle: u32, kind: u32): usize {
  const index = handle & 0xffff;
  if (index >= load<u32>(core, CORE_SLOTS)) return 0;
  const slot = slotAt(core, index);
  return load<u32>(slot, SLOT_KIND) == kind && load<u32>(slot, SLOT_GENERATION) == handle >> 16 ? slot : 0;
}

/** `Slots.ofStream`, as a function of its own. */
export function slotOfStream(core: usize, stream: u32, kind: u32): usize {
  return Slots.ofStream(core, stream, kind);
}
