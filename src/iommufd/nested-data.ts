import { IommuError } from '../errno/error.ts';
import {
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IommuHwptArmSmmuv3,
  IommuHwptInvalidateSelftest,
  IommuHwptSelftest,
  IommuHwptVtdS1,
  IommuHwptVtdS1Invalidate,
  MOCK_NESTED_DOMAIN_IOTLB_NUM,
} from '../uapi/iommufd.ts';
import type { Fields, Struct } from '../uapi/struct.ts';
import { readUser } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import type { NestingKind } from './bind-options.ts';
import type { Context } from './context.ts';
import type { DriverData, Stage1Driver } from './stage1.ts';
import { checkEntry, stage1Of } from './stream-table-entry.ts';
import { checkVtd, vtdInvalidate, vtdStage1 } from './vtd-stage1.ts';

/**
 * Entry `index` of the user's array, as a driver takes it: the user's struct may be longer, if the rest is 0. EINVAL:
 * shorter; EFAULT; E2BIG.
 */
function take<F extends Fields>(op: string, context: Context, struct: Struct<F>, data: DriverData, index = 0) {
  if (data.length < struct.size) {
    throw new IommuError('EINVAL', op, `the data have ${data.length} bytes; ${struct.name} has ${struct.size}`);
  }
  const bytes = new Uint8Array(data.length);
  if (!readUser(context.space, data.pointer, index * data.length, bytes)) {
    throw new IommuError('EFAULT', op, `${data.length} bytes of ${struct.name} cannot be read`);
  }
  if (bytes.subarray(struct.size).some((byte) => byte !== 0)) {
    throw new IommuError('E2BIG', op, `bytes behind the ${struct.size} of ${struct.name} are not 0`);
  }
  return struct.decode(bytes);
}

function selftest(op: string, context: Context, data: DriverData): Stage1Driver {
  const { iotlb } = take(op, context, IommuHwptSelftest, data);
  const entries = new Uint32Array(MOCK_NESTED_DOMAIN_IOTLB_NUM).fill(iotlb);
  return {
    kind: 'selftest',
    data: { iotlb: entries },
    pasids: true,
    invalidateType: IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
    check(op) {
      throw new IommuError(
        'EOPNOTSUPP',
        op,
        "a nested HWPT of iommufd's selftest translates nothing; attach its parent",
      );
    },
    stage1: () => ({ kind: 'abort', why: 'the selftest has no stage 1' }),
    invalidate(op, context, data, index) {
      const { flags, iotlbId } = take(op, context, IommuHwptInvalidateSelftest, data, index);
      if (flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) {
        throw new IommuError('EOPNOTSUPP', op, `flags of command ${index} are ${hex(flags)}; there is ALL, 1`);
      }
      if (iotlbId >= entries.length) {
        throw new IommuError(
          'EINVAL',
          op,
          `iotlbId of command ${index} is ${iotlbId}; it must be below ${entries.length}`,
        );
      }
      if (flags) entries.fill(0);
      else entries[iotlbId] = 0;
    },
  };
}

function vtd(op: string, context: Context, data: DriverData): Stage1Driver {
  const config = take(op, context, IommuHwptVtdS1, data);
  return {
    kind: 'vtd-s1',
    data: config,
    pasids: true,
    invalidateType: IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
    check: (op, endpoint) => checkVtd(op, config, endpoint),
    stage1: () => vtdStage1(config),
    invalidate(op, context, data, index, domain) {
      vtdInvalidate(op, take(op, context, IommuHwptVtdS1Invalidate, data, index), index, domain);
    },
  };
}

function smmuv3(op: string, context: Context, data: DriverData): Stage1Driver {
  const ste = checkEntry(op, take(op, context, IommuHwptArmSmmuv3, data).ste);
  return {
    kind: 'smmuv3',
    data: { ste },
    pasids: false,
    invalidateType: undefined,
    check: () => undefined,
    stage1: (op, endpoint, read) => stage1Of(op, ste, endpoint, read),
    invalidate(op) {
      throw new IommuError('EOPNOTSUPP', op, 'a nested HWPT of an SMMU is invalidated through a vIOMMU');
    },
  };
}

const DRIVERS = {
  selftest: { type: IOMMU_HWPT_DATA_SELFTEST, make: selftest },
  'vtd-s1': { type: IOMMU_HWPT_DATA_VTD_S1, make: vtd },
  smmuv3: { type: IOMMU_HWPT_DATA_ARM_SMMUV3, make: smmuv3 },
} as const;

/**
 * Parses the user's data as the driver does. EOPNOTSUPP: not its type; EINVAL: too short; EFAULT, E2BIG; EIO: a bad
 * stream table entry.
 */
export function stage1Driver(op: string, context: Context, kind: NestingKind, data: DriverData): Stage1Driver {
  const driver = DRIVERS[kind];
  if (data.type !== driver.type) {
    throw new IommuError('EOPNOTSUPP', op, `dataType is ${hex(data.type)}; this IOMMU takes ${hex(driver.type)}`);
  }
  return driver.make(op, context, data);
}
