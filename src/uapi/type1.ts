import { defineStruct } from './struct.ts';

// The container and type1 parts of include/uapi/linux/vfio.h, Linux 6.12.

export const VFIO_GET_API_VERSION = 0x3b64;
export const VFIO_CHECK_EXTENSION = 0x3b65;
export const VFIO_SET_IOMMU = 0x3b66;
export const VFIO_IOMMU_GET_INFO = 0x3b70;
export const VFIO_IOMMU_MAP_DMA = 0x3b71;
export const VFIO_IOMMU_UNMAP_DMA = 0x3b72;
export const VFIO_IOMMU_DIRTY_PAGES = 0x3b75;

/** What VFIO_GET_API_VERSION returns. */
export const VFIO_API_VERSION = 0;

// Extensions (VFIO_CHECK_EXTENSION); the types among them also go to VFIO_SET_IOMMU.
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

/**
 * Heads each capability behind an info struct; `next` is the offset of the next one from the struct's start, 0 at the
 * end.
 */
export const VfioInfoCapHeader = defineStruct('vfio_info_cap_header', { id: 'u16', version: 'u16', next: 'u32' });

export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;

export const VfioIommuType1Info = defineStruct('vfio_iommu_type1_info', {
  argsz: 'u32',
  flags: 'u32',
  iova_pgsizes: 'u64',
  cap_offset: 'u32',
  pad: 'u32',
});

/** Bytes that VFIO_IOMMU_GET_INFO needs at least: through `iova_pgsizes`. */
export const VFIO_IOMMU_TYPE1_INFO_MINSZ = 16;

export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/** Both ends inclusive. */
export const VfioIovaRange = defineStruct('vfio_iova_range', { start: 'u64', end: 'u64' });

/** `nr_iovas` vfio_iova_range follow it. */
export const VfioIommuType1InfoCapIovaRange = defineStruct('vfio_iommu_type1_info_cap_iova_range', {
  header: VfioInfoCapHeader,
  nr_iovas: 'u32',
  reserved: 'u32',
});

/** `__pad` is the compiler's. */
export const VfioIommuType1InfoCapMigration = defineStruct('vfio_iommu_type1_info_cap_migration', {
  header: VfioInfoCapHeader,
  flags: 'u32',
  __pad: 'u32',
  pgsize_bitmap: 'u64',
  max_dirty_bitmap_size: 'u64',
});

export const VfioIommuType1InfoDmaAvail = defineStruct('vfio_iommu_type1_info_dma_avail', {
  header: VfioInfoCapHeader,
  avail: 'u32',
});

export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_MAP_FLAG_VADDR = 4;

/** `vaddr` is what is mapped, not a buffer of the call: always an address. */
export const VfioIommuType1DmaMap = defineStruct('vfio_iommu_type1_dma_map', {
  argsz: 'u32',
  flags: 'u32',
  vaddr: 'u64',
  iova: 'u64',
  size: 'u64',
});

/** `pgsize` bytes per bit, `size` bytes of bitmap at `data`. */
export const VfioBitmap = defineStruct('vfio_bitmap', { pgsize: 'u64', size: 'u64', data: 'ptr' });

export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 4;

/** With GET_DIRTY_BITMAP a vfio_bitmap follows it. */
export const VfioIommuType1DmaUnmap = defineStruct('vfio_iommu_type1_dma_unmap', {
  argsz: 'u32',
  flags: 'u32',
  iova: 'u64',
  size: 'u64',
});

export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4;

/** With GET_BITMAP a vfio_iommu_type1_dirty_bitmap_get follows it. */
export const VfioIommuType1DirtyBitmap = defineStruct('vfio_iommu_type1_dirty_bitmap', { argsz: 'u32', flags: 'u32' });

export const VfioIommuType1DirtyBitmapGet = defineStruct('vfio_iommu_type1_dirty_bitmap_get', {
  iova: 'u64',
  size: 'u64',
  bitmap: VfioBitmap,
});

/** Most bytes of a dirty bitmap: 256 MiB, 8 TiB of pages of 4 KiB (drivers/vfio/vfio_iommu_type1.c). */
export const DIRTY_BITMAP_SIZE_MAX = 2n ** 28n;
