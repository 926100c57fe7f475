import { describe, expect, it } from 'vitest';
import * as iommufd from '../../src/uapi/iommufd.ts';
import type { AnyStruct } from '../../src/uapi/struct.ts';
import * as type1 from '../../src/uapi/type1.ts';
import * as vfio from '../../src/uapi/vfio.ts';

/** Size, and offset of each field but the first, as a C compiler for x86-64 lays the kernel's structs out. */
const LAYOUTS: Record<string, [size: number, offsets: Record<string, number>]> = {
  iommu_destroy: [8, { id: 4 }],
  iommu_ioas_alloc: [12, { flags: 4, out_ioas_id: 8 }],
  iommu_iova_range: [16, { last: 8 }],
  iommu_ioas_iova_ranges: [32, { ioas_id: 4, num_iovas: 8, __reserved: 12, allowed_iovas: 16, out_iova_alignment: 24 }],
  iommu_ioas_allow_iovas: [24, { ioas_id: 4, num_iovas: 8, __reserved: 12, allowed_iovas: 16 }],
  iommu_ioas_map: [40, { flags: 4, ioas_id: 8, __reserved: 12, user_va: 16, length: 24, iova: 32 }],
  iommu_ioas_copy: [40, { flags: 4, dst_ioas_id: 8, src_ioas_id: 12, length: 16, dst_iova: 24, src_iova: 32 }],
  iommu_ioas_unmap: [24, { ioas_id: 4, iova: 8, length: 16 }],
  iommu_option: [24, { option_id: 4, op: 8, __reserved: 10, object_id: 12, val64: 16 }],
  iommu_vfio_ioas: [12, { ioas_id: 4, op: 8, __reserved: 10 }],
  iommu_hwpt_alloc: [
    48,
    {
      flags: 4,
      dev_id: 8,
      pt_id: 12,
      out_hwpt_id: 16,
      __reserved: 20,
      data_type: 24,
      data_len: 28,
      data_uptr: 32,
      fault_id: 40,
      __reserved2: 44,
    },
  ],
  iommu_hwpt_vtd_s1: [24, { pgtbl_addr: 8, addr_width: 16, __reserved: 20 }],
  iommu_hwpt_arm_smmuv3: [16, {}],
  iommu_hwpt_selftest: [4, {}],
  iommu_hw_info: [
    40,
    {
      flags: 4,
      dev_id: 8,
      data_len: 12,
      data_uptr: 16,
      out_data_type: 24,
      out_max_pasid_log2: 28,
      __reserved: 29,
      out_capabilities: 32,
    },
  ],
  iommu_hw_info_vtd: [24, { __reserved: 4, cap_reg: 8, ecap_reg: 16 }],
  iommu_hw_info_arm_smmuv3: [40, { __reserved: 4, idr: 8, iidr: 32, aidr: 36 }],
  iommu_test_hw_info: [8, { test_reg: 4 }],
  iommu_hwpt_set_dirty_tracking: [16, { flags: 4, hwpt_id: 8, __reserved: 12 }],
  iommu_hwpt_get_dirty_bitmap: [
    48,
    { hwpt_id: 4, flags: 8, __reserved: 12, iova: 16, length: 24, page_size: 32, data: 40 },
  ],
  iommu_hwpt_invalidate: [
    32,
    { hwpt_id: 4, data_uptr: 8, data_type: 16, entry_len: 20, entry_num: 24, __reserved: 28 },
  ],
  iommu_hwpt_vtd_s1_invalidate: [24, { npages: 8, flags: 16, __reserved: 20 }],
  iommu_viommu_arm_smmuv3_invalidate: [16, {}],
  iommu_hwpt_invalidate_selftest: [8, { iotlb_id: 4 }],
  iommu_fault_alloc: [16, { flags: 4, out_fault_id: 8, out_fault_fd: 12 }],
  iommu_hwpt_pgfault: [
    40,
    { dev_id: 4, pasid: 8, grpid: 12, perm: 16, __reserved: 20, addr: 24, length: 32, cookie: 36 },
  ],
  iommu_hwpt_page_response: [8, { code: 4 }],
  vfio_info_cap_header: [8, { version: 2, next: 4 }],
  vfio_iommu_type1_info: [24, { flags: 4, iova_pgsizes: 8, cap_offset: 16, pad: 20 }],
  vfio_iova_range: [16, { end: 8 }],
  vfio_iommu_type1_info_cap_iova_range: [16, { nr_iovas: 8, reserved: 12 }],
  vfio_iommu_type1_info_cap_migration: [32, { flags: 8, __pad: 12, pgsize_bitmap: 16, max_dirty_bitmap_size: 24 }],
  vfio_iommu_type1_info_dma_avail: [12, { avail: 8 }],
  vfio_iommu_type1_dma_map: [32, { flags: 4, vaddr: 8, iova: 16, size: 24 }],
  vfio_bitmap: [24, { size: 8, data: 16 }],
  vfio_iommu_type1_dma_unmap: [24, { flags: 4, iova: 8, size: 16 }],
  vfio_iommu_type1_dirty_bitmap: [8, { flags: 4 }],
  vfio_iommu_type1_dirty_bitmap_get: [40, { size: 8, bitmap: 16 }],
  vfio_device_feature: [8, { flags: 4 }],
  vfio_device_feature_migration: [8, {}],
  vfio_device_feature_mig_state: [8, { data_fd: 4 }],
  vfio_device_feature_mig_data_size: [8, {}],
  vfio_precopy_info: [24, { flags: 4, initial_bytes: 8, dirty_bytes: 16 }],
  vfio_device_feature_dma_logging_control: [24, { num_ranges: 8, __reserved: 12, ranges: 16 }],
  vfio_device_feature_dma_logging_range: [16, { length: 8 }],
  vfio_device_feature_dma_logging_report: [32, { length: 8, page_size: 16, bitmap: 24 }],
};

const EXPORTS = Object.entries({ ...iommufd, ...type1, ...vfio }) as [string, unknown][];
const STRUCTS = EXPORTS.filter(([, value]) => typeof value === 'object' && value !== null && 'fields' in value) as [
  string,
  AnyStruct,
][];

/** What the kernel's names are as exports: `iommu_ioas_map` -> `IommuIoasMap`. */
function exportName(name: string): string {
  return name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** The kernel's constants but for the requests, by header. */
const CONSTANTS = {
  iommufd: {
    IOMMUFD_CMD_BASE: 0x80,
    IOMMU_IOAS_MAP_FIXED_IOVA: 1,
    IOMMU_IOAS_MAP_WRITEABLE: 2,
    IOMMU_IOAS_MAP_READABLE: 4,
    IOMMU_OPTION_RLIMIT_MODE: 0,
    IOMMU_OPTION_HUGE_PAGES: 1,
    IOMMU_OPTION_OP_SET: 0,
    IOMMU_OPTION_OP_GET: 1,
    IOMMU_VFIO_IOAS_GET: 0,
    IOMMU_VFIO_IOAS_SET: 1,
    IOMMU_VFIO_IOAS_CLEAR: 2,
    IOMMU_HWPT_ALLOC_NEST_PARENT: 1,
    IOMMU_HWPT_ALLOC_DIRTY_TRACKING: 2,
    IOMMU_HWPT_FAULT_ID_VALID: 4,
    IOMMU_HWPT_ALLOC_PASID: 8,
    IOMMU_HWPT_DATA_NONE: 0,
    IOMMU_HWPT_DATA_VTD_S1: 1,
    IOMMU_HWPT_DATA_ARM_SMMUV3: 2,
    IOMMU_HWPT_DATA_SELFTEST: 0xdead,
    IOMMU_VTD_S1_SRE: 1,
    IOMMU_VTD_S1_EAFE: 2,
    IOMMU_VTD_S1_WPE: 4,
    IOMMU_TEST_IOTLB_DEFAULT: 0xbadbeef,
    IOMMU_HW_INFO_TYPE_NONE: 0,
    IOMMU_HW_INFO_TYPE_INTEL_VTD: 1,
    IOMMU_HW_INFO_TYPE_ARM_SMMUV3: 2,
    IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: 3,
    IOMMU_HW_INFO_TYPE_SELFTEST: 0xfeedbeef,
    IOMMU_HW_CAP_DIRTY_TRACKING: 1n,
    IOMMU_HW_CAP_PCI_PASID_EXEC: 2n,
    IOMMU_HW_CAP_PCI_PASID_PRIV: 4n,
    IOMMU_HW_INFO_FLAG_INPUT_TYPE: 1,
    IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: 1,
    IOMMU_HW_INFO_SELFTEST_REGVAL: 0xdeadbeef,
    IOMMU_HWPT_DIRTY_TRACKING_ENABLE: 1,
    IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: 1,
    IOMMU_HWPT_INVALIDATE_DATA_VTD_S1: 0,
    IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3: 1,
    IOMMU_HWPT_INVALIDATE_DATA_SELFTEST: 0xdeadbeef,
    IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID: 0xdadbeef,
    IOMMU_VTD_INV_FLAGS_LEAF: 1,
    IOMMU_TEST_INVALIDATE_FLAG_ALL: 1,
    MOCK_NESTED_DOMAIN_IOTLB_NUM: 4,
    IOMMU_PGFAULT_FLAGS_PASID_VALID: 1,
    IOMMU_PGFAULT_FLAGS_LAST_PAGE: 2,
    IOMMU_PGFAULT_PERM_READ: 1,
    IOMMU_PGFAULT_PERM_WRITE: 2,
    IOMMU_PGFAULT_PERM_EXEC: 4,
    IOMMU_PGFAULT_PERM_PRIV: 8,
    IOMMUFD_PAGE_RESP_SUCCESS: 0,
    IOMMUFD_PAGE_RESP_INVALID: 1,
  },
  type1: {
    VFIO_API_VERSION: 0,
    VFIO_TYPE1_IOMMU: 1,
    VFIO_TYPE1v2_IOMMU: 3,
    VFIO_DMA_CC_IOMMU: 4,
    VFIO_TYPE1_NESTING_IOMMU: 6,
    VFIO_NOIOMMU_IOMMU: 8,
    VFIO_UNMAP_ALL: 9,
    VFIO_UPDATE_VADDR: 10,
    VFIO_IOMMU_INFO_PGSIZES: 1,
    VFIO_IOMMU_INFO_CAPS: 2,
    VFIO_IOMMU_TYPE1_INFO_MINSZ: 16,
    VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: 1,
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: 2,
    VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: 3,
    VFIO_DMA_MAP_FLAG_READ: 1,
    VFIO_DMA_MAP_FLAG_WRITE: 2,
    VFIO_DMA_MAP_FLAG_VADDR: 4,
    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: 1,
    VFIO_DMA_UNMAP_FLAG_ALL: 2,
    VFIO_DMA_UNMAP_FLAG_VADDR: 4,
    VFIO_IOMMU_DIRTY_PAGES_FLAG_START: 1,
    VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: 2,
    VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: 4,
    DIRTY_BITMAP_SIZE_MAX: 2n ** 28n,
  },
  vfio: {
    VFIO_DEVICE_FEATURE_MASK: 0xffff,
    VFIO_DEVICE_FEATURE_GET: 0x10000,
    VFIO_DEVICE_FEATURE_SET: 0x20000,
    VFIO_DEVICE_FEATURE_PROBE: 0x40000,
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: 0,
    VFIO_DEVICE_FEATURE_MIGRATION: 1,
    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: 2,
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: 3,
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: 4,
    VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: 5,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_START: 6,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP: 7,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: 8,
    VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: 9,
    VFIO_DEVICE_FEATURE_BUS_MASTER: 10,
    VFIO_MIGRATION_STOP_COPY: 1,
    VFIO_MIGRATION_P2P: 2,
    VFIO_MIGRATION_PRE_COPY: 4,
    VFIO_DEVICE_STATE_ERROR: 0,
    VFIO_DEVICE_STATE_STOP: 1,
    VFIO_DEVICE_STATE_RUNNING: 2,
    VFIO_DEVICE_STATE_STOP_COPY: 3,
    VFIO_DEVICE_STATE_RESUMING: 4,
    VFIO_DEVICE_STATE_RUNNING_P2P: 5,
    VFIO_DEVICE_STATE_PRE_COPY: 6,
    VFIO_DEVICE_STATE_PRE_COPY_P2P: 7,
    VFIO_DEVICE_STATE_NR: 8,
  },
};

describe('layouts', () => {
  it('are those of the kernel', () => {
    const found = STRUCTS.map(([, { name, size, fields }]) => [
      name,
      [size, Object.fromEntries(fields.slice(1).map((field) => [field.name, field.offset]))],
    ]);
    expect(Object.fromEntries(found)).toEqual(LAYOUTS);
    expect(STRUCTS.every(([, { fields }]) => fields[0].offset === 0)).toBe(true);
  });

  it('are exported by the names of the kernel', () => {
    expect(STRUCTS.map(([name]) => name)).toEqual(STRUCTS.map(([, { name }]) => exportName(name)));
  });
});

describe('numbers', () => {
  it('of iommufd: requests, least sizes and sizes', () => {
    const { IOMMUFD_COMMANDS } = iommufd;
    expect(IOMMUFD_COMMANDS.map(({ name, request, minSize, struct }) => [name, request, minSize, struct.size])).toEqual(
      [
        ['DESTROY', 0x3b80, 8, 8],
        ['IOAS_ALLOC', 0x3b81, 12, 12],
        ['IOAS_ALLOW_IOVAS', 0x3b82, 24, 24],
        ['IOAS_COPY', 0x3b83, 40, 40],
        ['IOAS_IOVA_RANGES', 0x3b84, 32, 32],
        ['IOAS_MAP', 0x3b85, 40, 40],
        ['IOAS_UNMAP', 0x3b86, 24, 24],
        ['OPTION', 0x3b87, 24, 24],
        ['VFIO_IOAS', 0x3b88, 12, 12],
        ['HWPT_ALLOC', 0x3b89, 24, 48],
        ['GET_HW_INFO', 0x3b8a, 32, 40],
        ['HWPT_SET_DIRTY_TRACKING', 0x3b8b, 16, 16],
        ['HWPT_GET_DIRTY_BITMAP', 0x3b8c, 48, 48],
        ['HWPT_INVALIDATE', 0x3b8d, 32, 32],
        ['FAULT_QUEUE_ALLOC', 0x3b8e, 16, 16],
      ],
    );
    const numbers = Object.values({ ...iommufd }).filter((value) => typeof value === 'number' && value >> 8 === 0x3b);
    expect(numbers).toEqual(Array.from({ length: 0x15 }, (_, i) => 0x3b80 + i));
  });

  it('of VFIO: requests', () => {
    expect([
      type1.VFIO_GET_API_VERSION,
      type1.VFIO_CHECK_EXTENSION,
      type1.VFIO_SET_IOMMU,
      type1.VFIO_IOMMU_GET_INFO,
      type1.VFIO_IOMMU_MAP_DMA,
      type1.VFIO_IOMMU_UNMAP_DMA,
      type1.VFIO_IOMMU_DIRTY_PAGES,
      vfio.VFIO_DEVICE_RESET,
      vfio.VFIO_DEVICE_FEATURE,
      vfio.VFIO_MIG_GET_PRECOPY_INFO,
    ]).toEqual([100, 101, 102, 112, 113, 114, 117, 111, 117, 121].map((number) => 0x3b00 + number));
  });

  it.each(Object.entries({ iommufd, type1, vfio }))('of %s: flags, types and states', (name, module) => {
    const values = Object.entries(module).filter(([, value]) => typeof value === 'number' || typeof value === 'bigint');
    const constants = values.filter(([, value]) => Number(value) >> 8 !== 0x3b);
    expect(Object.fromEntries(constants)).toEqual(CONSTANTS[name as keyof typeof CONSTANTS]);
  });
});
