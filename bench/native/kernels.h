/* The yardstick: each kernel as plain C. Arguments come from JavaScript: a typed array's bytes, or a number. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE 4096

struct arg {
  void *at;      /* first byte of a typed array */
  size_t length; /* its elements */
  double number;
};

typedef double kernel(const struct arg *);

struct entry {
  const char *name;
  u32 args;
  kernel *run;
};

/* Lists, each ended by an entry without a name. */
extern const struct entry bitmap_kernels[], state_kernels[], pagetable_kernels[], dirty_kernels[], dma_kernels[];
