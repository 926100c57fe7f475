#include "kernels.h"

/* (pages): how many are zero */
static double zero_pages(const struct arg *a) {
  size_t zero = 0;
  for (size_t at = 0; at < a[0].length; at += PAGE) {
    const u64 *page = (const u64 *)((u8 *)a[0].at + at);
    u64 any = 0;
    for (int w = 0; w < 512 && !any; w += 32)
      for (int i = 0; i < 32; i++) any |= page[w + i];
    zero += !any;
  }
  return (double)zero;
}

static u32 crc32c(u32 crc, const u8 *at, size_t bytes) {
#ifdef __SSE4_2__
  u64 sum = crc;
  for (; bytes >= 8; bytes -= 8, at += 8) {
    u64 word;
    memcpy(&word, at, 8);
    sum = __builtin_ia32_crc32di(sum, word);
  }
  crc = (u32)sum;
  for (; bytes; bytes--, at++) crc = __builtin_ia32_crc32qi(crc, *at);
#else
  for (; bytes; bytes--, at++) {
    crc ^= *at;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
#endif
  return crc;
}

/* (bytes) */
static double checksum(const struct arg *a) {
  return (double)(u32)~crc32c(~(u32)0, a[0].at, a[0].length);
}

/* Runs of changed words: bytes skip and count, then the words. A skip of 255 with no word goes on. */
static size_t delta(u8 *out, const u64 *page, u64 *last) {
  u8 *start = out;
  for (u32 at = 0, w = 0; w < 512;) {
    if (page[w] == last[w]) {
      w++;
      continue;
    }
    for (; w - at > 255; at += 255) *out++ = 255, *out++ = 0;
    u32 first = w;
    while (w < 512 && w - first < 255 && page[w] != last[w]) last[w] = page[w], w++;
    *out++ = (u8)(first - at);
    *out++ = (u8)(w - first);
    memcpy(out, page + first, (w - first) * 8);
    out += (w - first) * 8;
    at = w;
  }
  return (size_t)(out - start);
}

/* (pages, copy sent last, out): a delta of each page, over and over to `out`; its bytes. The copy is brought up to date. */
static double delta_pages(const struct arg *a) {
  size_t sum = 0;
  for (size_t at = 0; at < a[0].length; at += PAGE)
    sum += delta(a[2].at, (const u64 *)((u8 *)a[0].at + at), (u64 *)((u8 *)a[1].at + at));
  return (double)sum;
}

const struct entry state_kernels[] = {
    {"zeroPages", 1, zero_pages},
    {"checksum", 1, checksum},
    {"deltaPages", 3, delta_pages},
    {0},
};
