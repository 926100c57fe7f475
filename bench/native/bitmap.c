#include "kernels.h"

/* (bits, page numbers) */
static double mark_pages(const struct arg *a) {
  u64 *bits = a[0].at;
  const u32 *list = a[1].at;
  for (size_t i = 0; i < a[1].length; i++) bits[list[i] >> 6] |= (u64)1 << (list[i] & 63);
  return (double)a[1].length;
}

/* Sets bits first .. last; what lies between the first and the last word is filled by memset or by a loop. */
static inline void mark_range(u64 *bits, u64 first, u64 last, int by_memset) {
  u64 *at = bits + (first >> 6), *end = bits + (last >> 6);
  u64 head = ~(u64)0 << (first & 63), tail = ~(u64)0 >> (63 - (last & 63));
  if (at == end) {
    *at |= head & tail;
    return;
  }
  *at++ |= head;
  if (by_memset) {
    memset(at, 0xff, (size_t)(end - at) * 8);
  } else {
    for (; at < end; at++) {
      *at = ~(u64)0;
      __asm__ volatile(""); /* or the compiler makes it a memset */
    }
  }
  *end |= tail;
}

static inline double mark_ranges(const struct arg *a, int by_memset) {
  const u32 *pairs = a[1].at;
  for (size_t i = 0; i + 1 < a[1].length; i += 2)
    mark_range(a[0].at, pairs[i], (u64)pairs[i] + pairs[i + 1] - 1, by_memset);
  return (double)a[1].length;
}

/* (bits, pairs of first page and pages) */
static double mark_ranges_memset(const struct arg *a) {
  return mark_ranges(a, 1);
}

static double mark_ranges_loop(const struct arg *a) {
  return mark_ranges(a, 0);
}

/*
 * (bits, out): runs as pairs of first page and pages, written over and over to `out`; how many. Eight words without an edge
 * are skipped; each edge, a start or an end, is a bit of w ^ (w << 1).
 */
static double find_runs(const struct arg *a) {
  const u64 *words = a[0].at;
  u32 *out = a[1].at;
  size_t count = a[0].length / 2, room = a[1].length & ~(size_t)1, n = 0;
  u64 carry = 0, runs = 0;
  for (size_t w = 0; w < count; w += 8) {
    u64 edges[8], any = 0;
    for (size_t i = 0; i < 8; i++) {
      u64 word = words[w + i];
      edges[i] = word ^ (word << 1 | (i ? words[w + i - 1] >> 63 : carry));
      any |= edges[i];
    }
    carry = words[w + 7] >> 63;
    if (!any) continue;
    for (size_t i = 0; i < 8; i++) {
      for (u64 rest = edges[i]; rest; rest &= rest - 1) {
        u32 page = (u32)((w + i) * 64 + (size_t)__builtin_ctzll(rest));
        out[n] = n & 1 ? page - out[n - 1] : page;
        if (++n == room) runs += n / 2, n = 0;
      }
    }
  }
  return (double)(runs + (n + 1) / 2);
}

/* (bits) */
static double count_bits(const struct arg *a) {
  const u64 *words = a[0].at;
  u64 sum = 0;
  for (size_t w = 0; w < a[0].length / 2; w++) sum += (u64)__builtin_popcountll(words[w]);
  return (double)sum;
}

/* (into, from): into |= from; from = 0 */
static double or_and_clear(const struct arg *a) {
  u64 *restrict into = a[0].at, *restrict from = a[1].at;
  for (size_t w = 0; w < a[0].length / 2; w++) {
    into[w] |= from[w];
    from[w] = 0;
  }
  return 1;
}

/* (to, from, page numbers) */
static double copy_pages(const struct arg *a) {
  const u32 *list = a[2].at;
  for (size_t i = 0; i < a[2].length; i++)
    memcpy((u8 *)a[0].at + (size_t)list[i] * PAGE, (u8 *)a[1].at + (size_t)list[i] * PAGE, PAGE);
  return (double)a[2].length;
}

/* (a, b): how many pages differ */
static double compare_pages(const struct arg *a) {
  size_t differ = 0;
  for (size_t at = 0; at < a[0].length; at += PAGE) differ += memcmp((u8 *)a[0].at + at, (u8 *)a[1].at + at, PAGE) != 0;
  return (double)differ;
}

const struct entry bitmap_kernels[] = {
    {"markPages", 2, mark_pages},
    {"markRangesMemset", 2, mark_ranges_memset},
    {"markRangesLoop", 2, mark_ranges_loop},
    {"findRuns", 2, find_runs},
    {"countBits", 1, count_bits},
    {"orAndClear", 2, or_and_clear},
    {"copyPages", 3, copy_pages},
    {"comparePages", 2, compare_pages},
    {0},
};
