import { IommuError } from '../errno/error.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  type VfioIommuType1DmaMap,
} from '../uapi/type1.ts';
import type { StructOf } from '../uapi/struct.ts';
import { hex } from '../wasm/address.ts';
import { allocateBits } from './dirty-pages.ts';
import { Mapping } from './mapping.ts';
import { pinFrames } from './pin-frames.ts';
import type { Type1State } from './state.ts';
import { removeMapping } from './unmap-dma.ts';

type MapRequest = StructOf<typeof VfioIommuType1DmaMap>;

const ACCESS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const TOP = 1n << 64n;

/** VFIO_IOMMU_MAP_DMA, in the order of vfio_dma_do_map. */
export function mapDma(state: Type1State, op: string, request: MapRequest): void {
  const { flags, iova, size, vaddr } = request;
  const setVaddr = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if (flags & ~(ACCESS | VFIO_DMA_MAP_FLAG_VADDR)) {
    throw new IommuError('EINVAL', op, `flags is ${hex(flags)}; READ 1, WRITE 2 and VADDR 4 are known`);
  }
  if (state.next) checkRange(state, op, request);
  if (setVaddr === ((flags & ACCESS) !== 0)) {
    throw new IommuError('EINVAL', op, `flags is ${hex(flags)}; it must be READ, WRITE or both, or VADDR alone`);
  }
  checkAlignment(state, op, request);
  if (!state.next) checkRange(state, op, request);
  const found = state.mappings.find(iova, size);
  if (setVaddr) {
    setMappingVaddr(state, op, request, found);
    return;
  }
  if (found) {
    const where = `${hex(found.iova)} .. ${hex(found.end - 1n)}`;
    throw new IommuError(
      'EEXIST',
      op,
      `iova ${hex(iova)} + ${hex(size)} overlaps the mapping ${where}; unmap it first`,
    );
  }
  if (state.available <= 0) {
    throw new IommuError('ENOSPC', op, 'there are as many mappings as dmaEntryLimit allows; unmap one first');
  }
  checkValid(state, op, iova, iova + size - 1n);
  state.mayFail(op, 'allocate', 'the mapping');
  addMapping(state, op, new Mapping(iova, size, flags & ACCESS, vaddr));
}

/** `size` 0, or a wrap. Later kernels tell a wrap from the rest, and look for it first. */
function checkRange(state: Type1State, op: string, { iova, size, vaddr }: MapRequest): void {
  if (size === 0n) throw new IommuError('EINVAL', op, 'size is 0; it must be at least one page');
  for (const [name, start] of Object.entries({ iova, vaddr })) {
    if (start + size <= TOP) continue;
    const message = `${name} ${hex(start)} + size ${hex(size)} ends beyond 2^64`;
    throw new IommuError(state.next ? 'EOVERFLOW' : 'EINVAL', op, message);
  }
}

function checkAlignment(state: Type1State, op: string, { iova, size, vaddr }: MapRequest): void {
  if (size === 0n) throw new IommuError('EINVAL', op, 'size is 0; it must be at least one page');
  for (const [name, value] of Object.entries({ size, iova, vaddr })) {
    if (value % state.pageSize === 0n) continue;
    throw new IommuError('EINVAL', op, `${name} is ${hex(value)}; it must be a multiple of ${state.pageSize}`);
  }
}

function checkValid(state: Type1State, op: string, first: bigint, last: bigint): void {
  const { validRanges } = state;
  if (validRanges.length === 0 || validRanges.some(({ start, end }) => first >= start && last <= end)) return;
  const ranges = validRanges.map(({ start, end }) => `${hex(start)} .. ${hex(end)}`).join(', ');
  throw new IommuError('EINVAL', op, `${hex(first)} .. ${hex(last)} does not lie in a valid range: ${ranges}`);
}

function setMappingVaddr(
  state: Type1State,
  op: string,
  { iova, size, vaddr }: MapRequest,
  found: Mapping | undefined,
): void {
  if (!found) throw new IommuError('ENOENT', op, `nothing is mapped at ${hex(iova)}`);
  if (!found.vaddrInvalid || found.iova !== iova || found.size !== size) {
    const has = `${hex(found.iova)} + ${hex(found.size)}, whose vaddr is ${found.vaddrInvalid ? 'invalid' : 'valid'}`;
    throw new IommuError('EINVAL', op, `VADDR takes exactly a mapping whose vaddr is invalid; there is ${has}`);
  }
  found.vaddr = vaddr;
  found.vaddrInvalid = false;
  state.invalidVaddrs--;
}

function addMapping(state: Type1State, op: string, mapping: Mapping): void {
  state.available--;
  state.mappings.insert(mapping);
  try {
    if (state.domains.length > 0) pinAndMap(state, op, mapping);
    if (state.tracking) mapping.bits = allocateBits(state, op, mapping);
  } catch (error) {
    removeMapping(state, mapping);
    throw error;
  }
}

function pinAndMap(state: Type1State, op: string, mapping: Mapping): void {
  const frames = pinFrames(state, mapping, op);
  const done = [];
  try {
    for (const domain of state.domains) {
      domain.map(state, op, mapping, frames);
      done.push(domain);
    }
    mapping.frames = frames;
  } catch (error) {
    for (const domain of done) domain.unmap(mapping);
    state.space.unpin(frames);
    state.unlock(mapping.pages);
    throw error;
  }
}
