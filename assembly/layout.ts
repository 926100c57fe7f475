// Where everything lies. One list for both sides: asc folds these constants, TypeScript imports them.
// All offsets are bytes. A "core offset" counts from the core's base, so the same bytes work at any base.
//
//   core offset
//   0x0000 ┌───────────────────────────────┐
//          │ header: size, usage, lists    │
//   0x0080 ├───────────────────────────────┤
//          │ mailbox: 16 x u64             │  arguments and results wider than an i32
//   0x0100 ├───────────────────────────────┤
//          │ slot directory: 128 x u32     │  core offsets of blocks of 512 slots
//   0x0400 ├───────────────────────────────┤
//          │ chunk table: 4096 x u32       │  one entry per MiB
//   0x4800 ├───────────────────────────────┤
//          │ unit tags: u32 per 2 KiB      │  as many as the core has units
//          ├───────────────────────────────┤
//          │ blocks                        │  everything else, handed out by assembly/memory
//          └───────────────────────────────┘

// === Status ===========================================================================================================
// Every export returns DONE, MORE (call again with the cursor that the mailbox holds) or -errno.

export const DONE = 0;
export const MORE = 1;

export const ENOENT = 2;
export const E2BIG = 7;
export const EBADF = 9;
export const ENOMEM = 12;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ERANGE = 34;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;

// === Header ===========================================================================================================

export const MAGIC = 0x4d4f4957; // "WIOM"
export const VERSION = 1;

export const CORE_MAGIC = 0;
export const CORE_VERSION = 4;
export const CORE_UNITS = 8; //        size in units of 2 KiB
export const CORE_CHUNKS = 12; //      size in whole chunks of 1 MiB
export const CORE_USED_UNITS = 16; //  units handed out, header included
export const CORE_UNIT_TAGS = 20; //   core offset of the unit tags
export const CORE_TRANSFER = 24; //    core offset of the transfer buffer
export const CORE_SLOTS = 28; //       slots that exist, in use or free
export const CORE_FREE_SLOT = 32; //   index + 1 of the first free slot, 0 for none
export const CORE_WANTED_UNITS = 36; // after ENOMEM: the units that the failed request asked for
export const CORE_ISSUED = 40; //      generations that every slot counts as used: see load in src/core/snapshot.ts
export const CORE_ABSENT = 48; //      u64 that is always 0: the entry of what a root does not cover
export const CORE_FREE_LISTS = 64; //  9 x u32: first free block of each order 0..8, 0 for none

export const MAILBOX = 0x80;
export const MAIL0 = 0x80;
export const MAIL1 = 0x88;
export const MAIL2 = 0x90;
export const MAIL3 = 0x98;
export const MAIL4 = 0xa0;
export const MAIL5 = 0xa8;
export const MAIL6 = 0xb0;
export const MAIL7 = 0xb8;

export const SLOT_DIRECTORY = 0x100;
export const CHUNK_TABLE = 0x400;
export const HEADER_BYTES = 0x4800;

// === Memory ===========================================================================================================

export const UNIT_SHIFT = 11;
export const CHUNK_SHIFT = 20;
export const UNITS_PER_CHUNK = 512;
export const MAX_CHUNKS = 4095; // the end of the last one must be a number of 32 bits
export const MAX_ORDER = 8; // blocks of 2^11 .. 2^19 are split from a chunk; 2^20 and more are runs of whole chunks

// A unit's tag. Only the first unit of a block carries one.
//   31            8 7  6 5  4 3    0
//   ┌───────────────┬────┬────┬──────┐
//   │ live entries  │free│used│order │    live entries: of the page table that lies in the block
//   └───────────────┴────┴────┴──────┘
export const TAG_ORDER_MASK = 15;
export const TAG_USED = 16;
export const TAG_FREE = 64;
export const TAG_LIVE_SHIFT = 8;

// A chunk's entry: its state, and in the first chunk of a run the run's length.
export const CHUNK_FREE = 0;
export const CHUNK_SPLIT = 1; //    cut into blocks
export const CHUNK_RUN = 2; //      first of a run: length in bits 31..8
export const CHUNK_RUN_REST = 3;
export const CHUNK_RUN_SHIFT = 8;

export const TRANSFER_BYTES = 65536;

// === Slots: what a handle names =======================================================================================
// handle = generation << 16 | index, generation 1..32767: always positive, and stale after the slot's next use.

export const SLOT_BYTES = 128;
export const SLOTS_PER_BLOCK = 512;
export const MAX_SLOTS = 65536;
export const MAX_GENERATION = 32767;

export const SLOT_KIND = 0;
export const SLOT_GENERATION = 4;
export const SLOT_NEXT_FREE = 8; // index + 1
export const SLOT_USERS = 12; //    a slot with users can't be destroyed

export const SLOT_ISSUED = 124; //  highest generation that was ever given out, also in a past that a load has undone

export const KIND_FREE = 0;
export const KIND_BITMAP = 1;
export const KIND_LOG = 2;
export const KIND_IOMMU = 3;
export const KIND_DOMAIN = 4;
export const KIND_DEVICE = 5;

// === Bitmap ===========================================================================================================
// Bit i stands for the page at START + (i << SHIFT). Bits from PAGES on are 0.

export const BITMAP_PAGES = 16; // 1 .. 2^32 - 1
export const BITMAP_SHIFT = 20; // log2 of the page size, 11 .. 63
export const BITMAP_START = 24; // u64
export const BITMAP_DATA = 32; //  core offset of the words
export const BITMAP_WORDS = 36; // u64 words

// === Range log: a device's own dirty log ==============================================================================

export const LOG_RANGES = 16;
export const LOG_SHIFT = 20; //  log2 of the log page
export const LOG_TABLE = 24; //  core offset of the ranges, sorted by address, then their words
export const LOG_MARKED = 32; // u64: log pages marked so far, repeats included

export const LOG_RANGE_BYTES = 32;
export const LOG_RANGE_START = 0; // u64
export const LOG_RANGE_LAST = 8; //  u64, inclusive
export const LOG_RANGE_DATA = 16; // core offset of the words
export const LOG_RANGE_PAGES = 20;
export const LOG_MAX_RANGES = 2048; // what fits the transfer buffer

// === IOMMU ============================================================================================================

export const IOMMU_SETS = 16; //         power of two
export const IOMMU_WAYS = 20;
export const IOMMU_IOTLB = 24; //        core offset
export const IOMMU_RING = 28; //         core offset of the request ring
export const IOMMU_RING_CAPACITY = 32; // requests
export const IOMMU_RING_HEAD = 36; //    next request to run
export const IOMMU_RING_DONE = 40; //    bytes of that request that have been translated
export const IOMMU_EVENTS = 44; //       core offset of the event queue
export const IOMMU_EVENT_CAPACITY = 48;
export const IOMMU_EVENT_COUNT = 52;
export const IOMMU_EVENTS_LOST = 56; //  events that found the queue full
export const IOMMU_RING_POSTED = 60; //  requests in the ring
export const IOMMU_HITS = 64; //         u64 from here on
export const IOMMU_MISSES = 72;
export const IOMMU_INVALIDATIONS = 80;
export const IOMMU_EVICTIONS = 88;
export const IOMMU_WALK_READS = 96; //   entries read by walks
export const IOMMU_DIRTY_UPDATES = 104; // entries that the hardware made dirty

// A request in the ring: 16 bytes.
//   0            8          12             15   16
//   ┌────────────┬───────────┬──────────────┬────┐
//   │ iova u64   │ length u32│ stream u24   │ u8 │ flags
//   └────────────┴───────────┴──────────────┴────┘
export const REQUEST_BYTES = 16;
export const REQUEST_IOVA = 0;
export const REQUEST_LENGTH = 8;
export const REQUEST_STREAM = 12;
export const REQUEST_FLAGS_SHIFT = 24;

export const NO_STREAM = 0xffffff; // names no device: slots end at 2^16

export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;

// A fault in the event queue: 24 bytes.
export const EVENT_BYTES = 24;
export const EVENT_IOVA = 0; //    u64: the first byte that was not translated
export const EVENT_REASON = 8; //  FAULT_*
export const EVENT_STREAM = 12; // the device's stream
export const EVENT_ACCESS = 16; // ACCESS_READ or ACCESS_WRITE
export const EVENT_REQUESTER = 20;

export const FAULT_NONE = 0;
export const FAULT_TRANSLATION = 1; // no present entry
export const FAULT_PERMISSION = 2;
export const FAULT_ADDRESS_SIZE = 3; // beyond the domain's input range
export const FAULT_BAD_STREAM = 4; //   the stream names no device

// An IOTLB entry: 32 bytes; the ways of a set lie in order of use, most recent first, free ones last.
export const IOTLB_ENTRY_BYTES = 32;
export const IOTLB_KEY = 0; //    u64: iova of the leaf | log2 of its size
export const IOTLB_DOMAIN = 8; // handle of the domain, 0 in a free way
export const IOTLB_FLAGS = 12;
export const IOTLB_OUTPUT = 16; // u64: output address of the leaf
export const IOTLB_DIRTY = 4; //  flag beside ACCESS_READ and ACCESS_WRITE: writes need not touch the entry in memory

// === Domain ===========================================================================================================

export const DOMAIN_FORMAT = 16; //      FORMAT_*
export const DOMAIN_TOP = 20; //         level of the root table
export const DOMAIN_ROOT = 24; //        core offset of the root table
export const DOMAIN_ROOT_ENTRIES = 28;
export const DOMAIN_FLAGS = 32;
export const DOMAIN_IOMMU = 36; //       handle
export const DOMAIN_MASK = 40; //        u64: 2^input bits - 1
export const DOMAIN_SIZES = 48; //       u64: leaf sizes that map may use, bit n = 2^n bytes
export const DOMAIN_SIZES_USED = 56; //  u64: leaf sizes that have been mapped: what an IOTLB look-up probes
export const DOMAIN_OUTPUT_LAST = 64; // u64
export const DOMAIN_TABLES = 72; //      tables, root included
export const DOMAIN_LOOKUP_SHIFT = 76; // log2 of the stretch that one IOTLB look-up serves
export const DOMAIN_TABLE_BYTES = 80; // u64
export const DOMAIN_MAPPED = 88; //      u64: bytes mapped
export const DOMAIN_BIAS = 96; //        u64: 0, or for sign-extended input addresses 2^(input bits - 1)
export const DOMAIN_FIRST = 104; //      u64: aperture
export const DOMAIN_LAST = 112; //       u64: aperture, inclusive
export const DOMAIN_LEAST_TOP = 120; //  level below which a root that grows does not shrink

export const CREATE_TRACKED = 1; // flags of domainCreate
export const CREATE_SIGNED = 2;
export const CREATE_FITTING = 4; // leaf sizes that do not fit the widths are left out instead of refused

export const DOMAIN_TRACKABLE = 1; // allocated for dirty tracking: leaves are made so that hardware can track them
export const DOMAIN_TRACKING = 2; //  hardware updates the dirty state

export const FORMAT_AMDV1 = 1;
export const FORMAT_VTDSS = 2;
export const FORMAT_ARMV8_S1_4K = 3;
export const FORMAT_ARMV8_S1_64K = 4;
export const FORMAT_ARMV8_S1_16K = 5;
export const FORMAT_ARMV8_S2_4K = 6;
export const FORMAT_ARMV8_S2_16K = 7;
export const FORMAT_ARMV8_S2_64K = 8;
export const FORMAT_X86_64 = 9;
export const FORMAT_RISCV = 10;
export const FORMAT_MOCK2K = 11;

// An entry of a traced walk: 24 bytes.
export const TRACE_BYTES = 24;
export const TRACE_ENTRY = 0; //  u64
export const TRACE_LEVEL = 8;
export const TRACE_INDEX = 12;
export const TRACE_TABLE = 16; // core offset

export const READ_DIRTY_NO_CLEAR = 1;

// === Device ===========================================================================================================
// A stream (24 bits, in a request) is the index of a device's slot.

export const DEVICE_REQUESTER = 16; // PCI requester id
export const DEVICE_IOMMU = 20; //     handle
export const DEVICE_DOMAIN = 24; //    handle, 0: untranslated
export const DEVICE_LOG = 28; //       handle, 0: none
export const DEVICE_FAULT_REASON = 32; // of the last single access
export const DEVICE_FAULT_IOVA = 40; //  u64

// An extent in the transfer buffer: 16 bytes.
export const EXTENT_BYTES = 16;
export const EXTENT_ADDRESS = 0; // u64
export const EXTENT_LENGTH = 8; //  u32
export const ACCESS_MAX_BYTES = 0xffe000; // any single access of this length fits the transfer buffer, each page an extent
