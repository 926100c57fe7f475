import { IommuError } from '../errno/error.ts';
import type { NestedDomain } from '../iommu/nested-domain.ts';
import {
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IOMMU_VTD_S1_EAFE,
  IOMMU_VTD_S1_SRE,
  IommuHwInfoVtd,
  type IommuHwptVtdS1,
  type IommuHwptVtdS1Invalidate,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import { hex } from '../wasm/address.ts';
import type { Endpoint } from './bind-options.ts';
import type { Stage1 } from './stage1.ts';

type VtdS1 = StructOf<typeof IommuHwptVtdS1>;
type VtdInvalidate = StructOf<typeof IommuHwptVtdS1Invalidate>;

/** addr_width of four and five levels. */
const WIDTHS = { four: 48, five: 57 } as const;
const PAGE = 4096n;
const TOP = 1n << 64n;
/** npages that stands for everything. */
const ALL_PAGES = TOP - 1n;

/** CAP.FL5LP, ECAP.SRS, ECAP.EAFS as GET_HW_INFO gives them; all of it where the device was bound without. */
function features({ hwInfo }: Endpoint) {
  if (hwInfo.type !== IOMMU_HW_INFO_TYPE_INTEL_VTD || hwInfo.data.length < IommuHwInfoVtd.size) {
    return { fiveLevels: true, supervisor: true, extendedAccessed: true };
  }
  const { capReg, ecapReg } = IommuHwInfoVtd.decode(hwInfo.data);
  const has = (register: bigint, bit: bigint) => ((register >> bit) & 1n) === 1n;
  return { fiveLevels: has(capReg, 60n), supervisor: has(ecapReg, 31n), extendedAccessed: has(ecapReg, 34n) };
}

/**
 * What Linux checks when a device is attached (intel_pasid_setup_nested, drivers/iommu/intel/pasid.c). SRE, WPE and EAFE
 * have no further effect: no request here is a supervisor's, and accessed bits are not kept. EINVAL.
 */
export function checkVtd(op: string, { addrWidth, flags }: VtdS1, endpoint: Endpoint): void {
  const { fiveLevels, supervisor, extendedAccessed } = features(endpoint);
  const reason =
    addrWidth !== WIDTHS.four && addrWidth !== WIDTHS.five
      ? `addrWidth is ${addrWidth}; it must be ${WIDTHS.four} or ${WIDTHS.five}`
      : addrWidth === WIDTHS.five && !fiveLevels
        ? `addrWidth is ${addrWidth}; the IOMMU has no five levels (CAP.FL5LP)`
        : flags & BigInt(IOMMU_VTD_S1_SRE) && !supervisor
          ? 'flags has SRE; the IOMMU takes no supervisor requests (ECAP.SRS)'
          : flags & BigInt(IOMMU_VTD_S1_EAFE) && !extendedAccessed
            ? 'flags has EAFE; the IOMMU has no extended accessed flag (ECAP.EAFS)'
            : undefined;
  if (reason) throw new IommuError('EINVAL', op, reason);
}

/**
 * Stage 1 of these data: the low 12 bits of pgtbl_addr do not count, and the hardware always keeps the dirty bits (VT-d,
 * 9.7).
 */
export function vtdStage1({ pgtblAddr, addrWidth }: VtdS1): Stage1 {
  const root = pgtblAddr & -PAGE;
  return { kind: 'translate', options: { format: 'x86_64', root, inputBits: addrWidth, dirtyTracking: true } };
}

/** One command, as intel_nested_cache_invalidate_user (drivers/iommu/intel/nested.c) takes it. EOPNOTSUPP, EINVAL. */
export function vtdInvalidate(
  op: string,
  command: VtdInvalidate,
  index: number,
  domain: NestedDomain | undefined,
): void {
  const { addr, npages, flags } = command;
  if (flags & ~IOMMU_VTD_INV_FLAGS_LEAF || command.__reserved) {
    throw new IommuError('EOPNOTSUPP', op, `flags of command ${index} are ${hex(flags)}; there is LEAF, 1`);
  }
  if (addr % PAGE !== 0n || (npages === ALL_PAGES && addr !== 0n)) {
    const right = 'addr must be a multiple of 4096, and 0 for all pages';
    throw new IommuError('EINVAL', op, `command ${index} is for ${npages} pages from ${hex(addr)} on; ${right}`);
  }
  if (!domain || npages === 0n) return;
  const leafOnly = (flags & IOMMU_VTD_INV_FLAGS_LEAF) !== 0;
  const room = TOP - addr;
  const length = npages * PAGE;
  domain.invalidate(addr, length < room ? length : room, { leafOnly });
}
