/* Read and clear the dirty state, and translate: on the very tables of the core, which are AMD v1's. */
#include "entries.h"

struct query {
  u8 *arena;
  u64 first, last; /* inclusive */
  u64 *bits;       /* bit i for page i from iova 0 on */
};

static void report(u64 *bits, u64 first, u64 last) {
  u64 from = first >> 12, to = last >> 12;
  for (; (from & 63) && from <= to; from++) bits[from >> 6] |= (u64)1 << (from & 63);
  for (; from + 63 <= to; from += 64) bits[from >> 6] = ~(u64)0;
  for (; from <= to; from++) bits[from >> 6] |= (u64)1 << (from & 63);
}

/* log2 of the size of a leaf of `level`; an encoded size has all lower address bits set. */
static inline u32 leaf_shift(u64 entry, u32 level) {
  if ((entry & NEXT_LEVEL) != ENCODED_SIZE) return shift_of(level);
  return 1 + (u32)__builtin_ctzll(~(entry | (PAGE - 1)));
}

/*
 * The generic walk: each entry is classified; a leaf of several entries is dirty where any of them is, and all of them are
 * cleared; what it covers is reported as a range.
 */
static inline void scalar(const struct query *q, u64 table, u32 level, u64 base, int atomic) {
  u64 *entries = table_at(q->arena, table), span = (u64)1 << shift_of(level);
  u32 from = q->first > base ? (u32)((q->first - base) >> shift_of(level)) : 0;
  u32 to = (u32)min64(ENTRIES - 1, (q->last - base) >> shift_of(level));
  for (u32 i = from; i <= to;) {
    u64 entry = __atomic_load_n(&entries[i], __ATOMIC_RELAXED);
    if (!(entry & PRESENT)) {
      i++;
      continue;
    }
    u32 shift = leaf_shift(entry, level), copies = 1 << (shift - shift_of(level)), dirty = 0;
    for (u32 k = 0; k < copies; k++) dirty |= (__atomic_load_n(&entries[i + k], __ATOMIC_RELAXED) & DIRTY) != 0;
    if (dirty) {
      u64 first = base + i * span;
      if (level == 0 && copies == 1) q->bits[first >> 18] |= (u64)1 << (first >> 12 & 63);
      else report(q->bits, first, first + (span * copies - 1));
      for (u32 k = 0; k < copies; k++) {
        if (atomic) __atomic_fetch_and(&entries[i + k], ~DIRTY, __ATOMIC_RELAXED);
        else __atomic_store_n(&entries[i + k], entries[i + k] & ~DIRTY, __ATOMIC_RELAXED);
      }
    }
    i += copies;
  }
}

/* 64 leaves of 4 KiB at a time, in loops that the compiler vectorises; those without a dirty one are only read. */
static void best(const struct query *q, u64 table, u32 level, u64 base) {
  (void)level;
  u64 *entries = table_at(q->arena, table);
  for (u32 i = 0; i < ENTRIES; i += 64) {
    u64 any = 0, word = 0;
    for (u32 k = 0; k < 64; k++) any |= entries[i + k];
    if (!(any & DIRTY)) continue;
    for (u32 k = 0; k < 64; k++) word |= (entries[i + k] >> 6 & 1) << k;
    for (u32 k = 0; k < 64; k++) entries[i + k] &= ~DIRTY;
    q->bits[(base >> 18) + i / 64] |= word;
  }
}

static void plain_leaves(const struct query *q, u64 table, u32 level, u64 base) {
  scalar(q, table, level, base, 0);
}

static void atomic_leaves(const struct query *q, u64 table, u32 level, u64 base) {
  scalar(q, table, level, base, 1);
}

typedef void leaves(const struct query *, u64 table, u32 level, u64 base);

static void walk(const struct query *q, u64 table, u32 level, u64 base, leaves *each) {
  u64 *entries = table_at(q->arena, table);
  u32 from = q->first > base ? (u32)((q->first - base) >> shift_of(level)) : 0;
  u32 to = (u32)min64(ENTRIES - 1, (q->last - base) >> shift_of(level));
  for (u32 i = from; i <= to; i++) {
    if (!(entries[i] & PRESENT) || !is_table(entries[i])) continue;
    u64 child = entries[i] & ADDRESS, start = base + ((u64)i << shift_of(level));
    if (level == 1) each(q, child, 0, start);
    else walk(q, child, level - 1, start, each);
  }
}

/* (memory, root, level of the root, length, bits); tables of leaves lie whole in the length */
static double read_dirty(const struct arg *a, leaves *each) {
  struct query query = {a[0].at, 0, (u64)a[3].number - 1, a[4].at};
  walk(&query, (u64)a[1].number, (u32)a[2].number, 0, each);
  return 1;
}

static double read_dirty_plain(const struct arg *a) {
  return read_dirty(a, plain_leaves);
}

static double read_dirty_atomic(const struct arg *a) {
  return read_dirty(a, atomic_leaves);
}

static double read_dirty_best(const struct arg *a) {
  return read_dirty(a, best);
}

static void set_leaves(const struct query *q, u64 table, u32 level, u64 base) {
  (void)level;
  u64 *entries = table_at(q->arena, table), *bits = q->bits + (base >> 18);
  for (u32 i = 0; i < ENTRIES; i++)
    if (bits[i >> 6] >> (i & 63) & 1) entries[i] |= DIRTY;
}

/* The same arguments: makes the leaves dirty whose bit is set, as if hardware had. */
static double set_dirty(const struct arg *a) {
  return read_dirty(a, set_leaves);
}

/* (memory, root, level of the root, iovas): sum of the output addresses, from one walk after the other */
static double translate(const struct arg *a) {
  const double *list = a[3].at;
  u64 sum = 0;
  for (size_t i = 0; i < a[3].length; i++) {
    u64 iova = (u64)list[i], entry = PRESENT | (u64)a[1].number;
    for (u32 level = (u32)a[2].number + 1; level-- && (entry & PRESENT);)
      entry = table_at(a[0].at, entry & ADDRESS)[index_of(iova, level)];
    sum += (entry & ADDRESS) + (iova & (PAGE - 1));
  }
  return (double)sum;
}

const struct entry dirty_kernels[] = {
    {"readDirtyPlain", 5, read_dirty_plain}, {"readDirtyAtomic", 5, read_dirty_atomic},
    {"readDirtyBest", 5, read_dirty_best},   {"setDirty", 5, set_dirty},
    {"translate", 4, translate},             {0},
};
