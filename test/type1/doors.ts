import type { AddressSpace } from '../../src/address-space/address-space.ts';
import { errnoName } from '../../src/errno/errno.ts';
import type { DirtyPagesOptions, MapDmaOptions, Type1Container, UnmapDmaOptions } from '../../src/type1/container.ts';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '../../src/uapi/type1.ts';
import { codeOf } from '../core/builds.ts';
import { ARGS } from './rig.ts';

/** One of the two ways to a container: each call gives the errno's name, or `none`; `argsz` counts in bytes only. */
export interface Door {
  readonly name: string;
  setIommu(container: Type1Container, type: number): string;
  checkExtension(container: Type1Container, extension: number): number;
  mapDma(container: Type1Container, options: MapDmaOptions): string;
  unmapDma(container: Type1Container, options: UnmapDmaOptions): { code: string; size?: bigint };
  dirtyPages(container: Type1Container, options: DirtyPagesOptions): string;
}

const typed: Door = {
  name: 'methods',
  setIommu: (container, type) => codeOf(() => container.setIommu(type)),
  checkExtension: (container, extension) => container.checkExtension(extension),
  mapDma: (container, options) => codeOf(() => container.mapDma(options)),
  unmapDma: (container, options) => {
    let size: bigint | undefined;
    const code = codeOf(() => (size = container.unmapDma(options).size));
    return { code, ...(size !== undefined && { size }) };
  },
  dirtyPages: (container, options) => codeOf(() => container.dirtyPages(options)),
};

/** Bytes of a request, field by field, as a C compiler lays them out. */
export function request(...fields: (readonly [bits: 32 | 64, value: number | bigint])[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [bits]) => sum + bits / 8, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [bits, value] of fields) {
    if (bits === 32) view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bits / 8;
  }
  return bytes;
}

/** The name of an ioctl's errno. */
export function codeOfResult(result: number): string {
  return result >= 0 ? 'none' : (errnoName(-result) ?? `errno ${-result}`);
}

export function mapRequest({ flags = 0, vaddr = 0n, iova = 0n, size = 0n }: MapDmaOptions, argsz = 32): Uint8Array {
  return request([32, argsz], [32, flags], [64, vaddr], [64, iova], [64, size]);
}

export function unmapRequest({ flags = 0, iova = 0n, size = 0n, bitmap }: UnmapDmaOptions, argsz = 48): Uint8Array {
  const { pgsize = 0n, size: bytes = 0n, data = 0n } = bitmap ?? {};
  return request([32, argsz], [32, flags], [64, iova], [64, size], [64, pgsize], [64, bytes], [64, address(data)]);
}

export function dirtyRequest({ flags = 0, iova = 0n, size = 0n, bitmap }: DirtyPagesOptions, argsz = 48): Uint8Array {
  const { pgsize = 0n, size: bytes = 0n, data = 0n } = bitmap ?? {};
  return request([32, argsz], [32, flags], [64, iova], [64, size], [64, pgsize], [64, bytes], [64, address(data)]);
}

function address(data: bigint | number | Uint8Array): bigint | number {
  if (data instanceof Uint8Array) throw new Error('bytes have no address');
  return data;
}

/** Requests lie in user memory, at ARGS. */
function binary(space: AddressSpace): Door {
  const put = (bytes: Uint8Array) => {
    if (!space.write(ARGS, bytes)) throw new Error('requests cannot be written');
    return ARGS;
  };
  return {
    name: 'ioctl',
    setIommu: (container, type) => codeOfResult(container.ioctl(VFIO_SET_IOMMU, type)),
    checkExtension: (container, extension) => container.ioctl(VFIO_CHECK_EXTENSION, extension),
    mapDma: (container, options) => codeOfResult(container.ioctl(VFIO_IOMMU_MAP_DMA, put(mapRequest(options)))),
    unmapDma: (container, options) => {
      const code = codeOfResult(container.ioctl(VFIO_IOMMU_UNMAP_DMA, put(unmapRequest(options))));
      const reply = new Uint8Array(8);
      space.read(ARGS + 16n, reply);
      return { code, ...(code === 'none' && { size: new DataView(reply.buffer).getBigUint64(0, true) }) };
    },
    dirtyPages: (container, options) =>
      codeOfResult(container.ioctl(VFIO_IOMMU_DIRTY_PAGES, put(dirtyRequest(options)))),
  };
}

/** Both doors to the containers of one address space. */
export function doorsOf(space: AddressSpace): readonly Door[] {
  return [typed, binary(space)];
}
