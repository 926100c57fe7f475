import * as layout from '../../assembly/layout.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** The 8 bytes at `pa` of the RAM of the IOMMU whose slot is at core offset `iommu`; undefined beyond it, or without any. */
export function tableEntry(core: Instance, iommu: number, pa: Address): bigint | undefined {
  const handle = core.load32(iommu + layout.IOMMU_RAM);
  if (handle === 0) return undefined;
  const ram = core.slot(handle, 'iommu.tableEntry');
  const offset = BigInt(pa) - core.loadBig(ram + layout.RAM_START);
  if (offset < 0n || offset + 8n > BigInt(core.load32(ram + layout.RAM_BYTES))) return undefined;
  return core.loadBig(core.load32(ram + layout.RAM_DATA) + Number(offset));
}
