/* Page tables as AMD v1 has them: 9 bits a level, 8 bytes an entry. A table lies at an offset from the arena's start. */
#pragma once
#include "kernels.h"

#define ENTRIES 512
#define PRESENT ((u64)1)
#define DIRTY ((u64)1 << 6)
#define NEXT_LEVEL ((u64)7 << 9)
#define ENCODED_SIZE ((u64)7 << 9)
#define ADDRESS ((u64)0x000ffffffffff000)
#define READABLE ((u64)1 << 61)
#define WRITABLE ((u64)1 << 62)

static inline u64 *table_at(void *arena, u64 offset) {
  return (u64 *)((u8 *)arena + offset);
}

static inline int is_table(u64 entry) {
  return (entry & NEXT_LEVEL) != 0 && (entry & NEXT_LEVEL) != ENCODED_SIZE;
}

static inline u64 make_table(u64 offset, u32 level) {
  return PRESENT | (u64)level << 9 | offset | READABLE | WRITABLE;
}

static inline u64 make_leaf(u64 pa) {
  return PRESENT | pa | READABLE | WRITABLE;
}

/* log2 of the bytes that an entry of `level` covers; 0 is the level of the 4 KiB leaves. */
static inline u32 shift_of(u32 level) {
  return 12 + 9 * level;
}

static inline u32 index_of(u64 iova, u32 level) {
  return (u32)(iova >> shift_of(level)) & (ENTRIES - 1);
}

static inline u64 min64(u64 a, u64 b) {
  return a < b ? a : b;
}
