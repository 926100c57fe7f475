import { defineStruct } from './struct.ts';

// The device parts of include/uapi/linux/vfio.h, Linux 6.12.

export const VFIO_DEVICE_RESET = 0x3b6f;
export const VFIO_DEVICE_FEATURE = 0x3b75;
export const VFIO_MIG_GET_PRECOPY_INFO = 0x3b79;

/** Bits of `flags` that hold the feature's id. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;

export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 10;

/** The feature's data follows it. */
export const VfioDeviceFeature = defineStruct('vfio_device_feature', { argsz: 'u32', flags: 'u32' });

export const VFIO_MIGRATION_STOP_COPY = 1;
export const VFIO_MIGRATION_P2P = 2;
export const VFIO_MIGRATION_PRE_COPY = 4;

export const VfioDeviceFeatureMigration = defineStruct('vfio_device_feature_migration', { flags: 'u64' });

export const VFIO_DEVICE_STATE_ERROR = 0;
export const VFIO_DEVICE_STATE_STOP = 1;
export const VFIO_DEVICE_STATE_RUNNING = 2;
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
export const VFIO_DEVICE_STATE_RESUMING = 4;
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
/** Number of states. */
export const VFIO_DEVICE_STATE_NR = 8;

export const VfioDeviceFeatureMigState = defineStruct('vfio_device_feature_mig_state', {
  device_state: 'u32',
  data_fd: 's32',
});

export const VfioDeviceFeatureMigDataSize = defineStruct('vfio_device_feature_mig_data_size', {
  stop_copy_length: 'u64',
});

export const VfioPrecopyInfo = defineStruct('vfio_precopy_info', {
  argsz: 'u32',
  flags: 'u32',
  initial_bytes: 'u64',
  dirty_bytes: 'u64',
});

export const VfioDeviceFeatureDmaLoggingControl = defineStruct('vfio_device_feature_dma_logging_control', {
  page_size: 'u64',
  num_ranges: 'u32',
  __reserved: 'u32',
  ranges: 'ptr',
});

export const VfioDeviceFeatureDmaLoggingRange = defineStruct('vfio_device_feature_dma_logging_range', {
  iova: 'u64',
  length: 'u64',
});

export const VfioDeviceFeatureDmaLoggingReport = defineStruct('vfio_device_feature_dma_logging_report', {
  iova: 'u64',
  length: 'u64',
  page_size: 'u64',
  bitmap: 'ptr',
});
