import { IommuError } from '../errno/error.ts';
import {
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IommuHwptArmSmmuv3,
  IommuHwptInvalidateSelftest,
  IommuHwptSelftest,
  IommuHwptVtdS1,
  IommuHwptVtdS1Invalidate,
  MOCK_NESTED_DOMAIN_IOTLB_NUM,
} from '../uapi/iommufd.ts';
import type { Fields, Struct, StructOf } from '../uapi/struct.ts';
import { readUser, type UserPointer } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import type { NestingKind } from './bind-options.ts';
import type { Context } from './context.ts';

/** Structs of a driver in user memory. */
export interface DriverData {
  readonly type: number;
  /** Bytes of one struct, as the user has it. */
  readonly length: number;
  readonly pointer: UserPointer;
}

/** The driver's side of a nested HWPT. */
export interface NestedDomain {
  readonly kind: NestingKind;
  /** What the user gave, decoded. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The type of its invalidation commands; undefined: it has none. */
  readonly invalidateType: number | undefined;
  /** Runs command `index` of those at `data.pointer`. EFAULT, EINVAL, E2BIG, EOPNOTSUPP. */
  invalidate(op: string, context: Context, data: DriverData, index: number): void;
}

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

function selftest(op: string, context: Context, data: DriverData): NestedDomain {
  const { iotlb } = take(op, context, IommuHwptSelftest, data);
  const entries = new Uint32Array(MOCK_NESTED_DOMAIN_IOTLB_NUM).fill(iotlb);
  return {
    kind: 'selftest',
    data: { iotlb: entries },
    invalidateType: IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
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

function vtdStage1(op: string, context: Context, data: DriverData): NestedDomain {
  return {
    kind: 'vtd-s1',
    data: take(op, context, IommuHwptVtdS1, data),
    invalidateType: IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
    invalidate(op, context, data, index) {
      checkVtdInvalidation(op, take(op, context, IommuHwptVtdS1Invalidate, data, index), index);
    },
  };
}

/**
 * The checks of intel_nested_cache_invalidate_user (drivers/iommu/intel/nested.c). There is no cache of nested
 * translations to act on.
 */
function checkVtdInvalidation(op: string, command: StructOf<typeof IommuHwptVtdS1Invalidate>, index: number): void {
  const { addr, npages, flags } = command;
  if (flags & ~IOMMU_VTD_INV_FLAGS_LEAF || command.__reserved) {
    throw new IommuError('EOPNOTSUPP', op, `flags of command ${index} are ${hex(flags)}; there is LEAF, 1`);
  }
  if (addr % 4096n !== 0n || (npages === (1n << 64n) - 1n && addr !== 0n)) {
    const right = 'addr must be a multiple of 4096, and 0 for all pages';
    throw new IommuError('EINVAL', op, `command ${index} is for ${npages} pages from ${hex(addr)} on; ${right}`);
  }
}

// What a guest may set in its stream table entry (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h): V, Config, S1Fmt,
// S1ContextPtr, S1CDMax in the first double word; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS in the second.
const STE_ALLOWED = [0xf80fffffffffffffn, 0x380000ffn] as const;
const STE_VALID = 1n;
/** Abort, bypass, stage 1 translation. */
const STE_CONFIGS = [0n, 4n, 5n];

/** Whether a guest may set this (arm_smmu_validate_vste); of EATS, no ATS or full ATS. */
function isGuestEntry(ste: readonly bigint[]): boolean {
  const known = ste.every((word, i) => (word & ~STE_ALLOWED[i]) === 0n);
  return known && STE_CONFIGS.includes((ste[0] >> 1n) & 7n) && ((ste[1] >> 28n) & 3n) <= 1n;
}

function smmuv3(op: string, context: Context, data: DriverData): NestedDomain {
  const { ste } = take(op, context, IommuHwptArmSmmuv3, data);
  const valid = (ste[0] & STE_VALID) !== 0n;
  if (valid && !isGuestEntry(ste)) {
    const shown = ste.map((word) => hex(word)).join(', ');
    throw new IommuError('EIO', op, `the stream table entry ${shown} is not one that a guest may set`);
  }
  return {
    kind: 'smmuv3',
    data: { ste: valid ? ste : [0n, 0n] },
    invalidateType: undefined,
    invalidate(op) {
      throw new IommuError('EOPNOTSUPP', op, 'a nested HWPT of an SMMU is invalidated through a vIOMMU');
    },
  };
}

const DRIVERS = {
  selftest: { type: IOMMU_HWPT_DATA_SELFTEST, make: selftest },
  'vtd-s1': { type: IOMMU_HWPT_DATA_VTD_S1, make: vtdStage1 },
  smmuv3: { type: IOMMU_HWPT_DATA_ARM_SMMUV3, make: smmuv3 },
} as const;

/**
 * Parses the user's data as the driver does. EOPNOTSUPP: not its type; EINVAL: too short; EFAULT, E2BIG; EIO: a bad
 * stream table entry.
 */
export function nestedDomain(op: string, context: Context, kind: NestingKind, data: DriverData): NestedDomain {
  const driver = DRIVERS[kind];
  if (data.type !== driver.type) {
    throw new IommuError('EOPNOTSUPP', op, `dataType is ${hex(data.type)}; this IOMMU takes ${hex(driver.type)}`);
  }
  return driver.make(op, context, data);
}
