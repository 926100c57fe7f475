import { defineStruct, type AnyStruct } from './struct.ts';

// include/uapi/linux/iommufd.h of Linux 6.12; what came later says so. Selftest: drivers/iommu/iommufd/iommufd_test.h.

/** First command number of iommufd; below it lie those of VFIO. */
export const IOMMUFD_CMD_BASE = 0x80;

export const IOMMU_DESTROY = 0x3b80;
export const IOMMU_IOAS_ALLOC = 0x3b81;
export const IOMMU_IOAS_ALLOW_IOVAS = 0x3b82;
export const IOMMU_IOAS_COPY = 0x3b83;
export const IOMMU_IOAS_IOVA_RANGES = 0x3b84;
export const IOMMU_IOAS_MAP = 0x3b85;
export const IOMMU_IOAS_UNMAP = 0x3b86;
export const IOMMU_OPTION = 0x3b87;
export const IOMMU_VFIO_IOAS = 0x3b88;
export const IOMMU_HWPT_ALLOC = 0x3b89;
export const IOMMU_GET_HW_INFO = 0x3b8a;
export const IOMMU_HWPT_SET_DIRTY_TRACKING = 0x3b8b;
export const IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8c;
export const IOMMU_HWPT_INVALIDATE = 0x3b8d;
export const IOMMU_FAULT_QUEUE_ALLOC = 0x3b8e;
// Later than 6.12.
export const IOMMU_IOAS_MAP_FILE = 0x3b8f;
export const IOMMU_VIOMMU_ALLOC = 0x3b90;
export const IOMMU_VDEVICE_ALLOC = 0x3b91;
export const IOMMU_IOAS_CHANGE_PROCESS = 0x3b92;
export const IOMMU_VEVENTQ_ALLOC = 0x3b93;
export const IOMMU_HW_QUEUE_ALLOC = 0x3b94;

export const IommuDestroy = defineStruct('iommu_destroy', { size: 'u32', id: 'u32' });

export const IommuIoasAlloc = defineStruct('iommu_ioas_alloc', { size: 'u32', flags: 'u32', out_ioas_id: 'u32' });

/** Both ends inclusive. */
export const IommuIovaRange = defineStruct('iommu_iova_range', { start: 'u64', last: 'u64' });

export const IommuIoasIovaRanges = defineStruct('iommu_ioas_iova_ranges', {
  size: 'u32',
  ioas_id: 'u32',
  num_iovas: 'u32',
  __reserved: 'u32',
  allowed_iovas: 'ptr',
  out_iova_alignment: 'u64',
});

export const IommuIoasAllowIovas = defineStruct('iommu_ioas_allow_iovas', {
  size: 'u32',
  ioas_id: 'u32',
  num_iovas: 'u32',
  __reserved: 'u32',
  allowed_iovas: 'ptr',
});

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;

/** `user_va` is what is mapped, not a buffer of the call: always an address. */
export const IommuIoasMap = defineStruct('iommu_ioas_map', {
  size: 'u32',
  flags: 'u32',
  ioas_id: 'u32',
  __reserved: 'u32',
  user_va: 'u64',
  length: 'u64',
  iova: 'u64',
});

export const IommuIoasCopy = defineStruct('iommu_ioas_copy', {
  size: 'u32',
  flags: 'u32',
  dst_ioas_id: 'u32',
  src_ioas_id: 'u32',
  length: 'u64',
  dst_iova: 'u64',
  src_iova: 'u64',
});

export const IommuIoasUnmap = defineStruct('iommu_ioas_unmap', {
  size: 'u32',
  ioas_id: 'u32',
  iova: 'u64',
  length: 'u64',
});

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const IommuOption = defineStruct('iommu_option', {
  size: 'u32',
  option_id: 'u32',
  op: 'u16',
  __reserved: 'u16',
  object_id: 'u32',
  val64: 'u64',
});

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

export const IommuVfioIoas = defineStruct('iommu_vfio_ioas', {
  size: 'u32',
  ioas_id: 'u32',
  op: 'u16',
  __reserved: 'u16',
});

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
/** Later than 6.12. */
export const IOMMU_HWPT_ALLOC_PASID = 8;

export const IommuHwptAlloc = defineStruct('iommu_hwpt_alloc', {
  size: 'u32',
  flags: 'u32',
  dev_id: 'u32',
  pt_id: 'u32',
  out_hwpt_id: 'u32',
  __reserved: 'u32',
  data_type: 'u32',
  data_len: 'u32',
  data_uptr: 'ptr',
  fault_id: 'u32',
  __reserved2: 'u32',
});

export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
/** Later than 6.12. */
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;

export const IOMMU_VTD_S1_SRE = 1;
export const IOMMU_VTD_S1_EAFE = 2;
export const IOMMU_VTD_S1_WPE = 4;

export const IommuHwptVtdS1 = defineStruct('iommu_hwpt_vtd_s1', {
  flags: 'u64',
  pgtbl_addr: 'u64',
  addr_width: 'u32',
  __reserved: 'u32',
});

/** The first two double words of the guest's stream table entry. Later than 6.12. */
export const IommuHwptArmSmmuv3 = defineStruct('iommu_hwpt_arm_smmuv3', { ste: { array: 'u64', length: 2 } });

export const IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef;

export const IommuHwptSelftest = defineStruct('iommu_hwpt_selftest', { iotlb: 'u32' });

export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
/** Later than 6.12. */
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
/** Later than 6.12. */
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;

/** The device's IOMMU can track dirty pages (out_capabilities). */
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1n;
/** The device's PASIDs may ask for execute permission. */
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 2n;
/** The device's PASIDs may ask for privileged mode. */
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 4n;

/** `flags`: the type field is an input. Later than 6.12. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1;

/**
 * `out_max_pasid_log2`: bits of a PASID, 0 where there are none; reserved in the first kernels that had this struct.
 */
export const IommuHwInfo = defineStruct('iommu_hw_info', {
  size: 'u32',
  flags: 'u32',
  dev_id: 'u32',
  data_len: 'u32',
  data_uptr: 'ptr',
  out_data_type: 'u32',
  out_max_pasid_log2: 'u8',
  __reserved: { array: 'u8', length: 3 },
  out_capabilities: 'u64',
});

/** VT-d erratum: no read-only mapping in a nest parent. */
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1;

export const IommuHwInfoVtd = defineStruct('iommu_hw_info_vtd', {
  flags: 'u32',
  __reserved: 'u32',
  cap_reg: 'u64',
  ecap_reg: 'u64',
});

/** Later than 6.12. */
export const IommuHwInfoArmSmmuv3 = defineStruct('iommu_hw_info_arm_smmuv3', {
  flags: 'u32',
  __reserved: 'u32',
  idr: { array: 'u32', length: 6 },
  iidr: 'u32',
  aidr: 'u32',
});

export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;

export const IommuTestHwInfo = defineStruct('iommu_test_hw_info', { flags: 'u32', test_reg: 'u32' });

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

export const IommuHwptSetDirtyTracking = defineStruct('iommu_hwpt_set_dirty_tracking', {
  size: 'u32',
  flags: 'u32',
  hwpt_id: 'u32',
  __reserved: 'u32',
});

export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const IommuHwptGetDirtyBitmap = defineStruct('iommu_hwpt_get_dirty_bitmap', {
  size: 'u32',
  hwpt_id: 'u32',
  flags: 'u32',
  __reserved: 'u32',
  iova: 'u64',
  length: 'u64',
  page_size: 'u64',
  data: 'ptr',
});

export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
/** Later than 6.12; for a vIOMMU, not for a nested HWPT. */
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;

export const IommuHwptInvalidate = defineStruct('iommu_hwpt_invalidate', {
  size: 'u32',
  hwpt_id: 'u32',
  data_uptr: 'ptr',
  data_type: 'u32',
  entry_len: 'u32',
  entry_num: 'u32',
  __reserved: 'u32',
});

export const IOMMU_VTD_INV_FLAGS_LEAF = 1;

export const IommuHwptVtdS1Invalidate = defineStruct('iommu_hwpt_vtd_s1_invalidate', {
  addr: 'u64',
  npages: 'u64',
  flags: 'u32',
  __reserved: 'u32',
});

/** One command of 128 bits for the SMMU's queue. Later than 6.12. */
export const IommuViommuArmSmmuv3Invalidate = defineStruct('iommu_viommu_arm_smmuv3_invalidate', {
  cmd: { array: 'u64', length: 2 },
});

export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1;
/** Entries of the selftest's IOTLB; `iotlb_id` goes from 0 to one less. */
export const MOCK_NESTED_DOMAIN_IOTLB_NUM = 4;

export const IommuHwptInvalidateSelftest = defineStruct('iommu_hwpt_invalidate_selftest', {
  flags: 'u32',
  iotlb_id: 'u32',
});

export const IommuFaultAlloc = defineStruct('iommu_fault_alloc', {
  size: 'u32',
  flags: 'u32',
  out_fault_id: 'u32',
  out_fault_fd: 'u32',
});

export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 2;
export const IOMMU_PGFAULT_PERM_READ = 1;
export const IOMMU_PGFAULT_PERM_WRITE = 2;
export const IOMMU_PGFAULT_PERM_EXEC = 4;
export const IOMMU_PGFAULT_PERM_PRIV = 8;

/** What reading a fault queue gives. */
export const IommuHwptPgfault = defineStruct('iommu_hwpt_pgfault', {
  flags: 'u32',
  dev_id: 'u32',
  pasid: 'u32',
  grpid: 'u32',
  perm: 'u32',
  __reserved: 'u32',
  addr: 'u64',
  length: 'u32',
  cookie: 'u32',
});

export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;

/** What is written to a fault queue. */
export const IommuHwptPageResponse = defineStruct('iommu_hwpt_page_response', { cookie: 'u32', code: 'u32' });

/** One iommufd command. */
export interface IommufdCommand {
  /** The kernel's name without IOMMU_, for example `IOAS_MAP`. */
  readonly name: string;
  /** The ioctl's number. */
  readonly request: number;
  readonly struct: AnyStruct;
  /** Bytes that a caller's struct must have; what is missing up to `struct.size` reads as 0. */
  readonly minSize: number;
  /** The uAPI that has it: that of Linux 6.12, or a later one. */
  readonly since: '6.12' | 'next';
}

function command(name: string, request: number, struct: AnyStruct, minSize = struct.size): IommufdCommand {
  return { name, request, struct, minSize, since: '6.12' };
}

/** The commands that the model has, in the order of their numbers (drivers/iommu/iommufd/main.c). */
export const IOMMUFD_COMMANDS: readonly IommufdCommand[] = [
  command('DESTROY', IOMMU_DESTROY, IommuDestroy),
  command('IOAS_ALLOC', IOMMU_IOAS_ALLOC, IommuIoasAlloc),
  command('IOAS_ALLOW_IOVAS', IOMMU_IOAS_ALLOW_IOVAS, IommuIoasAllowIovas),
  command('IOAS_COPY', IOMMU_IOAS_COPY, IommuIoasCopy),
  command('IOAS_IOVA_RANGES', IOMMU_IOAS_IOVA_RANGES, IommuIoasIovaRanges),
  command('IOAS_MAP', IOMMU_IOAS_MAP, IommuIoasMap),
  command('IOAS_UNMAP', IOMMU_IOAS_UNMAP, IommuIoasUnmap),
  command('OPTION', IOMMU_OPTION, IommuOption),
  command('VFIO_IOAS', IOMMU_VFIO_IOAS, IommuVfioIoas),
  command('HWPT_ALLOC', IOMMU_HWPT_ALLOC, IommuHwptAlloc, 24),
  command('GET_HW_INFO', IOMMU_GET_HW_INFO, IommuHwInfo, 32),
  command('HWPT_SET_DIRTY_TRACKING', IOMMU_HWPT_SET_DIRTY_TRACKING, IommuHwptSetDirtyTracking),
  command('HWPT_GET_DIRTY_BITMAP', IOMMU_HWPT_GET_DIRTY_BITMAP, IommuHwptGetDirtyBitmap),
  command('HWPT_INVALIDATE', IOMMU_HWPT_INVALIDATE, IommuHwptInvalidate),
  command('FAULT_QUEUE_ALLOC', IOMMU_FAULT_QUEUE_ALLOC, IommuFaultAlloc),
];
