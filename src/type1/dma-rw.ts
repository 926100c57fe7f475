import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import type { Type1State } from './state.ts';

const READ = 1;
const WRITE = 2;

/**
 * Reads or writes user memory by IOVA for a device's driver (vfio_iommu_type1_dma_rw), mapping by mapping: those before an error are
 * done. A write marks the pages that it touches. Errnos as Type1Device.dmaRw says.
 */
export function dmaRw(state: Type1State, op: string, iova: bigint, data: Uint8Array, write: boolean): void {
  for (let at = 0; at < data.length;) at += chunk(state, op, iova + BigInt(at), data.subarray(at), write);
}

function chunk(state: Type1State, op: string, iova: bigint, data: Uint8Array, write: boolean): number {
  if (state.invalidVaddrs > 0) {
    throw new IommuError(
      'EBUSY',
      op,
      `${state.invalidVaddrs} mappings have an invalid vaddr; give them new ones first`,
    );
  }
  const mapping = state.mappings.find(iova, 1n);
  if (!mapping) throw new IommuError('EINVAL', op, `nothing is mapped at ${hex(iova)}`);
  const need = write ? READ | WRITE : READ;
  if (need & ~mapping.access) {
    const what = write ? 'a write needs READ and WRITE' : 'a read needs READ';
    throw new IommuError('EPERM', op, `the mapping at ${hex(mapping.iova)} has access ${mapping.access}; ${what}`);
  }
  const offset = iova - mapping.iova;
  const rest = mapping.size - offset;
  const bytes = rest < BigInt(data.length) ? data.subarray(0, Number(rest)) : data;
  const vaddr = mapping.vaddr + offset;
  if (!(write ? state.space.write(vaddr, bytes) : state.space.read(vaddr, bytes))) {
    throw new IommuError('EFAULT', op, `the user memory behind ${hex(iova)} is missing or read-only`);
  }
  if (write && mapping.bits) {
    const shift = BigInt(state.pageShift);
    const first = Number(offset >> shift);
    mapping.bits.mark(first, Number((offset + BigInt(bytes.length) - 1n) >> shift) - first + 1);
  }
  return bytes.length;
}
