// Where everything lies. One list for both sides: asc folds these constants, TypeScript imports them.
// All offsets are bytes. A "core offset" counts from the core's base, so the same bytes work at any base.
//
//   core offset
//   0x0000 ┌───────────────────────────────┐
//          │ header: size, usage, lists    │
//   0x0080 ├───────────────────────────────┤
//          │ mailbox: 16 x u64             │  arguments and results wider than an i32
//   0x0100 ├───────────────────────────────┤
//          │ slot directory: 256 x u32     │  core offsets of blocks of 256 slots
//   0x0500 ├───────────────────────────────┤
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
export const VERSION = 4; // of what a snapshot holds: another number wherever that changes

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
export const MAIL8 = 0xc0;
export const MAIL9 = 0xc8;
export const MAIL10 = 0xd0;
export const MAIL11 = 0xd8;
export const MAIL12 = 0xe0;
export const MAIL13 = 0xe8;

export const SLOT_DIRECTORY = 0x100;
export const CHUNK_TABLE = 0x500;
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
export const CHUNK_LEFT = 256; //   free, and has been in use: CHUNK_FREE with a bit above the state

export const TRANSFER_BYTES = 65536;

// === Slots: what a handle names =======================================================================================
// handle = generation << 16 | index, generation 1..32767: always positive, and stale after the slot's next use.

export const SLOT_BYTES = 256;
export const SLOTS_PER_BLOCK = 256;
export const MAX_SLOTS = 65536;
export const MAX_GENERATION = 32767;

export const SLOT_KIND = 0;
export const SLOT_GENERATION = 4;
export const SLOT_NEXT_FREE = 8; // index + 1
export const SLOT_USERS = 12; //    a slot with users can't be destroyed

export const SLOT_ISSUED = 252; //  highest generation that was ever given out, also in a past that a load has undone

export const KIND_FREE = 0;
export const KIND_BITMAP = 1;
export const KIND_LOG = 2;
export const KIND_IOMMU = 3;
export const KIND_DOMAIN = 4;
export const KIND_DEVICE = 5;
export const KIND_RAM = 7;

// === Bitmap ===========================================================================================================
// Bit i stands for the page at START + (i << SHIFT). Bits from PAGES on are 0.

export const BITMAP_PAGES = 16; // 1 .. 2^32 - 1
export const BITMAP_SHIFT = 20; // log2 of the page size, 11 .. 63
export const BITMAP_START = 24; // u64
export const BITMAP_DATA = 32; //  core offset of the words
export const BITMAP_WORDS = 36; // u64 words

// === RAM: memory of a guest ===========================================================================================
// Guest frames are an output-address space of their own; those that hold tables of a guest have bytes here.

export const RAM_START = 16; // u64: physical address of the first byte
export const RAM_BYTES = 24; // whole pages of 4 KiB
export const RAM_DATA = 28; //  core offset

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

// A cache: sets x ways of IOTLB_ENTRY_BYTES each. IOTLB, walk cache and the caches of devices are all of this kind.
export const CACHE_SETS = 0; // power of two; 0: there is none
export const CACHE_WAYS = 4;
export const CACHE_BASE = 8; // core offset

export const IOMMU_IOTLB = 16; //        cache of leaves
export const IOMMU_RING = 28; //         core offset of the request ring
export const IOMMU_RING_CAPACITY = 32; // requests
export const IOMMU_RING_HEAD = 36; //    next request to run
export const IOMMU_RING_DONE = 40; //    bytes of that request that have been translated
export const IOMMU_EVENTS = 44; //       core offset of the event queue
export const IOMMU_EVENT_CAPACITY = 48;
export const IOMMU_EVENT_COUNT = 52;
export const IOMMU_EVENTS_LOST = 56; //  events that found the queue full since it was last emptied
export const IOMMU_RING_POSTED = 60; //  requests in the ring
export const IOMMU_HITS = 64; //         u64 from here on
export const IOMMU_MISSES = 72;
export const IOMMU_INVALIDATIONS = 80;
export const IOMMU_EVICTIONS = 88;
export const IOMMU_WALK_READS = 96; //   entries read by walks
export const IOMMU_DIRTY_UPDATES = 104; // entries that the hardware made dirty
export const IOMMU_WALKS = 112; //       cache of table pointers
export const IOMMU_MODE = 124; //        INVALIDATION_*
export const IOMMU_ATS = 128; //         handle of the first device in the list of those with a cache, 0 for none
export const IOMMU_WAITING = 132; //     core offset of OUTCOME_* and the queues of waiting requests
export const IOMMU_SIZES = 136; //       u64: leaf sizes that were ever cached
export const IOMMU_WALK_HITS = 144; //   u64: walks that began at a cached table
export const IOMMU_WALK_MISSES = 152; // u64: walks from the root, where there is a walk cache
export const IOMMU_ATC_HITS = 160; //    u64, of all devices
export const IOMMU_ATC_MISSES = 168; //  u64: translation requests
export const IOMMU_ATC_INVALIDATIONS = 176; // u64: invalidation requests sent to devices
export const IOMMU_RAM = 184; //         handle of the memory that holds guests' tables, 0 for none
export const IOMMU_FAULT_STAGE = 188; // of the last nested walk that faulted
export const IOMMU_PASSING = 192; //     an entry of the IOTLB's shape for a leaf that is not cached, 32 bytes
export const IOMMU_FAULT_IPA = 224; //   u64: what stage 2 was asked for in the last fault, all ones where stage 1 refused, or there is one stage
export const IOMMU_CONFLICTS = 232; //   u64: look-ups that found the IOTLB in conflict with the tables
export const IOMMU_TABLE_WRITES = 240; // handle of a bitmap of the pages with tables that the IOMMU has written, 0 for none

export const INVALIDATION_VENDOR = 1; // commands as the format's vendor encodes them
export const INVALIDATION_RANGES = 2; // SMMU_IDR3.RIL: commands that name a range

// Flags of an invalidation.
export const INVALIDATE_LEAF_ONLY = 1; // keeps the walk cache (VT-d IH, SMMU Leaf)
export const INVALIDATE_NO_ATC = 2; //    leaves the devices' caches out
export const INVALIDATE_ATC_ONLY = 4; //  nothing but the devices' caches
export const INVALIDATE_OTHER_TAG = 8; // names another VMID than the domain's, as a driver may by mistake
export const INVALIDATE_FORM_SHIFT = 8; // one of FORM_*
export const INVALIDATE_SIZE_SHIFT = 16; // log2 of the only leaf size that has changed (SMMU TTL); 0: any

export const FORM_RANGE = 0;
export const FORM_ASID = 1; //   one address space; global leaves stay
export const FORM_DOMAIN = 2; // one VMID
export const FORM_ALL = 3;
export const FORM_IPA = 4; // inside the core only: nested leaves of one VMID by their IPA

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
export const ACCESS_GLOBAL = 4; // of a leaf: every ASID of its VMID has it
export const ACCESS_WAITS = 8; //  of a single access: its requester waits for the answer to a stall or page request itself

// A fault in the event queue: 48 bytes.
export const EVENT_BYTES = 48;
export const EVENT_IOVA = 0; //    u64: the first byte that was not translated
export const EVENT_IPA = 8; //     u64: what stage 2 was asked for under a stage 1; else all ones
export const EVENT_REASON = 16; // FAULT_*
export const EVENT_STREAM = 20; // the device's stream
export const EVENT_ACCESS = 24; // ACCESS_READ or ACCESS_WRITE
export const EVENT_REQUESTER = 28;
export const EVENT_PASID = 32; //  NO_PASID for none
export const EVENT_STAGE = 36; //  1 or 2, 0 where no translation was begun
export const EVENT_RESPONSE = 40; // RESPONSE_*
export const EVENT_TAG = 44; //    stall tag

export const NO_PASID = 0xffffffff;

export const FAULT_NONE = 0;
export const FAULT_TRANSLATION = 1; // no present entry
export const FAULT_PERMISSION = 2;
export const FAULT_ADDRESS_SIZE = 3; // beyond the domain's input range
export const FAULT_BAD_STREAM = 4; //   the stream names no device
export const FAULT_TLB_CONFLICT = 5; // several cached entries match
export const FAULT_WALK_ABORT = 6; //   a table lies where the IOMMU finds no memory
export const FAULT_HIGHEST = 15; // what resolve() returns is a reason up to here, else the address of an entry

// What a device gets for a request that faults.
export const RESPONSE_ABORT = 0;
export const RESPONSE_IGNORED = 1; // reads as zero, or the write vanishes
export const RESPONSE_STALLED = 2;
export const RESPONSE_PAGE_REQUEST = 3; // the device has asked for the page
export const RESPONSE_BITS = 3;
export const FAULTS_SILENT = 4; // DOMAIN_FAULTS: records are not written (a stall's always is)
export const FAULTS_STAGE_SHIFT = 4;

// Faults by outcome, u64 each, then the stall queue, then the page requests.
export const OUTCOME_BYTES = 80;
export const OUTCOME_ABORTS = 0; //       recorded, or meant to be
export const OUTCOME_SILENT_ABORTS = 8;
export const OUTCOME_IGNORED = 16;
export const OUTCOME_STALLS = 24;
export const OUTCOME_STALL_RETRIES = 32;
export const OUTCOME_STALL_TERMINATES = 40;
export const OUTCOME_PAGE_REQUESTS = 48;
export const OUTCOME_RECORDS_LOST = 56;
export const OUTCOME_STALLS_MOST = 64; // u32 from here on: entries of each queue, and where to look for a free one next
export const OUTCOME_STALLS_NEXT = 68;
export const OUTCOME_PAGES_MOST = 72;
export const OUTCOME_PAGES_NEXT = 76;

// A request that waits for an answer. Its index in its queue is the stall tag, or the index of the page request group.
export const WAIT_BYTES = 40;
export const WAIT_IOVA = 0; //    u64: what is left of the request
export const WAIT_LENGTH = 8;
export const WAIT_STREAM = 12;
export const WAIT_ACCESS = 16; // ACCESS_*
export const WAIT_STATE = 20;
export const WAIT_REASON = 24; // FAULT_*
export const WAIT_STAGE = 28; // stage, and WAIT_UNRECORDED
export const WAIT_IPA = 32; //   u64

export const WAIT_FREE = 0;
export const WAIT_PENDING = 1;
export const WAIT_RETRY = 2; //  answered; its requester takes the answer
export const WAIT_END = 3;
export const WAIT_UNRECORDED = 16; // found the event queue full; recorded once that is emptied

export const QUEUE_STALLS = 0;
export const QUEUE_PAGES = 1;

export const ANSWER_RETRY = 0;
export const ANSWER_END = 1; //    the device gets an abort, or learns that there is no page
export const ANSWER_IGNORE = 2; // of a stall in stage 1: reads as zero, or the write vanishes

// A set of a cache with more than one way: for each eight ways a header of 32 bytes, then the entries.
//        0            16           32
//        ┌────────────┬────────────┐   print: of the key, 0 in a free way, all ones where there is no way
//        │ 8 x print  │ 8 x age    │   age: how many ways of the set were used since, free ones counted like others
//        └────────────┴────────────┘   (all u16)
export const WAYS_PER_HEADER = 8;
export const WAYS_HEADER_BYTES = 32;
export const WAYS_AGES = 16;

// An entry of a cache: 32 bytes.
//   tag: 63   44 43     40 39 36 35     20 19      0
//        ┌──────┬─────────┬─────┬─────────┬─────────┐
//        │      │ D G W R │     │ VMID    │ ASID    │     in a device's cache: PASID + 1 below bit 36
//        └──────┴─────────┴─────┴─────────┴─────────┘
export const IOTLB_ENTRY_BYTES = 32;
export const IOTLB_KEY = 0; //     u64: iova of the leaf, or of what a table covers, | log2 of its size; 0 in a free way
export const IOTLB_TAG = 8; //     u64
export const IOTLB_OUTPUT = 16; // u64: output address of the leaf, or core offset of the table
export const IOTLB_IPA = 24; //    u64: where a nested leaf lies in stage 2 | NESTED_LEAF, 0 with one stage
export const NESTED_LEAF = 1;
export const IOTLB_RIGHTS_SHIFT = 40; // ACCESS_* and IOTLB_DIRTY in a tag
export const IOTLB_ASID_BITS = 20;
export const IOTLB_VMID_BITS = 16;
export const IOTLB_DIRTY = 8; // right beside ACCESS_*: writes need not touch the entry in memory

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
export const DOMAIN_UPDATE = 124; //     UPDATE_*: how its driver changes the size of a leaf
export const DOMAIN_QUIRKS = 128; //     QUIRK_*
export const DOMAIN_LIMBO = 132; //      first table that nothing leads to, but what has been cached might
export const DOMAIN_RESERVE = 136; //    first table held ready for a split
export const DOMAIN_MERGED = 140; //     core offset of the list of tables that merges have replaced, 0 outside a merge
export const DOMAIN_MERGED_COUNT = 144;
export const DOMAIN_RESERVED = 148; //   tables in the reserve
export const DOMAIN_CONFLICT = 152; //   CONFLICT_*
export const DOMAIN_PARENT = 156; //     handle of the domain of stage 2 under it, 0 where there is one stage
export const DOMAIN_ROOT_IPA = 160; //   u64: where its root lies then
export const DOMAIN_BROKEN = 196; //     leaves, and blocks to merge, that were made not present for a while, ever
export const DOMAIN_SPLIT = 200; //      leaves that were split, those in passing included, ever
export const DOMAIN_FUSED = 204; //      leaves that a merge has made, ever
export const DOMAIN_TAG = 208; //        u64: VMID and ASID as in the tag of an IOTLB entry
export const DOMAIN_FAULTS = 216; //     RESPONSE_*, FAULTS_SILENT, and the stage that the format is
export const DOMAIN_GRANULE = 220; //    log2 of the smallest leaf

export const CREATE_TRACKED = 1; // flags of domainCreate
export const CREATE_SIGNED = 2;
export const CREATE_FITTING = 4; // leaf sizes that do not fit the widths are left out instead of refused

export const UPDATE_DIRECT = 0; // the entry is swapped, then invalidated
export const UPDATE_BBM = 1; //    break before make: an entry not present in between
export const UPDATE_NT = 2; //     not cached while it changes (Arm FEAT_BBM level 1)
export const UPDATE_DIRECT2 = 3; // swapped, and hardware resolves what it then has cached twice (level 2)
export const UPDATE_WRONG = 4; //  swapped where the hardware forbids it (level 0)

// What hardware does where its IOTLB holds a leaf that the tables no longer have (UPDATE_WRONG); see src/iommu/update-policy.ts.
export const CONFLICT_ANY = 0;
export const CONFLICT_OLD = 1;
export const CONFLICT_NEW = 2;
export const CONFLICT_AMALGAM = 3;
export const CONFLICT_ABORT = 4;
export const CONFLICT_DIRTY_MISSED = 5;

// Mistakes that a driver or hardware makes; see src/iommu/quirks.ts for what each stands for.
export const QUIRK_CLEAR_WHOLE_LEAF = 1;
export const QUIRK_UNALIGNED_START = 2;
export const QUIRK_CLEAR_ONE_REPLICA = 4;
export const QUIRK_SPLIT_FORGETS_DIRTY = 8;

// What one call of domainSplit does to a leaf that is too large.
export const SPLIT_SWAP = 0; //  its parts take its place
export const SPLIT_BREAK = 1; // it is no longer present, but kept
export const SPLIT_MAKE = 2; //  the parts take the place of a broken one
export const SPLIT_MARK = 3; //  it is no longer cached (nT)

// What one call of domainMerge does to a block.
export const MERGE_CHECK = 0; // nothing: whether it is one leaf in all but size
export const MERGE_SWAP = 1; //  a leaf takes its place
export const MERGE_BREAK = 2; // what leads to it is no longer present, but kept
export const MERGE_MAKE = 3; //  a leaf takes the place of a broken block
export const MERGE_MARK = 4; //  a leaf that is not cached takes its place (nT)

// A table that a merge has replaced, until it has been looked at for the last time: 16 bytes.
export const MERGED_BYTES = 16;
export const MERGED_IOVA = 0; //   u64: of the leaf in its place
export const MERGED_TABLE = 8; //  core offset
export const MERGED_LEVEL = 12; // of the table
export const MERGED_CAPACITY = 256; // as many as one leaf of AMD's can replace

export const DOMAIN_TRACKABLE = 1; // allocated for dirty tracking: leaves are made so that hardware can track them
export const DOMAIN_TRACKING = 2; //  hardware updates the dirty state
export const DOMAIN_GLOBALS = 0x10000; // global leaves were mapped
export const DOMAIN_NESTS = 0x40000; //  stage 2 of another domain
export const DOMAIN_SHARED = 0x20000; //  another domain has its VMID

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
// A dirty leaf that is too large is not only cleaned but taken apart on the way; the size wanted is in bits 8..15.
export const READ_DIRTY_SWAP = 2;
export const READ_DIRTY_BREAK = 4;
export const READ_DIRTY_MARK = 8;
export const READ_DIRTY_SHIFT = 8;

// === Device ===========================================================================================================
// A stream (24 bits, in a request) is the index of a device's slot.

export const DEVICE_REQUESTER = 16; // PCI requester id
export const DEVICE_IOMMU = 20; //     handle
export const DEVICE_DOMAIN = 24; //    handle, 0: untranslated
export const DEVICE_LOG = 28; //       handle, 0: none
export const DEVICE_FAULT_REASON = 32; // of the last single access
export const DEVICE_FAULT_RESPONSE = 36;
export const DEVICE_FAULT_IOVA = 40; // u64
export const DEVICE_FAULT_TAG = 48; //  of the stall or page request
export const DEVICE_FAULT_STAGE = 52;
export const DEVICE_FAULT_IPA = 56; //  u64
export const DEVICE_KIND = 64; //       DEVICE_ATS, ...
export const DEVICE_PASID = 68; //      NO_PASID for the device itself
export const DEVICE_OWNER = 72; //      handle of the device that has this PASID; of itself for a device
export const DEVICE_NEXT = 76; //       handle of the next device in the list of those with a cache
export const DEVICE_ATC = 80; //        cache; a PASID uses that of its device
export const DEVICE_ATC_TAG = 96; //    u64: the tag of its entries there
export const DEVICE_STREAM = 104; //    index of the slot

export const DEVICE_ATS = 1; //       has a cache
export const DEVICE_PRI = 2; //       asks for pages that it misses
export const DEVICE_EAGER = 4; //     asks for write with every translation request
export const DEVICE_NOT_PCIE = 8; //  its requests may stall

// An extent in the transfer buffer: 16 bytes.
export const EXTENT_BYTES = 16;
export const EXTENT_ADDRESS = 0; // u64
export const EXTENT_LENGTH = 8; //  u32
export const ACCESS_MAX_BYTES = 0xffe000; // any single access of this length fits the transfer buffer, each page an extent

// === State buffer: memory of a device, copied while it changes ========================================================
// Pages of 4 KiB. The tables of the checksum lie in a block of their own.

export const KIND_STATE = 6;

export const STATE_PAGES = 16; //     1 .. 2^20 - 1
export const STATE_DATA = 20; //      core offset of the pages
export const STATE_TABLES = 24; //    core offset of the tables of CRC32C, behind which there is room to work in
export const STATE_SENT = 32; //      4 x u64: records that were written of this buffer, by kind

export const STATE_PAGE_SHIFT = 12;
export const STATE_PAGE_BYTES = 4096;
export const STATE_PAGE_WORDS = 512;
export const STATE_MAX_PAGES = 1048575; // below 4 GiB, as the core itself

export const CRC32C_POLYNOMIAL = 0x82f63b78; // Castagnoli, reflected
export const CRC32C_TABLES_BYTES = 21120; //    16 x 256 x u32, and room to fold a page in (state/crc32c.ts)
export const CHANGED_RUNS_BYTES = 2064; //      as many starts and ends of runs as a page has words, and four

// The block of STATE_TABLES: the tables, and room for one page at a time.
export const STATE_RUNS = 21120; //  what has changed in it
export const STATE_TRIAL = 23184; // what it would be
export const STATE_ROOM_BYTES = 27280;

// A record: what becomes of one page. All little-endian.
//   0       4       6       8            12          16
//   ┌───────┬───────┬───────┬────────────┬───────────┬─────────┐
//   │ page  │ kind  │ length│ contents   │ check     │ payload │  length bytes
//   └───────┴───────┴───────┴────────────┴───────────┴─────────┘
// contents: CRC32C of the page's 4096 bytes as they are afterwards. check: CRC32C of bytes 0 .. 11, and of the payload
// of a delta; that of a whole page is covered by contents.
export const RECORD_PAGE = 0;
export const RECORD_KIND = 4; //   u16
export const RECORD_LENGTH = 6; // u16
export const RECORD_CONTENTS = 8;
export const RECORD_CHECK = 12;
export const RECORD_BYTES = 16; // the payload follows

export const RECORD_ZERO = 0; //      no payload: all bytes are 0
export const RECORD_UNCHANGED = 1; // no payload: as it was sent last
export const RECORD_DELTA = 2; //     1 .. 4095 bytes: runs of changed words of 8 bytes
export const RECORD_WHOLE = 3; //     4096 bytes
export const RECORD_KINDS = 4;

// A delta: runs in ascending order, each of two bytes and `count` words.
//   ┌──────┬───────┬──────────────┐
//   │ skip │ count │ count x 8    │   skip: words that stay, 0 .. 255; count: new words, 1 .. 255
//   └──────┴───────┴──────────────┘   255, 0 skips 255 words and nothing more
export const RUN_BYTES = 2;
export const RUN_MOST = 255;

export const ZERO_PAGE_CRC32C = 0x98f94189; // of 4096 bytes of 0
