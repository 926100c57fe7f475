/* A batch of DMA requests: translation, rights and dirty state, one request after the other. */
#include "entries.h"

#define WRITE 2
#define IOTLB 4096

struct request {
  u64 iova;
  u32 length, stream_flags; /* stream in the lower 24 bits, access above */
};

/* Direct-mapped, as plain as it gets. */
struct cached {
  u64 page; /* number + 1, 0 for none */
  u64 leaf; /* the entry, its dirty state included */
};

static struct cached iotlb[IOTLB];

/* The leaf for `iova`, made dirty where it is written; 0 for a fault. */
static u64 walk(u8 *memory, u64 root, u32 top, u64 iova, u32 access) {
  u64 *at = table_at(memory, root) + index_of(iova, top);
  for (u32 level = top; level; level--) {
    if (!(*at & PRESENT)) return 0;
    at = table_at(memory, *at & ADDRESS) + index_of(iova, level - 1);
  }
  u64 entry = *at;
  u64 rights = (access & 1 ? READABLE : 0) | (access & WRITE ? WRITABLE : 0);
  if (!(entry & PRESENT) || (entry & rights) != rights) return 0;
  if (access & WRITE && !(entry & DIRTY)) *at = entry |= DIRTY;
  return entry;
}

/* (memory, roots by stream: pairs of root and level, requests, requests to run): faults, and a part of the addresses' sum */
static double run_requests(const struct arg *a) {
  const double *roots = a[1].at;
  const struct request *list = a[2].at;
  u64 sum = 0, faults = 0;
  for (size_t i = 0; i < (size_t)a[3].number; i++) {
    u32 stream = list[i].stream_flags & 0xffffff, access = list[i].stream_flags >> 24;
    u64 iova = list[i].iova, last = iova + list[i].length - 1;
    for (; iova <= last; iova = (iova | (PAGE - 1)) + 1) {
      u64 page = iova >> 12;
      struct cached *way = &iotlb[page & (IOTLB - 1)];
      u64 leaf = way->leaf, rights = (access & 1 ? READABLE : 0) | (access & WRITE ? WRITABLE | DIRTY : 0);
      if (way->page != page + 1 || (leaf & rights) != rights) {
        leaf = walk(a[0].at, (u64)roots[2 * stream], (u32)roots[2 * stream + 1], iova, access);
        if (!leaf) {
          faults++;
          break;
        }
        way->page = page + 1;
        way->leaf = leaf;
      }
      sum += (leaf & ADDRESS) + (iova & (PAGE - 1));
    }
  }
  return (double)faults + (double)(sum & 1) / 2;
}

/* (): forgets all */
static double flush_iotlb(const struct arg *a) {
  (void)a;
  memset(iotlb, 0, sizeof iotlb);
  return 1;
}

const struct entry dma_kernels[] = {
    {"runRequests", 4, run_requests},
    {"flushIotlb", 0, flush_iotlb},
    {0},
};
