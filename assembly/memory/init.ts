import {
  CHUNK_SHIFT,
  CHUNK_SPLIT,
  CHUNK_TABLE,
  CORE_CHUNKS,
  CORE_MAGIC,
  CORE_TRANSFER,
  CORE_UNITS,
  CORE_UNIT_TAGS,
  CORE_USED_UNITS,
  CORE_VERSION,
  DONE,
  EINVAL,
  ENOMEM,
  HEADER_BYTES,
  MAGIC,
  MAX_CHUNKS,
  TRANSFER_BYTES,
  UNITS_PER_CHUNK,
  UNIT_SHIFT,
  VERSION,
} from '../layout';
import { seedBlocks, take } from './blocks';
import { fail } from './mailbox';

/**
 * Lays out an empty core over `units` x 2 KiB at `core`. EINVAL: base not a multiple of 4 KiB, or size not whole chunks
 * or not below 4 GiB. ENOMEM: less than 1 MiB, or more than the memory has.
 */
export function init(core: usize, units: u32): i32 {
  const chunks = units / UNITS_PER_CHUNK;
  if (core & 0xfff || units % UNITS_PER_CHUNK || chunks > <u32>MAX_CHUNKS) return fail(EINVAL);
  const end = <u64>core + ((<u64>units) << UNIT_SHIFT);
  // Loops compare with the address behind their last word: it must not wrap to 0.
  if (end > <u64>u32.MAX_VALUE) return fail(EINVAL);
  if (!chunks || end > (<u64>memory.size()) << 16) return fail(ENOMEM);

  const tagBytes = units << 2;
  const firstFree: u32 = (HEADER_BYTES + tagBytes + ((1 << UNIT_SHIFT) - 1)) & -(1 << UNIT_SHIFT);
  // The tags of a core of nearly 4 GiB fill 8 MiB: the header then reaches over several chunks.
  const headerChunks: u32 = (firstFree + ((1 << CHUNK_SHIFT) - 1)) >> CHUNK_SHIFT;
  memory.fill(core, 0, headerChunks << CHUNK_SHIFT);
  store<u32>(core, MAGIC, CORE_MAGIC);
  store<u32>(core, VERSION, CORE_VERSION);
  store<u32>(core, units, CORE_UNITS);
  store<u32>(core, chunks, CORE_CHUNKS);
  store<u32>(core, HEADER_BYTES, CORE_UNIT_TAGS);
  store<u32>(core, firstFree >> UNIT_SHIFT, CORE_USED_UNITS);

  for (let chunk: u32 = 0; chunk < headerChunks; ++chunk) {
    store<u32>(core + CHUNK_TABLE + (chunk << 2), CHUNK_SPLIT);
  }
  seedBlocks(core, firstFree, headerChunks << CHUNK_SHIFT);

  const transfer = take(core, TRANSFER_BYTES);
  if (!transfer) return fail(ENOMEM);
  store<u32>(core, transfer, CORE_TRANSFER);
  return DONE;
}
