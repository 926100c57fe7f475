/* Map and unmap by 4 KiB leaves, in an arena of their own. Tables are freed as soon as they are empty. */
#include "entries.h"

#define TOP 2

/* The arena's first page. Offsets of tables are multiples of 4096; 0 is none. */
struct arena {
  u64 size, next, free, root;
  u32 live[]; /* present entries, by table */
};

static u64 take(struct arena *arena, int zeroed) {
  u64 offset = arena->free;
  if (offset) arena->free = *table_at(arena, offset);
  else if (arena->next + PAGE <= arena->size) offset = arena->next, arena->next += PAGE;
  else return 0;
  if (zeroed) memset(table_at(arena, offset), 0, PAGE);
  return offset;
}

static void give(struct arena *arena, u64 offset) {
  *table_at(arena, offset) = arena->free;
  arena->free = offset;
}

static u32 *live_of(struct arena *arena, u64 offset) {
  return &arena->live[offset >> 12];
}

/* (arena): an empty table */
static double open_tables(const struct arg *a) {
  struct arena *arena = a[0].at;
  u64 header = sizeof *arena + (a[0].length / PAGE) * sizeof(u32);
  memset(arena, 0, header);
  arena->size = a[0].length;
  arena->next = (header + PAGE - 1) & ~(u64)(PAGE - 1);
  arena->root = take(arena, 1);
  return 1;
}

/* The table of level 0 for `iova`, made where missing; `whole`: all of it is about to be written. */
static u64 descend(struct arena *arena, u64 iova, int whole) {
  u64 table = arena->root;
  for (u32 level = TOP; level; level--) {
    u64 *slot = table_at(arena, table) + index_of(iova, level);
    if (!(*slot & PRESENT)) {
      u64 child = take(arena, !(whole && level == 1));
      if (!child) return 0;
      *slot = make_table(child, level);
      ++*live_of(arena, table);
    }
    table = *slot & ADDRESS;
  }
  return table;
}

/* One entry at a time, each looked at before it is written. */
static int fill_plain(u64 *at, u32 count, u64 pa) {
  for (u32 i = 0; i < count; i++, pa += PAGE) {
    if (at[i] & PRESENT) return 0;
    at[i] = make_leaf(pa);
  }
  return 1;
}

/* Looks at all, then writes all: two loops that the compiler vectorises. */
static int fill_best(u64 *at, u32 count, u64 pa) {
  u64 any = 0;
  for (u32 i = 0; i < count; i++) any |= at[i];
  if (any & PRESENT) return 0;
  for (u32 i = 0; i < count; i++) at[i] = make_leaf(pa + (u64)i * PAGE);
  return 1;
}

static inline double map_range(struct arena *arena, u64 iova, u64 pages, u64 pa, int best) {
  u64 last = iova + pages * PAGE;
  while (iova < last) {
    u32 index = index_of(iova, 0);
    u32 count = (u32)min64(ENTRIES - index, (last - iova) >> 12);
    int whole = best && count == ENTRIES;
    u64 before = arena->next;
    u64 recycled = arena->free;
    u64 table = descend(arena, iova, whole);
    if (!table) return -1;
    u64 *at = table_at(arena, table) + index;
    int fresh = whole && (arena->next != before || arena->free != recycled);
    if (fresh) {
      for (u32 i = 0; i < ENTRIES; i++) at[i] = make_leaf(pa + (u64)i * PAGE);
    } else if (!(best ? fill_best(at, count, pa) : fill_plain(at, count, pa))) {
      return -1;
    }
    *live_of(arena, table) += count;
    iova += (u64)count * PAGE;
    pa += (u64)count * PAGE;
  }
  return (double)pages;
}

/* Clears up to the first hole, one entry at a time; how many. */
static u32 clear_plain(u64 *at, u32 count) {
  u32 i = 0;
  for (; i < count && at[i] & PRESENT; i++) at[i] = 0;
  return i;
}

static u32 clear_best(u64 *at, u32 count) {
  u64 all = PRESENT;
  for (u32 i = 0; i < count; i++) all &= at[i];
  if (!all) return clear_plain(at, count);
  memset(at, 0, (size_t)count * 8);
  return count;
}

/* Whether a full table holds leaves only, so that it may go without being cleared. */
static int all_present(const u64 *at) {
  u64 all = PRESENT;
  for (u32 i = 0; i < ENTRIES; i++) all &= at[i];
  return all != 0;
}

/* Frees the tables on the way to `iova` that hold nothing any more; the root stays. */
static void prune(struct arena *arena, u64 iova) {
  u64 way[TOP + 1], table = arena->root;
  for (u32 level = TOP; level; level--) {
    way[level] = table;
    table = table_at(arena, table)[index_of(iova, level)] & ADDRESS;
  }
  for (u32 level = 1; level <= TOP && !*live_of(arena, table); level++) {
    give(arena, table);
    table = way[level];
    table_at(arena, table)[index_of(iova, level)] = 0;
    --*live_of(arena, table);
  }
}

static inline double unmap_range(struct arena *arena, u64 iova, u64 pages, int best) {
  u64 first = iova, last = iova + pages * PAGE;
  while (iova < last) {
    u64 table = arena->root;
    for (u32 level = TOP; level; level--) {
      u64 entry = table_at(arena, table)[index_of(iova, level)];
      if (!(entry & PRESENT)) return (double)((iova - first) >> 12);
      table = entry & ADDRESS;
    }
    u32 index = index_of(iova, 0), count = (u32)min64(ENTRIES - index, (last - iova) >> 12), done;
    u64 *at = table_at(arena, table) + index;
    if (best && count == ENTRIES && all_present(at)) done = count;
    else done = best ? clear_best(at, count) : clear_plain(at, count);
    *live_of(arena, table) -= done;
    if (!*live_of(arena, table)) prune(arena, iova);
    iova += (u64)done * PAGE;
    if (done < count) break;
  }
  return (double)((iova - first) >> 12);
}

/* (arena, iova, pages, pa): pages mapped, or -1 */
static double map_plain(const struct arg *a) {
  return map_range(a[0].at, (u64)a[1].number, (u64)a[2].number, (u64)a[3].number, 0);
}

static double map_best(const struct arg *a) {
  return map_range(a[0].at, (u64)a[1].number, (u64)a[2].number, (u64)a[3].number, 1);
}

/* (arena, iova, pages): pages unmapped */
static double unmap_plain(const struct arg *a) {
  return unmap_range(a[0].at, (u64)a[1].number, (u64)a[2].number, 0);
}

static double unmap_best(const struct arg *a) {
  return unmap_range(a[0].at, (u64)a[1].number, (u64)a[2].number, 1);
}

const struct entry pagetable_kernels[] = {
    {"openTables", 1, open_tables}, {"mapPlain", 4, map_plain},   {"mapBest", 4, map_best},
    {"unmapPlain", 3, unmap_plain}, {"unmapBest", 3, unmap_best}, {0},
};
